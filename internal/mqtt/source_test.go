package mqtt

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestSourceFilter(t *testing.T) {
	for topic, want := range map[string]string{
		"devices/{device}/status": "devices/+/status",
		"{site}/+/{device}/x/#":   "+/+/+/x/#",
		"{device}":                "+",
		"/{device}//":             "/+//",
		"homie/{device}/$state":   "homie/+/$state",
		"楼/{device}/{room-1.a_B}": "楼/+/+",
	} {
		s, err := NewSource("status", topic, FormatAvailability, time.Minute)
		if err != nil {
			t.Errorf("%s: %v", topic, err)
			continue
		}
		if s.Filter() != want || s.Topic != topic || s.Name != "status" || s.Format != FormatAvailability || s.ExpectEvery != time.Minute {
			t.Errorf("%s: %+v with filter %s, want %s", topic, s, s.Filter(), want)
		}
	}
}

func TestSourceMistakes(t *testing.T) {
	const right = "devices/{device}/status"
	tests := []struct {
		name, topic string
		format      Format
		every       time.Duration
		want        []string
	}{
		{"s", "", FormatDNA, 0, []string{"topic: the topic is empty (a filter with one level {device}, as in devices/{device}/status)"}},
		{"s", "devices/status", FormatDNA, 0, []string{`topic: "devices/status" has 0 levels {device} (exactly one, as in devices/{device}/status)`}},
		{"s", "devices/+/status", FormatDNA, 0, []string{`topic: "devices/+/status" has 0 levels {device} (exactly one, as in devices/{device}/status)`}},
		{"s", "{device}/{device}", FormatDNA, 0, []string{`topic: "{device}/{device}" has 2 levels {device} (exactly one, as in devices/{device}/status)`}},
		{"s", "#/{device}", FormatDNA, 0, []string{"topic: # is not the last level (# matches everything below, so it can only come last)"}},
		{"s", "a#/{device}", FormatDNA, 0, []string{`topic: level "a#" mixes a wildcard with text (a wildcard stands alone in its level)`}},
		{"s", "+a/{device}", FormatDNA, 0, []string{`topic: level "+a" mixes a wildcard with text (a wildcard stands alone in its level)`}},
		{"s", "dev-{device}", FormatDNA, 0, []string{
			`topic: level "dev-{device}" is neither a literal nor a name in braces ({device} fills its level; names are letters, digits, dots, dashes and underscores)`,
			`topic: "dev-{device}" has 0 levels {device} (exactly one, as in devices/{device}/status)`,
		}},
		{"s", "{}/{device}", FormatDNA, 0, []string{`topic: level "{}" is neither a literal nor a name in braces ({device} fills its level; names are letters, digits, dots, dashes and underscores)`}},
		{"s", "{a/{device}", FormatDNA, 0, []string{`topic: level "{a" is neither a literal nor a name in braces ({device} fills its level; names are letters, digits, dots, dashes and underscores)`}},
		{"s", "a}/{device}", FormatDNA, 0, []string{`topic: level "a}" is neither a literal nor a name in braces ({device} fills its level; names are letters, digits, dots, dashes and underscores)`}},
		{"s", "{x}/{x}/{device}", FormatDNA, 0, []string{"topic: {x} stands 2 times (a name once; + where the level does not matter)"}},
		{"s", "$SYS/{device}", FormatDNA, 0, []string{`topic: "$SYS/{device}" begins with $ (topics of the broker itself and shared subscriptions are no sources)`}},
		{"s", "a\x00/{device}", FormatDNA, 0, []string{`topic: "a\x00/{device}" holds a control character or NUL (printable characters)`}},
		{"s", "a\xff/{device}", FormatDNA, 0, []string{`topic: "a\xff/{device}" is not valid UTF-8 (MQTT 3.1.1 section 1.5.3 demands it)`}},
		{"s", strings.Repeat("a", 247) + "/{device}", FormatDNA, 0, []string{"topic: the topic has 256 bytes (255 at most)"}},
		{"s", right, "zigbee", 0, []string{`format: unknown format "zigbee" (dna or availability)`}},
		{"s", right, "", 0, []string{`format: unknown format "" (dna or availability)`}},
		{"s", right, FormatDNA, -time.Second, []string{"expect_every: -1s is no time to wait for a report (0s for off, or 1s and longer)"}},
		{"s", right, FormatDNA, time.Millisecond, []string{"expect_every: 1ms is no time to wait for a report (0s for off, or 1s and longer)"}},
		{"", "x", "y", -1, []string{
			`name: "" is no name (1 to 64 letters, digits, dots, dashes and underscores)`,
			`topic: "x" has 0 levels {device} (exactly one, as in devices/{device}/status)`,
			`format: unknown format "y" (dna or availability)`,
			"expect_every: -1ns is no time to wait for a report (0s for off, or 1s and longer)",
		}},
		{"a b", right, FormatDNA, 0, []string{`name: "a b" is no name (1 to 64 letters, digits, dots, dashes and underscores)`}},
	}
	for _, tt := range tests {
		s, err := NewSource(tt.name, tt.topic, tt.format, tt.every)
		if err == nil || s != nil {
			t.Errorf("%q, %q: %+v without a mistake", tt.name, tt.topic, s)
			continue
		}
		if got, want := err.Error(), strings.Join(tt.want, "\n"); got != want {
			t.Errorf("%q, %q:\n got %s\nwant %s", tt.name, tt.topic, got, want)
		}
		var m *SourceMistake
		if !errors.As(err, &m) || !strings.HasPrefix(tt.want[0], m.Key+": ") {
			t.Errorf("%q, %q: %#v is no *SourceMistake of its key", tt.name, tt.topic, err)
		}
	}
}

func TestLongestTopic(t *testing.T) {
	if _, err := NewSource("s", strings.Repeat("a", 246)+"/{device}", FormatDNA, 0); err != nil {
		t.Error(err)
	}
}

func TestFormats(t *testing.T) {
	for _, f := range Formats() {
		if _, err := NewSource("s", "{device}", f, 0); err != nil {
			t.Errorf("format %s is listed and yet: %v", f, err)
		}
	}
	if len(Formats()) != 2 {
		t.Errorf("formats %v", Formats())
	}
}
