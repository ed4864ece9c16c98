package rules

import (
	"embed"
	"io/fs"
	"maps"
	"slices"
	"strings"
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

// agentPack is the pack of the agent's own faults. It speaks more languages
// than the codes do.
const agentPack = "packs/agent/"

// ShippedLanguages lists the languages in which some embedded pack of codes has
// words, English first, the others sorted.
func ShippedLanguages() []string {
	found := map[string]bool{}
	// The embedded files are there, or the program would not have been built.
	files, _ := fs.Glob(embedded, "packs/*/text.*.yaml")
	for _, file := range files {
		l := canonical(textLanguage(file[strings.LastIndexByte(file, '/')+1:]))
		if l != "" && !strings.HasPrefix(file, agentPack) {
			found[l] = true
		}
	}
	delete(found, english)
	return append([]string{english}, slices.Sorted(maps.Keys(found))...)
}
