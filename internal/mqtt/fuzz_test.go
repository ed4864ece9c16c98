package mqtt

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"fieldmedic/internal/diagnose"
)

// FuzzDecode: whatever is sent, the answer is one of two values, and every
// text in it is bounded and valid.
func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("testdata/payloads/*")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		if payload, err := os.ReadFile(file); err == nil {
			f.Add("devices/ac-7/status", payload, false)
		}
	}
	for _, payload := range []string{"", "-7", `"0xfff9"`, `{"state":"offline","ts":"x"}`, `{"status":-7,"STATUS":0}`, "[Errno -7] token=x", "\xff", "[[[[", `{"st\u0061tus":1.5}`} {
		f.Add("devices/客/availability", []byte(payload), true)
		f.Add("devices/ac-7/status", []byte(payload), true)
	}
	d := testDecoder(f)
	f.Fuzz(func(t *testing.T, topic string, payload []byte, retained bool) {
		before := string(payload)
		o, refused := d.Decode(topic, payload, retained, testTime)
		if string(payload) != before {
			t.Error("the payload was changed")
		}
		if refused != nil {
			checkRefused(t, &o, refused, payload)
			return
		}
		checkObservation(t, &o, retained)
	})
}

func checkRefused(t *testing.T, o *diagnose.Observation, r *diagnose.RefusedInput, payload []byte) {
	t.Helper()
	if !reflect.DeepEqual(*o, diagnose.Observation{}) {
		t.Errorf("refused, and yet %+v", o)
	}
	if len(r.Sample) > 200 || !utf8.ValidString(r.Sample) || MaskSecrets(r.Sample) != MaskSecrets(MaskSecrets(r.Sample)) {
		t.Errorf("sample %q", r.Sample)
	}
	if strings.ContainsFunc(r.Sample+r.Topic, func(c rune) bool { return c < ' ' || c == 0x7f || diagnose.IsBidi(c) }) {
		t.Errorf("hidden characters in %q, %q", r.Sample, r.Topic)
	}
	if len(r.Topic) > maxShownTopic || !utf8.ValidString(r.Topic) || r.Bytes != len(payload) || r.Reason == "" {
		t.Errorf("%+v", r)
	}
}

func checkObservation(t *testing.T, o *diagnose.Observation, retained bool) {
	t.Helper()
	if !ValidID(o.Device) || o.Source == "" || o.Retained != retained || !o.At.Equal(testTime) {
		t.Errorf("%+v", o)
	}
	if len(o.CodeRaw) > 64 || o.Says == diagnose.SaysFault && o.CodeRaw == "" {
		t.Errorf("raw code %q", o.CodeRaw)
	}
	hasKey := o.Says == diagnose.SaysFault || o.Says == diagnose.SaysLost
	if hasKey != (o.Key != diagnose.Key{}) || hasKey && (o.Key.Code != 0) == (o.Key.Name != "") {
		t.Errorf("says %d with key %+v", o.Says, o.Key)
	}
	if o.SourceTS != nil && (!json.Valid(o.SourceTS) || len(o.SourceTS) > maxTS) {
		t.Errorf("ts %s", o.SourceTS)
	}
	if _, err := o.Reported.MarshalJSON(); err != nil {
		t.Errorf("reported: %v", err)
	}
	f := o.Facts
	for _, text := range []string{o.Msg, o.CodeRaw, f.DID, f.PID, f.MAC, f.IP, f.Model, f.FW} {
		if !utf8.ValidString(text) || utf8.RuneCountInString(text) > 256 || diagnose.CleanText(text, 256) != text {
			t.Errorf("text %q", text)
		}
	}
}

// FuzzTopic: a source of any topic either has a mistake or matches what its
// own filter matches.
func FuzzTopic(f *testing.F) {
	for _, seed := range [][2]string{
		{"devices/{device}/status", "devices/a/status"}, {"+/{device}/#", "$SYS/x"}, {"{a}/{device}", "/"}, {"{device}/#", ""}, {"a#/{device}", "a/b"}, {"{/}", "{/}"}, {"{device}/+/#", "x//"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, filter, topic string) {
		s, err := NewSource("s", filter, FormatDNA, 0)
		if err != nil {
			if s != nil || !strings.Contains(err.Error(), "(") {
				t.Errorf("%v does not say what would be right", err)
			}
			return
		}
		device, ok := s.Match(topic)
		if ok && strings.Contains(device, "/") {
			t.Errorf("%s in %s gives %q", filter, topic, device)
		}
		if concrete := !strings.ContainsAny(topic, "+#"); concrete && ok != FiltersOverlap(s.Filter(), topic) {
			t.Errorf("%s matches %q: %t; overlap says the opposite", filter, topic, ok)
		}
	})
}

// FuzzEscapeID: every id has one topic level, without anything that MQTT reads
// in a special way, and comes back from it.
func FuzzEscapeID(f *testing.F) {
	for _, seed := range []string{"ac-7", "a b", "%2F", "客", "\x00", "+/#", "\xff", "", "~", "%"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, id string) {
		level := EscapeID(id)
		if strings.ContainsAny(level, "+#/$\x00 ") || strings.ContainsFunc(level, func(c rune) bool { return c > '~' }) {
			t.Errorf("EscapeID(%q) is %q", id, level)
		}
		back, ok := UnescapeID(level)
		if ok != ValidID(id) || ok && back != id {
			t.Errorf("%q becomes %q becomes %q, %t", id, level, back, ok)
		}
		if raw, ok := UnescapeID(id); ok && EscapeID(raw) != id {
			t.Errorf("level %q is read as %q, which is written as %q", id, raw, EscapeID(raw))
		}
	})
}

// FuzzMask: masking twice is masking once or more, never less, and a secret
// behind a quoted key never shows.
func FuzzMask(f *testing.F) {
	for _, seed := range []string{"abc", `a"b`, `\`, `{"x":1}`, "a,b", " Bearer x", `"}`} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, before, after string) {
		const secret = "QZXWVQZXWV"
		quoted, err := json.Marshal(map[string]any{"a": before, "session": secret + after, "z": after})
		if err != nil || strings.Contains(before+after, secret) || strings.Contains(after, "QZX") {
			return
		}
		if got := MaskSecrets(string(quoted)); strings.Contains(got, secret) {
			t.Errorf("%s becomes %s", quoted, got)
		}
		if got := MaskSecrets(before + after); utf8.ValidString(before+after) && !utf8.ValidString(got) {
			t.Errorf("%q becomes invalid: %q", before+after, got)
		}
	})
}
