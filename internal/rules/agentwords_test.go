package rules

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"fieldmedic/internal/diagnose"
)

// agentLanguages are those that the agent's own faults speak, whatever the
// other packs do.
func agentLanguages() []string { return []string{"en", "zh-Hans", "de", "es", "fr"} }

// TestAgentWords: all languages are there in full, keep to the house rules of
// words, have the same placeholders, and none is a copy of the English.
func TestAgentWords(t *testing.T) {
	langs := agentLanguages()
	s, err := Load(Options{Languages: langs})
	if err != nil {
		t.Fatal(err)
	}
	for _, lang := range langs {
		if slices.Contains(s.Missing(lang), "agent") {
			t.Errorf("pack agent has no words in %s", lang)
		}
	}
	for _, condition := range ownConditions() {
		told := map[string]bool{}
		report := func(format string, args ...any) {
			if text := fmt.Sprintf(format, args...); !told[text] {
				told[text] = true
				t.Errorf("%s: %s", condition, text)
			}
		}
		for _, d := range occasions(s.Rule(condition)) {
			d.Device = ""
			all := s.Advice(&d)
			for lang, advice := range all {
				where := lang + " " + d.Causes[0].Cause
				checkAdvice(where, advice, report)
				checkSafe(where, advice, report)
				if lang != "en" {
					checkTranslated(where, all["en"], advice, report)
				}
			}
		}
	}
}

// destructive is what no text on the agent may tell anybody to do: it would
// take the evidence, or what is not yet sent, with it.
var destructive = regexp.MustCompile(`rm -rf?\b|mkfs|vacuum|prune|(rm|mv) /var/lib/fieldmedic|retain.*-n\b|kill -9`)

func checkSafe(where string, a diagnose.Advice, report func(string, ...any)) {
	for _, text := range textsOf(a) {
		if hit := destructive.FindString(text); hit != "" {
			report("%s: %q in %q takes evidence away", where, hit, text)
		}
	}
}

// checkTranslated holds one language against the English: as many steps and
// lines, the same values filled in, and other words.
func checkTranslated(where string, en, other diagnose.Advice, report func(string, ...any)) {
	a, b := textsOf(en), textsOf(other)
	if len(a) != len(b) {
		report("%s: %d texts, want %d as in English", where, len(b), len(a))
		return
	}
	for i := range a {
		if a[i] == b[i] && !isCommand(a[i]) {
			report("%s: not translated: %q", where, a[i])
		}
		for _, value := range []string{"gw-1", "MSG"} {
			if strings.Contains(a[i], value) != strings.Contains(b[i], value) {
				report("%s: %q has no placeholder, or one too many, beside %q", where, b[i], a[i])
			}
		}
	}
}

// isCommand tells that a line is for a terminal, which speaks one language.
func isCommand(text string) bool {
	first, _, _ := strings.Cut(text, " ")
	return slices.Contains([]string{
		"dmesg", "systemctl", "tar", "mosquitto_sub", "journalctl", "openssl", "timeout", "dd", "OpenWrt:",
	}, first)
}

// textsOf are all texts, in order.
func textsOf(a diagnose.Advice) []string {
	all := append([]string{a.Title, a.Summary}, a.Because...)
	for _, steps := range [][]diagnose.Step{a.User, a.Technician, a.Developer} {
		for _, s := range steps {
			all = append(all, s.Title)
			all = append(all, s.Details...)
			all = append(all, s.WorkedIf)
		}
	}
	return all
}
