package rules

import (
	"bytes"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

// badFiles walks a directory of files that have mistakes. What is wanted stands
// at the end of each, one "# want: LINE:COL: text" a mistake.
func badFiles(t *testing.T, dir string, read func(file string, data []byte, c *collector)) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", dir, "*.yaml"))
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files in %s, %v", len(files), dir, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			for line := range strings.SplitSeq(string(data), "\n") {
				if w, ok := strings.CutPrefix(line, "# want: "); ok {
					want = append(want, strings.TrimPrefix("bad.yaml:"+w, "bad.yaml:- "))
				}
			}
			if len(want) == 0 {
				t.Fatal("the file does not say what is wanted")
			}
			c := &collector{}
			read("bad.yaml", data, c)
			err = c.err()
			if err == nil {
				t.Fatalf("no mistake found, want\n%s", strings.Join(want, "\n"))
			}
			if got := err.Error(); got != strings.Join(want, "\n") {
				t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
			}
		})
	}
}

func TestBadRules(t *testing.T) {
	badFiles(t, "bad", func(file string, data []byte, c *collector) { readPack(file, data, "bad", false, c) })
}

func TestBadTexts(t *testing.T) {
	badFiles(t, "bad-text", func(file string, data []byte, c *collector) { readText(file, data, "en", c) })
}

// TestBadBytes: what cannot stand in a text file of its own.
func TestBadBytes(t *testing.T) {
	for _, test := range []struct{ data, want string }{
		{"", "bad.yaml: the file is empty (see docs/rules.md)"},
		{"pack: bad\nversion: \x00\n", "bad.yaml:2:10: this byte is no text (UTF-8 without control characters)"},
		{"pack: \xff\n", "bad.yaml:1:7: this byte is no text (UTF-8 without control characters)"},
		{strings.Repeat("#", maxFile+1), "bad.yaml: the file is larger than 1 MiB (split it)"},
	} {
		c := &collector{}
		readPack("bad.yaml", []byte(test.data), "bad", false, c)
		if err := c.err(); err == nil || err.Error() != test.want {
			t.Errorf("%.20q: %v, want %s", test.data, err, test.want)
		}
	}
}

