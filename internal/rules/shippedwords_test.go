package rules

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"fieldmedic/internal/diagnose"
)

// forbidden is what no text may advise (docs/rules.md, Words).
var forbidden = []struct {
	re  *regexp.Regexp
	why string
}{
	{regexp.MustCompile(`[{}]`), "a brace: a placeholder that was not replaced"},
	{regexp.MustCompile(`(?i)\b(8\.8\.8\.8|8\.8\.4\.4|1\.1\.1\.1|1\.0\.0\.1|9\.9\.9\.9|114\.114\.114\.114|223\.5\.5\.5|223\.6\.6\.6|119\.29\.29\.29|208\.67\.\d+\.\d+)\b`), "the address of a public resolver"},
	{regexp.MustCompile(`(?i)\b(roll(ing)? back|downgrad\w*|older firmware|previous firmware)\b|降级`), "a firmware downgrade"},
	{regexp.MustCompile(`(?i)\b(switch|turn|disable)\w*( off)? (the )?certificate (check|verification)`), "switching off certificate checks"},
	{regexp.MustCompile(`(?i)\b(please|simply|sorry|unfortunately|oops)\b|请您|抱歉`), "a word that says nothing"},
	{regexp.MustCompile(`[!！]`), "an exclamation mark"},
	{regexp.MustCompile(`\bWi-Fi\b|\bWifi\b|\bWiFi\b`), "Wi\u2011Fi without the non-breaking hyphen U+2011"},
}

var (
	factoryReset = regexp.MustCompile(`(?i)factory (reset|default)|reset .{0,30}factory|恢复出厂`)
	jargon       = regexp.MustCompile(`\b(SDK|DNS|TCP|TLS|HTTPS?|API|MQTT|JSON|VLAN|DHCP|RSSI|IP)\b|\b\d{1,3}(\.\d{1,3}){3}\b`)
)

// TestShippedWords renders every cause in every language, with and without
// facts, for the three readers.
func TestShippedWords(t *testing.T) {
	s := shippedSet(t)
	for _, condition := range s.Conditions() {
		told := map[string]bool{}
		report := func(format string, args ...any) {
			if text := fmt.Sprintf(format, args...); !told[text] {
				told[text] = true
				t.Errorf("%s: %s", condition, text)
			}
		}
		for _, d := range occasions(s.rules[condition].rule) {
			for lang, advice := range s.Advice(&d) {
				checkAdvice(lang+" "+d.Causes[0].Cause, advice, report)
			}
		}
	}
}

func checkAdvice(where string, a diagnose.Advice, report func(string, ...any)) {
	check := func(text string) {
		for _, f := range forbidden {
			if hit := f.re.FindString(text); hit != "" {
				report("%s: %q in %q: %s", where, hit, text, f.why)
			}
		}
		if strings.TrimSpace(text) == "" {
			report("%s: an empty text", where)
		}
	}
	check(a.Title)
	check(a.Summary)
	if len(a.Because) != 1 {
		report("%s: %d sentences why, want 1", where, len(a.Because))
	}
	for _, text := range a.Because {
		check(text)
	}
	for i, steps := range [][]diagnose.Step{a.User, a.Technician, a.Developer} {
		reader := diagnose.Audiences()[i]
		if len(steps) == 0 {
			report("%s: no steps for the %s", where, reader)
			continue
		}
		if factoryReset.MatchString(steps[0].Title) {
			report("%s: %s begins with a factory reset: %q", where, reader, steps[0].Title)
		}
		for _, step := range steps {
			for _, text := range append([]string{step.Title, step.WorkedIf}, step.Details...) {
				check(text)
				if hit := jargon.FindString(text); hit != "" && reader == diagnose.User {
					report("%s: %q in the user's %q", where, hit, text)
				}
			}
		}
	}
}

// TestWordChecksBite holds the checks above against what they must refuse, and
// against what they must let pass.
func TestWordChecksBite(t *testing.T) {
	step := func(title string) []diagnose.Step { return []diagnose.Step{{Title: title, WorkedIf: "It works."}} }
	good := diagnose.Advice{
		Title: "A fault", Summary: "It is so.", Because: []string{"So it is."},
		User: step("Look at the light."), Technician: step("Measure 230 V."), Developer: step("Log the API result."),
	}
	found := func(a diagnose.Advice) (n int) {
		checkAdvice("en", a, func(string, ...any) { n++ })
		return n
	}
	if n := found(good); n != 0 {
		t.Errorf("%d findings in good words", n)
	}
	for _, text := range []string{
		"Use {model|it}.", "Set 8.8.8.8 as resolver.", "Downgrade the firmware.", "Switch off the certificate check.",
		"Please look.", "Look!", "Check Wi-Fi.", "Reset it to factory settings.", "Factory reset it.", "恢复出厂设置。", "",
	} {
		bad := good
		bad.Technician = step(text)
		if found(bad) == 0 {
			t.Errorf("%q is let pass", text)
		}
	}
	for _, text := range []string{"Read the IP address.", "Open 192.168.1.1.", "Log the SDK's answer."} {
		bad := good
		bad.User = step(text)
		if found(bad) == 0 {
			t.Errorf("%q is let pass for the user", text)
		}
	}
	bad := good
	bad.Developer = nil
	if found(bad) == 0 {
		t.Error("no steps for the developer is let pass")
	}
}
