package rules

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"fieldmedic/internal/diagnose"
)

// pairingLost is a diagnosis of the little pack's richest rule.
func pairingLost() diagnose.Diagnosis {
	return diagnose.Diagnosis{
		Gateway: "gw-1", Device: "lamp-1", Condition: "pairing-lost", Code: new(int32(-7)), CodeRaw: "-7",
		Causes: []diagnose.RankedCause{
			{Cause: "was-reset", Verdict: diagnose.VerdictLikely},
			{Cause: "key-differs", Verdict: diagnose.VerdictPossible},
		},
	}
}

func TestAdvice(t *testing.T) {
	s := mustSmall(t, nil, "en", "zh-Hans")
	d := pairingLost()
	d.Facts.Model, d.Msg = "RM4", "bad key"
	d.Causes[0].Reason = "reset-said"
	got := s.Advice(&d)
	want := diagnose.Advice{
		Title:   "RM4 is no longer paired",
		Summary: "lamp-1 said -7: bad key.",
		Because: []string{"It says itself that it was reset: bad key.", "The stored key may be old."},
		User: []diagnose.Step{{
			ID: "pair-again", Title: "Pair RM4 again.", Details: []string{"Device lamp-1, address not told."}, WorkedIf: "It answers gw-1.",
		}},
		Technician: []diagnose.Step{
			{
				ID: "switch-off-and-on", Title: "Switch the device off and on.", Details: []string{"Wait ten seconds between."},
				WorkedIf: "Its light shows.", WithinS: new(180),
			},
			{ID: "pair-again", Title: "Pair RM4 again.", Details: []string{"Device lamp-1, address not told."}, WorkedIf: "It answers gw-1."},
		},
		Developer: []diagnose.Step{{ID: "log-it", Title: "Log the result -7.", Details: []string{}, WorkedIf: "It stands in the log."}},
	}
	if !reflect.DeepEqual(got["en"], want) {
		t.Errorf("en:\n got %+v\nwant %+v", got["en"], want)
	}
	zh := got["zh-Hans"]
	if zh.Title != "RM4不再配对" || zh.Technician[0].Title != "关掉设备再打开。" || *zh.Technician[0].WithinS != 180 || zh.Because[1] != "保存的密钥可能旧了。" {
		t.Errorf("zh-Hans: %+v", zh)
	}
	if title := s.Title(&d); title != want.Title {
		t.Errorf("title %q", title)
	}
	if b := s.Because(&d, d.Causes[0]); b != want.Because[0] {
		t.Errorf("because %q", b)
	}
	if b := s.Because(&d, diagnose.RankedCause{Cause: "gone-from-the-rule"}); b != "" {
		t.Errorf("because of a cause that is not there: %q", b)
	}
}

// TestAdviceLeads: the advice speaks of the cause that leads, not of the first
// in the rule, and leaves out what is excluded.
func TestAdviceLeads(t *testing.T) {
	s := mustSmall(t, nil)
	d := pairingLost()
	d.Causes[0].Verdict = diagnose.VerdictExcluded
	got := s.Advice(&d)["en"]
	if !slices.Equal(got.Because, []string{"The stored key may be old."}) || got.User[0].ID != "switch-off-and-on" || got.Developer[0].ID != "compare-keys" {
		t.Errorf("%+v", got)
	}
	if got.Title != "The device is no longer paired" {
		t.Errorf("title without a model: %q", got.Title)
	}
	d.Causes[1].Verdict = diagnose.VerdictExcluded
	got = s.Advice(&d)["en"]
	if len(got.Because) != 0 || got.User[0].ID != "report-it" || got.Technician[0].ID != "report-it" || got.Developer[0].ID != "log-it" {
		t.Errorf("all excluded: %+v", got)
	}
}

// TestAdviceJSON: lists are lists, also where they are empty.
func TestAdviceJSON(t *testing.T) {
	s := mustSmall(t, nil)
	d := pairingLost()
	for _, condition := range []string{"pairing-lost", "not-signed-in", "unknown-code-5", "unknown-error-x", "retired"} {
		d.Condition = condition
		b, err := json.Marshal(s.Advice(&d))
		if err != nil || strings.Contains(strings.ReplaceAll(string(b), `"within_s":null`, ""), "null") {
			t.Errorf("%s: %s, %v", condition, b, err)
		}
	}
	d.Condition = "retired"
	if title := s.Title(&d); title != "retired" {
		t.Errorf("title without a rule: %q", title)
	}
	if b := s.Because(&d, d.Causes[0]); b != "" {
		t.Errorf("because without a rule: %q", b)
	}
}

