package rules

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fieldmedic/internal/diagnose"
)

// siteHead is what every little site pack begins with.
const siteHead = `pack: house
version: 1
family: firmware
defaults:
  severity: minor
  kind: transient
  audience: user
  confirm: {reports: 2, within: 10m, spacing: 5s}
  clear: {signal: [success], quiet: 1h}
rules:
`

// replaced takes the place of the shipped pairing-lost, with one of its causes
// and without -150.
const replaced = siteHead + `  - condition: pairing-lost
    codes: [-7, -8]
    sources: ["this house: the lamps are reset by their owner"]
    causes:
      - cause: was-reset
        action: wait
        steps: {user: [pair-again], technician: [switch-off-and-on], developer: [log-it]}
`

func TestSiteReplaces(t *testing.T) {
	s := mustSmall(t, map[string]string{"house.yaml": replaced}, "en", "zh-Hans")
	m := s.Match(code(-7))
	if r := m.Rule; r.Ref != "house/pairing-lost@1" || len(r.Causes) != 1 || r.Causes[0].Action != diagnose.ActWait || r.Severity != "minor" || r.Supersedes != nil {
		t.Errorf("%+v", r)
	}
	if got := s.Match(code(-8)); got.Rule != m.Rule {
		t.Errorf("-8: %s, want the site's rule", got.Rule.Condition)
	}
	for _, k := range []diagnose.Key{code(-150), name("DEVICE_RESET")} {
		if got := s.Match(k); got.Known {
			t.Errorf("%+v: still known by %s; the shipped rule is replaced as a whole", k, got.Rule.Condition)
		}
	}
	d := pairingLost()
	advice := s.Advice(&d)
	if got := advice["en"]; got.User[0].ID != "pair-again" || got.User[0].Title != "Pair the device again." || *got.Technician[0].WithinS != 180 {
		t.Errorf("the words of the shipped rule: %+v", got)
	}
	if got := advice["zh-Hans"]; got.Title != "设备不再配对" {
		t.Errorf("the words of the shipped rule in zh-Hans: %+v", got)
	}
	var packs []string
	for _, p := range s.Packs() {
		packs = append(packs, p.Name)
		switch {
		case p.Name == "house" && (!p.Site || p.Rules != 1):
			t.Errorf("%+v", p)
		case p.Name == "small" && p.Rules != 3:
			t.Errorf("%+v: its replaced rule counts", p)
		}
	}
	if strings.Join(packs, " ") != "other presence small unknown house" {
		t.Errorf("packs %v", packs)
	}
}

// TestSiteAmends: a site's own words for one text, the shipped ones for the
// rest, also in a language that is not configured.
func TestSiteAmends(t *testing.T) {
	s := mustSmall(t, map[string]string{
		"house.yaml":         strings.Replace(replaced, "defaults:", "steps: {pair-again: {within: 60s}}\ndefaults:", 1),
		"house.text.zh.yaml": "language: zh\nsteps:\n  pair-again: {title: \"找管理员。\", worked_if: \"好了。\"}\n",
		"house.text.en.yaml": "language: en\nsteps:\n  pair-again: {title: \"Ask the caretaker.\", worked_if: \"It answers.\"}\n",
	})
	d := pairingLost()
	got := s.Advice(&d)["en"]
	if got.User[0].Title != "Ask the caretaker." || *got.User[0].WithinS != 60 || got.Title != "The device is no longer paired" {
		t.Errorf("%+v", got)
	}
	if tech := got.Technician[0]; tech.Title != "Switch the device off and on." || *tech.WithinS != 180 {
		t.Errorf("the shipped step and its wait: %+v", tech)
	}
}