// TestBadSites: what is wrong only beside other files, with each exact message.
func TestBadSites(t *testing.T) {
	rule := func(lines string) string {
		return siteHead + lines + `    sources: ["this house"]
    steps: {user: [pair-again], technician: [pair-again], developer: [log-it]}
    causes: [{cause: was-reset, action: wait}]
`
	}
	words := `language: en
steps:
  pair-again: {title: "Pair.", worked_if: "It answers."}
  log-it: {title: "Log.", worked_if: "It is there."}
conditions:
  new-idea: {title: "New", summary: "It is new.", causes: {was-reset: {because: "So it is."}}}
`
	for _, test := range []struct {
		what  string
		files map[string]string
		want  string
	}{
		{
			"a new condition on a shipped code",
			map[string]string{"house.yaml": rule("  - condition: new-idea\n    codes: [-7]\n"), "house.text.en.yaml": words},
			`rules.d/house.yaml:12:13: code -7 belongs to the shipped rule "pairing-lost" at packs/small/rules.yaml:17:13 (replace that rule as a whole with condition: pairing-lost, or switch it off with disabled: true)`,
		},
		{
			"a new condition on a shipped range",
			map[string]string{"house.yaml": rule("  - condition: new-idea\n    codes: [\"-22..-10\"]\n"), "house.text.en.yaml": words},
			`rules.d/house.yaml:12:13: range -22..-10 belongs to the shipped rule "some-service-fault" at packs/small/rules.yaml:52:13 (replace that rule as a whole with condition: some-service-fault, or switch it off with disabled: true)`,
		},
		{
			"a new condition on a shipped name",
			map[string]string{"house.yaml": rule("  - condition: new-idea\n    names: [device-reset]\n"), "house.text.en.yaml": words},
			`rules.d/house.yaml:12:13: name DEVICERESET belongs to the shipped rule "pairing-lost" at packs/small/rules.yaml:18:13 (replace that rule as a whole with condition: pairing-lost, or switch it off with disabled: true)`,
		},
		{
			"an alias of a shipped code",
			map[string]string{"house.yaml": rule("  - condition: new-idea\n    codes: [-4900]\n"), "house.text.en.yaml": words},
			`rules.d/house.yaml:12:13: code -4900 is another spelling of -49, says packs/small/rules.yaml:5:11 (name -49)`,
		},
		{
			"a code twice in a rule",
			map[string]string{"house.yaml": rule("  - condition: new-idea\n    codes: [-60, -60]\n"), "house.text.en.yaml": words},
			`rules.d/house.yaml:12:18: code -60 is there twice (first at rules.d/house.yaml:12:13)`,
		},
		{
			"a condition twice",
			map[string]string{"house.yaml": replaced, "shed.yaml": strings.Replace(replaced, "pack: house", "pack: shed", 1)},
			`rules.d/shed.yaml:11:16: condition "pairing-lost" is there twice (first at rules.d/house.yaml:11:16)`,
		},
		{
			"two rules of one code",
			map[string]string{
				"house.yaml": strings.Replace(replaced, "pairing-lost", "read-failed", 1),
				"shed.yaml":  strings.Replace(replaced, "pack: house", "pack: shed", 1),
			},
			`rules.d/house.yaml:11:16: no words for "read-failed" (house.text.en.yaml beside it; a rule finds shipped words only for the condition, causes and steps of the rule it replaces)` + "\n" +
				`rules.d/shed.yaml:12:13: code -7 belongs to "read-failed" already, at rules.d/house.yaml:12:13 (one rule a code)` + "\n" +
				`rules.d/shed.yaml:12:17: code -8 belongs to "read-failed" already, at rules.d/house.yaml:12:17 (one rule a code)`,
		},
		{
			"nothing to disable",
			map[string]string{"house.yaml": siteHead + "  - {condition: paring-lost, disabled: true}\n"},
			`rules.d/house.yaml:11:17: no condition "paring-lost" to disable (did you mean "pairing-lost"?)`,
		},
		{
			"unknown codes cannot be switched off",
			map[string]string{"house.yaml": siteHead + "  - {condition: unknown-code, disabled: true}\n"},
			`rules.d/house.yaml:11:17: unknown-code cannot be disabled (an unknown code is never hidden; give the code a rule of its own)`,
		},
		{
			"a shipped pack's name",
			map[string]string{"small.yaml": strings.Replace(replaced, "pack: house", "pack: small", 1)},
			`rules.d/small.yaml: a shipped pack has this name (another, such as "site-small")`,
		},
		{
			"a pack's range over another's",
			map[string]string{"house.yaml": strings.Replace(replaced, "defaults:", "range: [-300, -150]\ndefaults:", 1)},
			`rules.d/house.yaml:4:8: range -300..-150 overlaps range -199..-100 of pack "other" at packs/other/rules.yaml:4:8`,
		},
		{
			"beyond, yet in a range",
			map[string]string{"house.yaml": strings.Replace(replaced, "defaults:", "beyond: [-5, 12001]\ndefaults:", 1)},
			`rules.d/house.yaml:4:10: code -5 lies in the range of family firmware` + "\n" +
				`rules.d/house.yaml:4:14: code 12001 is beyond the range of pack "other" already`,
		},
		{
			"aliases of nothing and twice",
			map[string]string{"house.yaml": strings.Replace(replaced, "defaults:", "aliases: {-4900: -7, 50: -51}\ndefaults:", 1)},
			`rules.d/house.yaml:4:11: alias -4900 is there twice (first at packs/small/rules.yaml:5:11)` + "\n" +
				`rules.d/house.yaml:4:22: alias of -51, which no rule knows`,
		},
		{
			"conditions that are none",
			map[string]string{"house.yaml": strings.Replace(replaced, "    sources", "    supersedes: [session-gon, pairing-lost]\n    explained_by: [gone, site-down]\n    sources", 1)},
			`rules.d/house.yaml:13:18: no condition "session-gon" (did you mean "session-gone"?)` + "\n" +
				`rules.d/house.yaml:13:31: condition "pairing-lost" speaks of itself` + "\n" +
				`rules.d/house.yaml:14:26: no condition "site-down" (known: gone, not-signed-in, pairing-lost, read-failed, session-gone, some-service-fault, unknown-code, unknown-error)`,
		},
		{
			"words that are missing and words too many",
			map[string]string{
				"house.yaml":         rule("  - condition: new-idea\n    codes: [-60]\n"),
				"house.text.en.yaml": strings.Replace(strings.Replace(words, "  log-it", "  logit", 1), "{was-reset: ", "{was-rest: ", 1),
			},
			`rules.d/house.text.en.yaml: no words for steps.log-it, which the rule at rules.d/house.yaml:14:71 uses` + "\n" +
				`rules.d/house.text.en.yaml:4:3: no rule of rules.d/house.yaml uses steps.logit (did you mean "log-it"?)` + "\n" +
				`rules.d/house.text.en.yaml:6:3: no words for conditions.new-idea.causes.was-reset, which the rule at rules.d/house.yaml:15:22 uses` + "\n" +
				`rules.d/house.text.en.yaml:6:60: no rule of rules.d/house.yaml uses conditions.new-idea.causes.was-rest (did you mean "was-reset"?)`,
		},
		{
			"words of a sentence that no rule tells",
			map[string]string{
				"house.yaml":         rule("  - condition: new-idea\n    codes: [-60]\n"),
				"house.text.en.yaml": strings.Replace(words, `"So it is."`, `"So it is.", when: {later: "Then."}`, 1) + "  old-idea: {title: \"Old\", summary: \"It is old.\", causes: {}}\n",
			},
			`rules.d/house.text.en.yaml:6:101: no rule of rules.d/house.yaml uses conditions.new-idea.causes.was-reset.when.later` + "\n" +
				`rules.d/house.text.en.yaml:7:3: no rule of rules.d/house.yaml uses conditions.old-idea`,
		},
		{
			"a wait for nothing",
			map[string]string{"house.yaml": strings.Replace(replaced, "defaults:", "steps: {pair-again: {within: 5s}, per-again: {within: 5s}}\ndefaults:", 1)},
			`rules.d/house.yaml:4:35: no rule of rules.d/house.yaml has the step "per-again"`,
		},
		{
			"files that are none",
			map[string]string{
				"house.yml": "", "House.yaml": strings.Replace(replaced, "house", "House", 1),
				"shed.text.en.yaml": "language: en\n", "house.text.klingon.yaml": "language: tlh\n",
			},
			`rules.d/House.yaml: "House" is no name for a pack (kebab-case, 64 characters at most)` + "\n" +
				`rules.d/House.yaml:1:7: the text "House" (a name in kebab-case, 64 characters at most)` + "\n" +
				`rules.d/house.text.klingon.yaml: "klingon" is no language (a BCP 47 tag such as en, de-AT or zh-Hans)` + "\n" +
				`rules.d/house.yml: the name ends in .yml (.yaml)` + "\n" +
				`rules.d/shed.text.en.yaml: words without rules (shed.yaml beside it)`,
		},
		{
			"a language twice",
			map[string]string{
				"house.yaml": rule("  - condition: new-idea\n    codes: [-60]\n"), "house.text.en.yaml": words,
				"house.text.zh.yaml": "language: zh\n", "house.text.zh-CN.yaml": strings.Replace(words, "language: en", "language: zh", 1),
			},
			`rules.d/house.text.zh.yaml: language zh-Hans is there twice (rules.d/house.text.zh-CN.yaml)`,
		},
		{
			"a broken file does not make its neighbours wrong",
			map[string]string{
				"house.yaml": strings.Replace(replaced, "    sources", "    supersedes: [in-the-shed]\n    sources", 1),
				"shed.yaml":  "pack: [shed\n",
			},
			`rules.d/shed.yaml:2:1: cannot be read as YAML: did not find expected ',' or ']'`,
		},
	} {
		_, err := small(t, test.files)
		if err == nil {
			t.Errorf("%s: no mistake found, want\n%s", test.what, test.want)
		} else if err.Error() != test.want {
			t.Errorf("%s: got\n%v\nwant\n%s", test.what, err, test.want)
		}
	}
}

