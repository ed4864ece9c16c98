package main

import (
	"strings"
	"testing"
	"time"
)

func TestVisible(t *testing.T) {
	for in, want := range map[string]string{
		"ac-7":                 "ac-7",
		"空调 7":                 "空调 7",
		"a\u202eb":             `a\u202eb`,
		"a\x1b[31mb":           `a\u001b[31mb`,
		"line\nline":           `line\u000aline`,
		"zero\u200bwidth":      `zero\u200bwidth`,
		"\U000e0041tag":        `\U000e0041tag`,
		"cut\xff":              `cut\xff`,
		"sent \ufffd as is":    "sent \ufffd as is",
		"no\u00a0break":        "no\u00a0break",
		"isolate\u2066x\u2069": `isolate\u2066x\u2069`,
	} {
		if got := visible(in); got != want {
			t.Errorf("visible(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestAgo(t *testing.T) {
	for in, want := range map[time.Duration]string{
		-time.Second: "0 s", 59 * time.Second: "59 s", time.Minute: "1 min", 90 * time.Minute: "1 h",
		47 * time.Hour: "47 h", 49 * time.Hour: "2 d",
	} {
		if got := ago(in); got != want {
			t.Errorf("ago(%s) = %q, want %q", in, got, want)
		}
	}
}

func TestTableKeepsItsWidth(t *testing.T) {
	var b strings.Builder
	head := []column{{"DEVICE", 10}, {"WHAT", 0}, {"ACTION", 21}}
	rows := [][]string{
		{strings.Repeat("x", 128), "A short one", "retry"},
		{"客厅空调一号机", "设备的主板没有回应无线模块，请检查连接线和供电，然后重新开机。", "check-mainboard-link"},
		{"ac", strings.Repeat("many words ", 12), "none"},
	}
	if err := printTable(&b, 60, head, rows); err != nil {
		t.Fatal(err)
	}
	action := 0
	for i, line := range strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n") {
		if n := columns(line); n > 60 {
			t.Errorf("line %d is %d columns wide: %q", i, n, line)
		}
		for _, word := range []string{"ACTION", "retry", "check-mainboard-link", "none"} {
			before, _, found := strings.Cut(line, word)
			if !found {
				continue
			}
			if action == 0 {
				action = columns(before)
			}
			if columns(before) != action {
				t.Errorf("%s begins in column %d, want %d: %q", word, columns(before), action, line)
			}
		}
	}
	if got := strings.Count(b.String(), "x"); got != 128 {
		t.Errorf("%d characters of the long id are there, want 128", got)
	}
}
