package main

import (
	"encoding/json"
	"strings"
	"testing"

	"fieldmedic/internal/diagnose"
	"fieldmedic/internal/rules"
)

func shippedRules(t *testing.T, lang string) *rules.Set {
	t.Helper()
	set, _, err := rulesIn(lang)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestLookUp(t *testing.T) {
	set := shippedRules(t, "en")
	for _, c := range []struct {
		arg       string
		code      int32
		condition string
		known     bool
	}{
		{numberMark + "-4013", -4013, "dns-resolution-failed", true},
		{"4013", -4013, "dns-resolution-failed", true},
		{"0xf053", -4013, "dns-resolution-failed", true},
		{"61523", -4013, "dns-resolution-failed", true},
		{"4294963283", -4013, "dns-resolution-failed", true},
		{"[Errno -4013] no name", -4013, "dns-resolution-failed", true},
		{"\u22124013", -4013, "dns-resolution-failed", true}, // as pasted from a document
		{"65529", -7, "control-key-expired", true},
		{"0xfff9", -7, "control-key-expired", true},
		{"0xFFF9", -7, "control-key-expired", true},
		{"7", -7, "control-key-expired", true},
		{numberMark + "-49010", -490010, "appservice-device-error", true},
		{"49010", -490010, "appservice-device-error", true},
		{"490010", -490010, "appservice-device-error", true},
		{"10003", 10003, "cloud-service-not-permitted", true},
		{numberMark + "-4999", -4999, "unknown-code-4999", false},
		{"4999", -4999, "unknown-code-4999", false},
		{"unknown-code-4999", -4999, "unknown-code-4999", false},
		{"123456", -123456, "unknown-code-123456", false},
		{"0", 0, "success", true},
		{"DNS-resolution-failed", -4013, "dns-resolution-failed", true},
	} {
		answers, err := lookUpAll(set, []string{c.arg})
		if err != nil {
			t.Errorf("%q: %v", c.arg, err)
			continue
		}
		a := answers[0]
		if a.Code == nil || *a.Code != c.code || a.Condition != c.condition || a.Known != c.known {
			code, _ := json.Marshal(a.Code)
			t.Errorf("%q: code %s, condition %s, known %v; want %d, %s, %v", c.arg, code, a.Condition, a.Known, c.code, c.condition, c.known)
		}
	}
}

func TestLookUpName(t *testing.T) {
	set := shippedRules(t, "en")
	for _, arg := range []string{"ENDPOINT_UNREACHABLE", "device-lost"} {
		answers, err := lookUpAll(set, []string{arg})
		if err != nil || answers[0].Code != nil || !answers[0].Known || answers[0].CodeRaw != arg {
			t.Errorf("%q: %+v, %v", arg, answers, err)
		}
	}
}

func TestLookUpNoCode(t *testing.T) {
	set := shippedRules(t, "en")
	args := []string{"banana", "", "4.5", "1e3", "-", "-0", "007", "0x", "99999999999", "NO_SUCH_NAME", "unknown-code", "unknown-code-x"}
	for _, arg := range args {
		if answers, err := lookUpAll(set, []string{arg}); err == nil {
			t.Errorf("%q is taken for a code: %+v", arg, answers)
		}
	}
	_, err := lookUpAll(set, append(args, "-7"))
	if n := strings.Count(err.Error(), "is no code"); n != len(args) {
		t.Errorf("%d of %d mistakes told: %v", n, len(args), err)
	}
}

// TestEveryCodeAnswers holds for every code what an app and a technician's
// terminal rely on.
func TestEveryCodeAnswers(t *testing.T) {
	for _, lang := range rules.ShippedLanguages() {
		set := shippedRules(t, lang)
		for _, code := range set.Codes() {
			a := answer(set, matchNumber(set, code, ""), "x")
			advice, ok := a.Advice[lang]
			if !ok || advice.Title == "" || advice.Summary == "" || len(a.Causes) == 0 || len(a.Codes) == 0 || !a.Known {
				t.Fatalf("%s: %d: incomplete: %+v", lang, code, a)
			}
			for _, reader := range diagnose.Audiences() {
				text := codeText{labels: labelsIn(lang), width: usualWidth, reader: reader}.one(&a)
				for line := range strings.Lines(text) {
					line = strings.TrimRight(line, "\n")
					if columns(line) > usualWidth && strings.Contains(strings.TrimSpace(line), " ") {
						t.Errorf("%s: %d: %d columns: %s", lang, code, columns(line), line)
					}
				}
			}
		}
	}
}

func TestCodeText(t *testing.T) {
	within := 60
	a := codeAnswer{
		Code: new(int32(-9)), Family: diagnose.FamilyFirmware, Condition: "lamp-broken", Severity: diagnose.Minor,
		Causes: []diagnose.RankedCause{
			{Cause: "bulb-burnt-out", Action: diagnose.ActCheckPower, Because: "Bulbs burn out."},
			{Cause: "no-lamp", Action: diagnose.ActNone, Because: "There may be none."},
		},
		Known: true, Title: "The lamp does not shine", Audience: diagnose.User, Deprecated: true, Codes: []int32{-10, -9},
		Advice: map[string]diagnose.Advice{"en": {
			Summary: "The lamp was switched on and stays dark. It may have burnt out in the night, as lamps do.",
			User: []diagnose.Step{{
				Title: "Put in another bulb.", Details: []string{"Switch it off before.", "Let it cool."},
				WorkedIf: "It shines.", WithinS: &within,
			}},
			Technician: []diagnose.Step{{Title: "Measure."}},
		}},
	}
	const want = `The lamp does not shine
-9 (firmware), minor, lamp-broken; the same as -10

The vendor says that this code is not in use.
The lamp was switched on and stays dark. It may have burnt out in the night, as
lamps do.

Causes, the likeliest first:
1. bulb-burnt-out -> check-power
   Bulbs burn out.
2. no-lamp -> none
   There may be none.

What the user does:
1. Put in another bulb.
   - Switch it off before.
   - Let it cool.
   It worked if: It shines. Fieldmedic sees it within 60 s.

Steps for other readers: --for technician
`
	if got := (codeText{labels: labelsIn("en"), width: usualWidth}).one(&a); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestBegin(t *testing.T) {
	for _, c := range []struct{ sentence, noun, want string }{
		{"the device is off", "the device", "The device is off"},
		{"it and the device", "the device", "it and the device"},
		{"该设备不在线", "该设备", "该设备不在线"},
	} {
		if got := begin(c.sentence, c.noun); got != c.want {
			t.Errorf("begin(%q) = %q, want %q", c.sentence, got, c.want)
		}
	}
}
