package main

import (
	"maps"
	"slices"
	"strings"

	"fieldmedic/internal/diagnose"
)

// This file is what the words of a diagnosis are called before people.

// adviceIn is the advice in a language, and else in that of the diagnosis' own
// sentences, which is the service's first; and which one it is.
func adviceIn(lang string, d diagnose.DiagnosisJSON) (diagnose.Advice, string) {
	if advice, ok := d.Advice[lang]; ok {
		return advice, lang
	}
	languages := slices.Sorted(maps.Keys(d.Advice))
	for _, lang := range languages {
		if d.Advice[lang].Title == d.Title {
			return d.Advice[lang], lang
		}
	}
	if len(languages) == 0 {
		return diagnose.Advice{}, ""
	}
	return d.Advice[languages[0]], languages[0]
}

func stepsFor(advice diagnose.Advice, reader diagnose.Audience) []diagnose.Step {
	switch reader {
	case diagnose.User:
		return advice.User
	case diagnose.Developer:
		return advice.Developer
	case diagnose.Technician:
	}
	return advice.Technician
}

func verdictWord(v diagnose.Verdict) string {
	switch v {
	case diagnose.VerdictConfirmed:
		return "It is"
	case diagnose.VerdictLikely:
		return "Likely"
	case diagnose.VerdictExcluded:
		return "Ruled out"
	case diagnose.VerdictPossible:
	}
	return "Possibly"
}

func evidenceWord(v diagnose.EvidenceVerdict) string {
	switch v {
	case diagnose.Supports:
		return "speaks for it"
	case diagnose.Refutes:
		return "speaks against it"
	case diagnose.NotApplicable:
		return "could not be checked here"
	case diagnose.Inconclusive:
	}
	return "does not tell"
}

func statusWord(s diagnose.Status) string {
	if s == diagnose.Undetermined {
		return "not decided by the checks"
	}
	return string(s)
}

func endedBy(c diagnose.ClearedBy) string {
	switch c {
	case diagnose.BySignal:
		return "the device said that it works"
	case diagnose.ByQuiet:
		return "nothing more was heard of it"
	case diagnose.ByManual:
		return "a person closed it"
	case diagnose.BySuperseded:
		return "another fault took its place"
	case diagnose.ByRetired:
		return "the device was removed"
	}
	return "ended"
}

// differences tells what of a diagnosis changed, in the order of what matters
// most to a reader.
func differences(before, now diagnose.Diagnosis) []string {
	var list []string
	add := func(changed bool, text ...string) {
		if changed {
			list = append(list, strings.Join(text, " "))
		}
	}
	if before.ID == "" {
		return nil
	}
	add(before.Status != now.Status, "now", statusWord(now.Status))
	add(before.Severity != now.Severity, "now", string(now.Severity))
	add(before.Leading().Cause != now.Leading().Cause, "likelier now:", strings.ReplaceAll(now.Leading().Cause, "-", " "))
	add(before.Action != now.Action, "action now", string(now.Action))
	add(before.CodeRaw != now.CodeRaw, "code now", visible(now.CodeRaw))
	add(before.Flapping == nil && now.Flapping != nil, "comes and goes")
	add(before.ExplainedBy == "" && now.ExplainedBy != "", "explained by another fault")
	add(before.ExplainedBy != "" && now.ExplainedBy == "", "not explained by another fault any more")
	addDecision := func(before, now *diagnose.Decision, word string) {
		add(before == nil && now != nil, word)
		add(before != nil && now == nil, "not", word, "any more")
		add(before != nil && now != nil && *before != *now, word, "anew")
	}
	addDecision(before.Acknowledged, now.Acknowledged, "acknowledged")
	addDecision(before.Ignored, now.Ignored, "ignored")
	add(before.Stale && !now.Stale, "heard of again")
	if len(list) == 0 {
		list = append(list, "order or verdict of the causes")
	}
	return list
}