// TestAllAtOnce: one run tells the mistakes of all files and of the options,
// in the order of files and places.
func TestAllAtOnce(t *testing.T) {
	_, err := small(t, map[string]string{
		"b.yaml":         "pack: b\nversion: 0\nfamily: firmware\nrules:\n  - condition: x\n    codes: [-7, none]\n    colour: red\n",
		"a.yaml":         "pack: a\nversion: 1\nfamily: nothing\nrules: 5\n",
		"a.text.de.yaml": "language: en\nsteps: {x: {title: \"{\", worked_if: \"\"}}\n",
	}, "en", "not a language")
	want, readErr := os.ReadFile("testdata/all-at-once.txt")
	if readErr != nil {
		t.Fatal(readErr)
	}
	if err == nil || err.Error()+"\n" != string(want) {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

// TestBadShipped: mistakes of the shipped packs, which an operator never sees
// and a rule's author does.
func TestBadShipped(t *testing.T) {
	pack := func(dir string) fstest.MapFS {
		files := fstest.MapFS{}
		for _, name := range []string{"rules.yaml", "text.en.yaml"} {
			data, err := os.ReadFile("testdata/shipped/packs/" + dir + "/" + name)
			if err != nil {
				t.Fatal(err)
			}
			files["packs/"+dir+"/"+name] = &fstest.MapFile{Data: data}
		}
		return files
	}
	for _, test := range []struct {
		what   string
		change func(fstest.MapFS)
		want   string
	}{
		{"nothing there", func(f fstest.MapFS) { clear(f) }, "packs: cannot be read: file does not exist"},
		{"no rules of unknown codes", func(f fstest.MapFS) {
			delete(f, "packs/unknown/rules.yaml")
			delete(f, "packs/unknown/text.en.yaml")
		}, "no rule \"unknown-code\" in any pack of family unknown\nno rule \"unknown-error\" in any pack of family unknown"},
		{"no rules file", func(f fstest.MapFS) { delete(f, "packs/other/rules.yaml") }, "packs/other: no rules.yaml"},
		{"no English", func(f fstest.MapFS) { delete(f, "packs/other/text.en.yaml") }, "packs/other/text.en.yaml: is missing (every shipped pack has English words)"},
		{"files of no use", func(f fstest.MapFS) {
			f["packs/README"] = &fstest.MapFile{}
			f["packs/other/text-de.yaml"] = &fstest.MapFile{}
			f["packs/other/cases.yaml"] = &fstest.MapFile{}
		}, "packs/README: a file beside the packs (packs/<pack>/rules.yaml)\npacks/other/text-de.yaml: no file of a pack (rules.yaml, text.LANG.yaml, cases)"},
		{"no regular file", func(f fstest.MapFS) {
			f["packs/other/text.en.yaml"].Mode = fs.ModeNamedPipe
		}, "packs/other/text.en.yaml: cannot be read: it is no regular file"},
		{"a template with codes", func(f fstest.MapFS) {
			f["packs/unknown/rules.yaml"].Data = bytes.Replace(f["packs/unknown/rules.yaml"].Data, []byte("    sources"), []byte("    codes: [-5]\n    sources"), 1)
		}, "packs/unknown/rules.yaml:11:16: unknown-code has codes or names (none: it is for what no rule knows)"},
	} {
		files := pack("other")
		maps.Copy(files, pack("unknown"))
		test.change(files)
		if _, err := load(files, Options{}); err == nil || err.Error() != test.want {
			t.Errorf("%s: got\n%v\nwant\n%s", test.what, err, test.want)
		}
	}
}
