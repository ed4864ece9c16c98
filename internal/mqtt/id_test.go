package mqtt

import (
	"strings"
	"testing"
)

func TestEscapeID(t *testing.T) {
	for id, want := range map[string]string{
		"ac-7":          "ac-7",
		"A.b_c~9":       "A.b_c~9",
		"a b":           "a%20b",
		"a%2Fb":         "a%252Fb",
		"客":             "%E5%AE%A2",
		"$SYS":          "%24SYS",
		"78:0f:77":      "78%3A0f%3A77",
		"gw/1":          "gw%2F1",
		"x\u202ey":      "x%E2%80%AEy",
		"+#":            "%2B%23",
		"!*'()@&=,;":    "%21%2A%27%28%29%40%26%3D%2C%3B",
		"..":            "..",
		"\x00\xff\x7f ": "%00%FF%7F%20",
	} {
		if got := EscapeID(id); got != want {
			t.Errorf("EscapeID(%q) is %q, want %q", id, got, want)
		}
		back, ok := UnescapeID(want)
		if ok != ValidID(id) || ok && back != id {
			t.Errorf("UnescapeID(%q) is %q, %t; the id was %q", want, back, ok, id)
		}
	}
}

func TestUnescapeRefusesWhatWasNeverWritten(t *testing.T) {
	for _, level := range []string{"", "%", "%4", "a%2", "%2f", "%41", "%zz", "%2B", "%00", "%FF", "a b", "a%20b c", "客", "a/b", "%C2%85", strings.Repeat("x", 129)} {
		if id, ok := UnescapeID(level); ok {
			t.Errorf("UnescapeID(%q) is %q", level, id)
		}
	}
}

func TestDeviceIDs(t *testing.T) {
	d := testDecoder(t)
	good := []string{"a", "ac-7", "客厅", strings.Repeat("x", 128), "a b", "$SYS", "..", "a%2Fb", "x\u202ey", "{device}"}
	for _, id := range good {
		o, refused := d.Decode("devices/"+id+"/status", []byte("-7"), true, testTime)
		if refused != nil || o.Device != id || o.Source != "status" || !o.Retained || !o.At.Equal(testTime) {
			t.Errorf("id %q: %+v, refused %+v", id, o, refused)
		}
	}
	for _, id := range []string{"", strings.Repeat("x", 129), strings.Repeat("客", 43), "a+b", "#", "a\x00b", "a\nb", "a\x7fb", "a\u0085b", "a\xff"} {
		for _, payload := range []string{"-7", ""} {
			_, refused := d.Decode("devices/"+id+"/status", []byte(payload), false, testTime)
			if refused == nil || refused.Reason != RefusedBadID || refused.Source != "status" {
				t.Errorf("id %q: refused %+v, want %s", id, refused, RefusedBadID)
			}
		}
	}
	if _, refused := d.Decode("devices/a/../#/status", []byte("-7"), false, testTime); refused == nil || refused.Reason != RefusedNoSource {
		t.Errorf("a topic of no source: %+v", refused)
	}
}