func TestSiteOwnWords(t *testing.T) {
	own := siteHead + `  - condition: lamp-too-hot
    codes: [-60, "900..950"]
    sources: ["this house"]
    steps: {user: [open-window], technician: [open-window], developer: [open-window]}
    causes:
      - cause: window-shut
        action: wait
`
	s := mustSmall(t, map[string]string{
		"house.yaml":          own,
		"house.text.de.yaml":  "language: de\nsteps:\n  open-window: {title: \"Fenster öffnen.\", worked_if: \"Es zieht.\"}\nconditions:\n  lamp-too-hot:\n    title: \"Lampe zu heiß\"\n    summary: \"{device} ist zu heiß.\"\n    causes: {window-shut: {because: \"Das Fenster ist zu.\"}}\n",
		"house.text.fr.yaml":  "language: fr\nsteps:\n  open-window: {title: \"Ouvrir la fenêtre.\", worked_if: \"Il y a un courant d'air.\"}\nconditions:\n  lamp-too-hot:\n    title: \"Lampe trop chaude\"\n    summary: \"{device} est trop chaude.\"\n    causes: {window-shut: {because: \"La fenêtre est fermée.\"}}\n",
		"README":              "not read",
		".house.yaml.swp":     "not read",
		"house.yaml.dpkg-old": "not read",
	}, "en", "fr")
	if m := s.Match(code(920)); m.Rule.Condition != "lamp-too-hot" || m.Family != "firmware" || m.Code != 920 {
		t.Errorf("%+v", m)
	}
	d := diagnose.Diagnosis{Device: "lamp-1", Condition: "lamp-too-hot"}
	advice := s.Advice(&d)
	// There are no English words: the next configured language stands in.
	if advice["en"].Title != "Lampe trop chaude" || advice["fr"].Title != "Lampe trop chaude" {
		t.Errorf("%+v", advice)
	}
	if got := s.Missing("en"); len(got) != 1 || got[0] != "house" {
		t.Errorf("missing in en: %v", got)
	}
	// With no configured language among them, whatever the site wrote.
	s = mustSmall(t, map[string]string{
		"house.yaml":         own,
		"house.text.de.yaml": "language: de\nsteps:\n  open-window: {title: \"Fenster öffnen.\", worked_if: \"Es zieht.\"}\nconditions:\n  lamp-too-hot:\n    title: \"Lampe zu heiß\"\n    summary: \"{device} ist zu heiß.\"\n    causes: {window-shut: {because: \"Das Fenster ist zu.\"}}\n",
	})
	if title := s.Title(&d); title != "Lampe zu heiß" {
		t.Errorf("title %q", title)
	}
}

func TestSiteDisables(t *testing.T) {
	s := mustSmall(t, map[string]string{"house.yaml": siteHead + `  - {condition: pairing-lost, disabled: true}
  - {condition: some-service-fault, disabled: true}
  - {condition: own-idea, disabled: true, codes: [-77]}
  - condition: lamp-was-reset
    codes: [-150]
    sources: ["this house"]
    steps: {user: [look], technician: [look], developer: [look]}
    causes: [{cause: reset, action: wait}]
`, "house.text.en.yaml": `language: en
steps:
  look: {title: "Look.", worked_if: "You see."}
conditions:
  lamp-was-reset: {title: "Reset", summary: "It was reset.", causes: {reset: {because: "Somebody did it."}}}
`})
	for _, k := range []diagnose.Key{code(-7), code(-22), code(-77), name("DEVICE_RESET")} {
		if m := s.Match(k); !m.Ignored || m.Rule == nil {
			t.Errorf("%+v: %+v, want ignored", k, m)
		}
	}
	for _, k := range []diagnose.Key{code(-25), code(-150), code(-78)} {
		if m := s.Match(k); m.Ignored {
			t.Errorf("%+v: ignored, yet it is of %s", k, m.Rule.Condition)
		}
	}
	if m := s.Match(code(-150)); m.Rule.Condition != "lamp-was-reset" {
		t.Errorf("-150: %s; a code of a disabled rule is free for another", m.Rule.Condition)
	}
	if r := s.Rule("pairing-lost"); r != nil {
		t.Errorf("a disabled rule is found by name: %s", r.Ref)
	}
	for _, c := range s.Conditions() {
		if c == "pairing-lost" || c == "own-idea" {
			t.Errorf("%s is among the conditions", c)
		}
	}
}

// TestReload: a set does not change when the files do; a second Load sees the
// change, and a bad one gives no set.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	opts := Options{Dir: dir}
	shipped := os.DirFS("testdata/shipped")
	write := func(text string) {
		if err := os.WriteFile(filepath.Join(dir, "house.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before, err := load(shipped, opts)
	if err != nil {
		t.Fatal(err)
	}
	write(replaced)
	after, err := load(shipped, opts)
	if err != nil {
		t.Fatal(err)
	}
	if b, a := before.Rule("pairing-lost").Ref, after.Rule("pairing-lost").Ref; b != "small/pairing-lost@3" || a != "house/pairing-lost@1" {
		t.Errorf("before %s, after %s", b, a)
	}
	write(replaced + "    colour: red\n")
	if s, err := load(shipped, opts); s != nil || err == nil {
		t.Errorf("a set with a mistake in it: %v, %v", s, err)
	}
}

func TestLoadEmbedded(t *testing.T) {
	if langs := ShippedLanguages(); langs[0] != "en" {
		t.Errorf("shipped languages %v, want English first", langs)
	}
	_, err := Load(Options{Dir: filepath.Join(t.TempDir(), "no-such")})
	if err == nil || !strings.Contains(err.Error(), "no-such: the directory of site rules cannot be read: no such file or directory") {
		t.Errorf("a missing directory: %v", err)
	}
}

// TestSiteTornRules: rules that cannot be read at all do not hide what is wrong
// with their words.
func TestSiteTornRules(t *testing.T) {
	_, err := small(t, map[string]string{
		"house.yaml":         "pack: [\n",
		"house.text.en.yaml": "language: en\nsteps: {x: {title: \"{\", worked_if: \"It is so.\"}}\n",
	})
	for _, want := range []string{"house.yaml:", "house.text.en.yaml:2:20: a brace that is not closed"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
