package rules

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// library is all packs as read, shipped ones first.
type library struct {
	languages []string
	packs     []*pack
	// sited is set when there are site rules. They may take words of shipped
	// rules in any language, so that all of these are read.
	sited bool
	// torn is set when a rules file could not be read at all: what others
	// refer to may have stood in it, so references are not judged then.
	torn bool
}

const (
	rulesFile = "rules.yaml"
	// A site's words are called <name>.text.<lang>.yaml.
	textMark = ".text."
	ending   = ".yaml"
)

// textLanguage cuts LANG out of text.LANG.yaml, or answers "".
func textLanguage(name string) string {
	l, ok := strings.CutPrefix(name, textMark[1:])
	if !ok {
		return ""
	}
	l, ok = strings.CutSuffix(l, ending)
	if !ok {
		return ""
	}
	return l
}

// readShipped reads packs/<pack>/ of a file system.
func (l *library) readShipped(shipped fs.FS, c *collector) {
	dirs, err := fs.ReadDir(shipped, "packs")
	if err != nil {
		c.add(place{file: "packs"}, "cannot be read: %v", bareError(err))
		l.torn = true
		return
	}
	for _, dir := range dirs {
		at := path.Join("packs", dir.Name())
		if !dir.IsDir() {
			c.add(place{file: at}, "a file beside the packs (packs/<pack>/%s)", rulesFile)
			continue
		}
		l.readShippedPack(shipped, at, c)
	}
}

func (l *library) readShippedPack(shipped fs.FS, dir string, c *collector) {
	files, err := fs.ReadDir(shipped, dir)
	if err != nil {
		c.add(place{file: dir}, "cannot be read: %v", err)
		return
	}
	var p *pack
	texts := map[string]string{}
	for _, file := range files {
		name, at := file.Name(), path.Join(dir, file.Name())
		switch {
		case name == rulesFile:
			p = l.rulesOf(shipped, at, path.Base(dir), c)
		case strings.HasPrefix(name, "cases"):
			// What the pack is tested with.
		case textLanguage(name) != "":
			noteText(texts, textLanguage(name), at, c)
		default:
			c.add(place{file: at}, "no file of a pack (%s, text.LANG.yaml, cases)", rulesFile)
		}
	}
	if p == nil {
		if !slices.ContainsFunc(files, func(f fs.DirEntry) bool { return f.Name() == rulesFile }) {
			c.add(place{file: dir}, "no %s", rulesFile)
		}
		return
	}
	for _, lang := range l.needed(p, texts, c) {
		l.textOf(shipped, p, lang, texts[lang], c)
	}
}

// needed are the languages of a shipped pack that have to be read: those
// configured, and English where one of them is missing; all for a site.
func (l *library) needed(p *pack, texts map[string]string, c *collector) []string {
	have := func(lang string) bool { return texts[lang] != "" }
	if !have(english) {
		c.add(place{file: path.Join(path.Dir(p.file), "text.en.yaml")}, "is missing (every shipped pack has English words)")
	}
	var langs []string
	if l.sited {
		return slices.Sorted(maps.Keys(texts))
	}
	for _, want := range l.languages {
		lang := pick(want, have)
		if lang == "" {
			lang = english
		}
		if have(lang) && !slices.Contains(langs, lang) {
			langs = append(langs, lang)
		}
	}
	return langs
}

// noteText keeps where a language's words are.
func noteText(texts map[string]string, tag, file string, c *collector) {
	lang, ok := Canonical(tag)
	switch {
	case !ok:
		c.add(place{file: file}, "%s is no language (a BCP 47 tag such as en, de-AT or zh-Hans)", shorten(tag))
	case texts[lang] != "":
		c.add(place{file: file}, "language %s is there twice (%s)", lang, texts[lang])
	default:
		texts[lang] = file
	}
}

// rulesOf reads a rules file into the library.
func (l *library) rulesOf(files fs.FS, file, name string, c *collector) *pack {
	p := (*pack)(nil)
	if data, ok := contents(files, file, file, c); ok {
		p = readPack(file, data, name, false, c)
	}
	l.keep(p)
	return p
}

