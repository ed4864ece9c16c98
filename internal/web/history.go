package web

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"fieldmedic/internal/diagnose"
)

// This file turns a diagnosis and its events into words.

type timeView struct {
	At   moment
	What string
	// Title of the condition, in the words of when it happened.
	Title string
	Code  string
	More  []string
}

// timeline tells events, newest first. An event that cannot be read is left
// out: its row in the log has a sum of its own and was written by us.
func (t *teller) timeline(entries []diagnose.LogEntry) []timeView {
	var views []timeView
	before := make(map[string]*diagnose.Diagnosis)
	for _, e := range entries {
		var event diagnose.Event
		if json.Unmarshal(e.Body, &event) != nil || event.Diagnosis == nil {
			continue
		}
		d := event.Diagnosis
		v := timeView{At: t.moment(event.At), Title: d.Title, Code: codeOf(d)}
		switch event.Type {
		case diagnose.Raised:
			v.What, v.More = "Raised", marks(d)
		case diagnose.Cleaned:
			v.What, v.More = "Cleared", []string{clearedWords(d.ClearedBy)}
		default:
			v.What, v.More = "Changed", differences(before[d.Condition], d)
		}
		before[d.Condition] = d
		views = append(views, v)
	}
	slices.Reverse(views)
	return views
}

// differences says what a change changed; of the first one known, how things
// stood after it.
func differences(old, d *diagnose.Diagnosis) []string {
	if old == nil || old.ID != d.ID {
		return append([]string{string(d.Status), string(d.Severity)}, marks(d)...)
	}
	var list []string
	was := func(name, before, after string) {
		if before != after {
			list = append(list, name+" "+after+", was "+before)
		}
	}
	was("status", string(old.Status), string(d.Status))
	was("severity", string(old.Severity), string(d.Severity))
	was("action", string(old.Action), string(d.Action))
	was("code", codeOf(old), codeOf(d))
	was("leading cause", old.Leading().Cause, d.Leading().Cause)
	now := marks(d)
	then := marks(old)
	for _, m := range now {
		if !slices.Contains(then, m) {
			list = append(list, m)
		}
	}
	for _, m := range then {
		if !slices.Contains(now, m) {
			list = append(list, "no longer: "+m)
		}
	}
	if len(list) == 0 {
		list = append(list, "order or verdict of causes")
	}
	return list
}

// marks are what else there is to say of a diagnosis, in words.
func marks(d *diagnose.Diagnosis) []string {
	var list []string
	if a := d.Acknowledged; a != nil {
		list = append(list, "on it"+by(a))
	}
	if i := d.Ignored; i != nil {
		list = append(list, "ignored"+by(i))
	}
	if d.Flapping != nil {
		list = append(list, "comes and goes, "+strconv.Itoa(d.Flapping.Changes)+" times")
	}
	if d.ExplainedBy != "" {
		list = append(list, "explained by another fault")
	}
	if d.Stale {
		list = append(list, "last known state, not reported since")
	}
	return list
}

func by(d *diagnose.Decision) string {
	if d.By == "" {
		return ""
	}
	return ": " + visible(d.By)
}

// codeOf is the number, or the name where the vendor sends one; "" for
// neither.
func codeOf(d *diagnose.Diagnosis) string {
	if d.Code != nil {
		return strconv.FormatInt(int64(*d.Code), 10)
	}
	return strings.TrimSpace(visible(d.CodeRaw))
}

func clearedWords(c diagnose.ClearedBy) string {
	switch c {
	case diagnose.BySignal:
		return "by a good report"
	case diagnose.ByQuiet:
		return "no report for long enough"
	case diagnose.ByManual:
		return "by a person"
	case diagnose.BySuperseded:
		return "another fault took its place"
	case diagnose.ByRetired:
		return "the device or its rule is gone"
	}
	return string(c)
}

func evidenceWords(v diagnose.EvidenceVerdict) string {
	switch v {
	case diagnose.Supports:
		return "Supports"
	case diagnose.Refutes:
		return "Refutes"
	case diagnose.Inconclusive:
		return "Cannot tell"
	case diagnose.NotApplicable:
		return "Does not apply"
	}
	return string(v)
}
