package rules

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"fieldmedic/internal/diagnose"
)

// FuzzLoad feeds a pack's two files: whatever they hold, there is a set that
// works or there are mistakes that name a place in them.
func FuzzLoad(f *testing.F) {
	unknown := fstest.MapFS{}
	for _, name := range []string{"packs/unknown/rules.yaml", "packs/unknown/text.en.yaml"} {
		unknown[name] = &fstest.MapFile{Data: read(f, filepath.Join("testdata/shipped", name))}
	}
	text := read(f, "testdata/shipped/packs/small/text.en.yaml")
	f.Add(bytes.Replace(read(f, "testdata/shipped/packs/small/rules.yaml"), []byte("small"), []byte("fuzz"), 1), text)
	f.Add(bytes.Replace(read(f, "testdata/shipped/packs/other/rules.yaml"), []byte("other"), []byte("fuzz"), 1),
		read(f, "testdata/shipped/packs/other/text.en.yaml"))
	for _, dir := range []string{"bad", "bad-text"} {
		files, err := filepath.Glob(filepath.Join("testdata", dir, "*.yaml"))
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			f.Add(bytes.Replace(read(f, file), []byte("pack: bad"), []byte("pack: fuzz"), 1), text)
		}
	}
	f.Fuzz(func(t *testing.T, rules, text []byte) {
		const enough = 64 << 10
		if len(rules)+len(text) > enough {
			return
		}
		files := fstest.MapFS{
			"packs/fuzz/rules.yaml":   {Data: rules},
			"packs/fuzz/text.en.yaml": {Data: text},
		}
		maps.Copy(files, unknown)
		s, err := load(files, Options{Languages: []string{"en", "de"}})
		if err != nil {
			checkMistakes(t, err, map[string][]byte{"packs/fuzz/rules.yaml": rules, "packs/fuzz/text.en.yaml": text})
			return
		}
		checkSet(t, s)
	})
}

func read(t testing.TB, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// checkMistakes wants each mistake to lie in the file it names, on one line.
func checkMistakes(t *testing.T, err error, files map[string][]byte) {
	t.Helper()
	var ms Mistakes
	if !errors.As(err, &ms) || len(ms) == 0 {
		t.Fatalf("%T is no list of mistakes", err)
	}
	for _, m := range ms {
		if lines := bytes.Count(files[m.File], []byte("\n")) + bytes.Count(files[m.File], []byte("\r")) + 2; m.Line > lines {
			t.Errorf("%v: the file has %d lines", m, lines)
		}
		if m.Text == "" || strings.ContainsAny(m.Text, "\n\r") {
			t.Errorf("%q is no text of one line", m.Text)
		}
	}
}

// checkSet wants every condition to be raised by its codes and to have words.
func checkSet(t *testing.T, s *Set) {
	t.Helper()
	for _, code := range s.Codes() {
		m := s.Match(diagnose.Key{Code: code})
		if !m.Known || m.Code != code || s.Rule(m.Rule.Condition) != m.Rule {
			t.Errorf("code %d: %+v", code, m)
		}
	}
	for _, condition := range s.Conditions() {
		d := diagnose.Diagnosis{Condition: condition, Device: "d"}
		for _, c := range s.rules[condition].rule.Causes {
			d.Causes = []diagnose.RankedCause{{Cause: c.Name, Verdict: diagnose.VerdictLikely}}
			for lang, a := range s.Advice(&d) {
				if a.Title == "" || a.Summary == "" || len(a.Because) != 1 || len(a.User) == 0 || len(a.Technician) == 0 || len(a.Developer) == 0 {
					t.Errorf("%s in %s: %+v", condition, lang, a)
				}
			}
		}
	}
}