func (l *library) keep(p *pack) {
	if p == nil {
		l.torn = true
		return
	}
	l.packs = append(l.packs, p)
}

func (l *library) textOf(files fs.FS, p *pack, lang, file string, c *collector) {
	data, ok := contents(files, file, file, c)
	if !ok {
		return
	}
	if t := readText(file, data, lang, c); t != nil {
		p.texts[lang] = t
	}
}

// contents reads a file, but no more of it than parse needs to see that it is
// too large, and nothing that could block, such as a pipe.
func contents(files fs.FS, name, shown string, c *collector) ([]byte, bool) {
	data, err := readRegular(files, name)
	if err != nil {
		c.add(place{file: shown}, "cannot be read: %v", err)
		return nil, false
	}
	return data, true
}

func readRegular(files fs.FS, name string) ([]byte, error) {
	info, err := fs.Stat(files, name)
	if err != nil {
		return nil, bareError(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is no regular file")
	}
	f, err := files.Open(name)
	if err != nil {
		return nil, bareError(err)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		_ = f.Close()
		return nil, bareError(err)
	}
	return data, f.Close()
}

// bareError is an error without the path, which the mistake already names.
func bareError(err error) error {
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		return at.Err
	}
	return err
}

// readSite reads the site rules in dir: <name>.yaml and <name>.text.LANG.yaml.
// Hidden files and files of another kind are let be, so that an editor's
// backup or a README does no harm.
func (l *library) readSite(dir string, c *collector) {
	if dir == "" {
		return
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		c.add(place{file: dir}, "the directory of site rules cannot be read: %v", bareError(err))
		return
	}
	s := &siteDir{
		library: l, files: os.DirFS(dir), dir: dir,
		named: map[string]*pack{}, texts: map[string]map[string]string{}, seen: map[string]bool{},
	}
	for _, e := range entries {
		if !e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			s.file(e.Name(), c)
		}
	}
	s.readTexts(c)
}

// siteDir is a directory of site rules while it is read.
type siteDir struct {
	*library
	files fs.FS
	dir   string
	named map[string]*pack
	// texts are file names by pack and language.
	texts map[string]map[string]string
	// seen holds the rules files, readable or not.
	seen map[string]bool
}

func (s *siteDir) file(name string, c *collector) {
	at := filepath.Join(s.dir, name)
	stem, ok := strings.CutSuffix(name, ending)
	if !ok {
		if strings.HasSuffix(name, ".yml") {
			c.add(place{file: at}, "the name ends in .yml (%s)", ending)
		}
		return
	}
	if of, tag, isText := strings.Cut(stem, textMark); isText {
		if s.texts[of] == nil {
			s.texts[of] = map[string]string{}
		}
		noteText(s.texts[of], tag, at, c)
		return
	}
	s.seen[stem] = true
	if !kebab(stem) {
		c.add(place{file: at}, "%s is no name for a pack (kebab-case, %d characters at most)", shorten(stem), maxName)
	}
	if i := slices.IndexFunc(s.library.packs, func(p *pack) bool { return p.name.name == stem && !p.site }); i >= 0 {
		c.add(place{file: at}, "a shipped pack has this name (another, such as %q)", "site-"+stem)
	}
	var p *pack
	if data, ok := contents(s.files, name, at, c); ok {
		p = readPack(at, data, stem, true, c)
	}
	s.keep(p)
	if p != nil {
		s.named[stem] = p
	}
}

// readTexts reads all languages of the site's own words, also those that are
// not configured: a mistake shows now, not when somebody asks for them.
func (s *siteDir) readTexts(c *collector) {
	for of, texts := range s.texts {
		for lang, at := range texts {
			if !s.seen[of] {
				c.add(place{file: at}, "words without rules (%s beside it)", of+ending)
				continue
			}
			data, ok := contents(s.files, filepath.Base(at), at, c)
			if !ok {
				continue
			}
			// Read for its own mistakes even where the rules could not be.
			t := readText(at, data, lang, c)
			if p := s.named[of]; p != nil && t != nil {
				p.texts[lang] = t
			}
		}
	}
}
