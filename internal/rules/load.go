package rules

import (
	"embed"
	"io/fs"
	"maps"
	"path"
	"slices"
)

//go:embed packs
var embedded embed.FS

// Options of [Load].
type Options struct {
	// Languages are BCP 47 tags; the first is the default, and no language at
	// all means English. Only the words of these are kept in memory.
	Languages []string
	// Dir holds site rules, which lie over the shipped packs; "" for none.
	Dir string
}

// Load reads the embedded packs and the site rules over them. The error is
// [Mistakes], all of them at once, and there is no set then.
func Load(opts Options) (*Set, error) { return load(embedded, opts) }

func load(shipped fs.FS, opts Options) (*Set, error) {
	c := &collector{}
	langs := languages(opts.Languages, c)
	l := &library{languages: langs, sited: opts.Dir != ""}
	l.readShipped(shipped, c)
	l.readSite(opts.Dir, c)
	b := assemble(l, c)
	b.checkWords(c)
	if err := c.err(); err != nil {
		return nil, err
	}
	return compile(b), nil
}

// ShippedLanguages lists the languages in which every embedded pack has words,
// English first, the others sorted. A language that some pack lacks is not
// offered: half of it would be English.
func ShippedLanguages() []string {
	packs := map[string]int{} // how many have words in a language
	// The embedded files are there, or the program would not have been built.
	files, _ := fs.Glob(embedded, "packs/*/text.*.yaml")
	for _, file := range files {
		packs[canonical(textLanguage(path.Base(file)))]++
	}
	found := map[string]bool{}
	for l, n := range packs {
		found[l] = n == packs[english]
	}
	maps.DeleteFunc(found, func(l string, whole bool) bool { return l == "" || !whole })
	delete(found, english)
	return append([]string{english}, slices.Sorted(maps.Keys(found))...)
}