func TestAdviceOfUnknown(t *testing.T) {
	s := mustSmall(t, nil, "en", "zh-Hans")
	d := diagnose.Diagnosis{
		Gateway: "gw-1", Device: "lamp-1", Condition: "unknown-code-123", Code: new(int32(-123)),
		Causes: []diagnose.RankedCause{{Cause: "not-listed", Verdict: diagnose.VerdictLikely}},
	}
	for lang, got := range s.Advice(&d) {
		if got.Title != "The number -123 is not known" || got.User[0].Title != "Report -123 to support." {
			t.Errorf("%s: %+v", lang, got)
		}
	}
	d.Condition, d.Code, d.CodeRaw = "unknown-error-no-such", nil, "NO_SUCH"
	if got := s.Advice(&d)["en"]; got.Title != "The error NO_SUCH is not known" {
		t.Errorf("%+v", got)
	}
}

// TestAdviceIsShared: a step is held once, however many conditions and causes
// have it, and appending its words for a diagnosis makes nothing anew.
func TestAdviceIsShared(t *testing.T) {
	s := mustSmall(t, nil)
	w := s.rules["pairing-lost"].words[0]
	if reset, key := w.causes["was-reset"].steps[1][0], w.causes["key-differs"].steps[0][0]; reset.id != key.id || reset != key {
		t.Errorf("steps %q and %q are not one", reset.id, key.id)
	}
	d := pairingLost()
	d.Causes[0].Verdict = diagnose.VerdictExcluded
	room := make([]byte, 0, 1<<14)
	w.title, w.summary = template{whole: "without placeholders"}, template{}
	if n := testing.AllocsPerRun(10, func() { s.AppendAdvice(room, &d) }); n > 0 {
		t.Errorf("%v allocations for an advice of fixed texts", n)
	}
}

// TestAppendAdvice: what was written beforehand is what encoding/json writes,
// for every condition and cause of the shipped packs, and values are escaped.
func TestAppendAdvice(t *testing.T) {
	s, err := Load(Options{Languages: []string{"zh-Hans", "en", "de"}})
	if err != nil {
		t.Fatal(err)
	}
	conditions := append(s.Conditions(), "unknown-code-5", "unknown-error-x", "no-such-condition")
	for _, condition := range conditions {
		d := diagnose.Diagnosis{Gateway: "gw", Device: "<ac> & \u2028“7”", Condition: condition, CodeRaw: "\\", Msg: "a \"b\"\n\xff"}
		d.Facts.Model = "RM4\t"
		check := func() {
			t.Helper()
			want, err := json.Marshal(s.Advice(&d))
			if got := s.AppendAdvice([]byte("x"), &d); err != nil || string(got) != "x"+string(want) {
				t.Errorf("%s, %+v: %v\n got %s\nwant %s", condition, d.Causes, err, got, want)
			}
		}
		check()
		r := s.Rule(condition)
		if r == nil {
			continue
		}
		for i, c := range r.Causes {
			d.Causes = append([]diagnose.RankedCause{{Cause: c.Name, Verdict: diagnose.VerdictLikely}}, d.Causes...)
			if len(c.FirstIf) > 0 {
				d.Causes[0].Reason = c.FirstIf[0].ID
			}
			if i == 2 {
				d.Causes[2].Verdict = diagnose.VerdictExcluded
			}
			check()
			d.Facts.Model = ""
		}
	}
}

func TestCanonical(t *testing.T) {
	for tag, want := range map[string]string{
		"en": "en", "EN": "en", "zh": "zh-Hans", "zh-CN": "zh-Hans", "zh-Hans-CN": "zh-Hans", "zh_CN": "zh-Hans", "zh-SG": "zh-Hans",
		"zh-Hans": "zh-Hans", "zh-TW": "zh-Hant", "zh-HK": "zh-Hant", "de-AT": "de-AT", "de-at": "de-AT", "iw": "he", "pt-BR": "pt-BR",
	} {
		if got, ok := Canonical(tag); !ok || got != want {
			t.Errorf("Canonical(%q) = %q, %v; want %q", tag, got, ok, want)
		}
	}
	for _, tag := range []string{"", "und", "english", "e", "en-", "xx-yyyyyyyyyy", "../en", "en/../x", strings.Repeat("a", 1000)} {
		if got, ok := Canonical(tag); ok {
			t.Errorf("Canonical(%q) = %q, want none", tag, got)
		}
	}
}

// TestLanguageFallsBack: a language nobody wrote speaks English, a variant
// speaks its language; the first is visible.
func TestLanguageFallsBack(t *testing.T) {
	s := mustSmall(t, nil, "de-AT", "en-GB")
	d := pairingLost()
	for lang, got := range s.Advice(&d) {
		if got.Title != "The device is no longer paired" {
			t.Errorf("%s: %q", lang, got.Title)
		}
	}
	if got := s.Missing("de-AT"); len(got) != 4 {
		t.Errorf("missing in de-AT: %v, want all four", got)
	}
	if got := s.Missing("en-GB"); len(got) != 0 {
		t.Errorf("missing in en-GB: %v", got)
	}
}
