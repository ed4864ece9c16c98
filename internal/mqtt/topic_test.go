package mqtt

import (
	"slices"
	"strings"
	"testing"
)

func TestMatch(t *testing.T) {
	tests := []struct {
		filter, topic, device string
		ok                    bool
	}{
		{"devices/{device}/status", "devices/ac-7/status", "ac-7", true},
		{"devices/{device}/status", "devices/ac-7/Status", "", false},
		{"devices/{device}/status", "devices/ac-7/status/x", "", false},
		{"devices/{device}/status", "devices/ac-7", "", false},
		{"devices/{device}/status", "devices//status", "", true},
		{"devices/{device}/status", "devices/a/b/status", "", false},
		{"{device}", "x", "x", true},
		{"{device}", "$SYS", "", false},
		{"{device}", "x/", "", false},
		{"+/{device}/#", "$SYS/broker/load", "", false},
		{"+/{device}/#", "home/x", "x", true},
		{"+/{device}/#", "home/x/y/z", "x", true},
		{"+/{device}/#", "home", "", false},
		{"{site}/{room}/{device}", "a/b/c", "c", true},
		{"/{device}/LWT", "/x/LWT", "x", true},
		{"homie/{device}/$state", "homie/x/$state", "x", true},
		{"a/{device}/#", "a/x/", "x", true},
	}
	for _, tt := range tests {
		device, ok := mustSource(t, "s", tt.filter, FormatDNA).Match(tt.topic)
		if device != tt.device || ok != tt.ok {
			t.Errorf("%s matches %s: %q, %t; want %q, %t", tt.filter, tt.topic, device, ok, tt.device, tt.ok)
		}
	}
}

func TestFiltersOverlap(t *testing.T) {
	tests := []struct {
		a, b string
		want bool
	}{
		{"a/b", "a/b", true},
		{"a/b", "a/c", false},
		{"a/+", "a/b", true},
		{"a/+", "+/b", true},
		{"a/+/c", "a/b", false},
		{"a/#", "a", true},
		{"a/#", "a/b/c", true},
		{"a/b/#", "a", false},
		{"#", "x/y", true},
		{"#", "$SYS/x", false},
		{"+/x", "$SYS/x", false},
		{"$SYS/#", "$SYS/x", true},
		{"a/+/#", "a", false},
		{"a/+/#", "a/b", true},
		{"+/b/#", "a/+", true},
		{"a", "a/b", false},
		{"a/", "a", false},
		{"+", "", true},
		{"#", "#", true},
		{"a/#", "b/#", false},
	}
	for _, tt := range tests {
		if FiltersOverlap(tt.a, tt.b) != tt.want || FiltersOverlap(tt.b, tt.a) != tt.want {
			t.Errorf("%s and %s overlap: want %t, both ways", tt.a, tt.b, tt.want)
		}
	}
}

func TestOverlapWithTheOutput(t *testing.T) {
	tests := []struct {
		filter, base string
		want         bool
	}{
		{"devices/+/status", "diagnostics", false},
		{"diagnostics/+/state", "diagnostics", true},
		{"+/+/status", "diagnostics", true},
		{"+", "diagnostics", true},
		{"#", "diagnostics", true},
		{"diagnosticsx/+", "diagnostics", false},
		{"site/devices/+", "site/diagnostics", false},
		{"site/+/+", "site/diagnostics", true},
		{"site/+", "site/diagnostics", true},
		{"site", "site/diagnostics", false},
	}
	for _, tt := range tests {
		if got := Overlap(tt.filter, tt.base); got != tt.want {
			t.Errorf("%s overlaps %s: %t", tt.filter, tt.base, got)
		}
	}
}

// TestOverlapAgreesWithMatching: filters overlap if some topic of a small
// alphabet fits both, which is looked for by trying all of them.
func TestOverlapAgreesWithMatching(t *testing.T) {
	levels := []string{"a", "b", "+", "#", "{device}"}
	var filters []*Source
	walk(levels, 3, nil, func(parts []string) {
		if s, err := NewSource("s", strings.Join(parts, "/"), FormatDNA, 0); err == nil {
			filters = append(filters, s)
		}
	})
	var topics []string
	walk([]string{"a", "b"}, 4, nil, func(parts []string) { topics = append(topics, strings.Join(parts, "/")) })
	if len(filters) < 20 || len(topics) != 30 {
		t.Fatalf("%d filters, %d topics", len(filters), len(topics))
	}
	for _, a := range filters {
		for _, b := range filters {
			both := false
			for _, topic := range topics {
				_, inA := a.Match(topic)
				_, inB := b.Match(topic)
				both = both || inA && inB
			}
			if got := FiltersOverlap(a.Filter(), b.Filter()); got != both {
				t.Errorf("%s and %s: overlap %t, a common topic %t", a.Topic, b.Topic, got, both)
			}
		}
	}
}

func walk(levels []string, depth int, parts []string, visit func([]string)) {
	if len(parts) > 0 {
		visit(parts)
	}
	if depth == 0 {
		return
	}
	for _, l := range levels {
		walk(levels, depth-1, append(slices.Clip(parts), l), visit)
	}
}
