package mqtt

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestRefusalsAreLabels(t *testing.T) {
	label := regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)
	seen := map[string]bool{}
	for _, r := range Refusals() {
		if !label.MatchString(string(r)) || seen[string(r)] {
			t.Errorf("refusal %q is no kebab-case name of its own", r)
		}
		seen[string(r)] = true
	}
	if len(seen) != 5 || !slices.Contains(Refusals(), RefusedBadID) {
		t.Errorf("refusals %v", Refusals())
	}
}

func TestSamples(t *testing.T) {
	tests := []struct{ payload, want string }{
		{"online", "online"},
		{strings.Repeat("x", 300), strings.Repeat("x", 200)},
		{strings.Repeat("错", 100), strings.Repeat("错", 66)},
		{"\xff\xfe-7", "\uFFFD-7"},
		{"a\x1b[31m\x00\u202eb\r\nc", `a\u001b[31m\u0000\u202eb  c`},
		{`{"status":true,"token":"` + strings.Repeat("s", 500) + `","x":1}`, `{"status":true,"token":"***","x":1}`},
		{strings.Repeat("x", 195) + `"token":"abc"`, strings.Repeat("x", 195) + `"toke`},
	}
	for _, tt := range tests {
		refused := refuse(RefusedMalformed, "devices/ac-7/status", "status", []byte(tt.payload), testTime)
		if refused.Sample != tt.want || refused.Bytes != len(tt.payload) || !refused.At.Equal(testTime) {
			t.Errorf("sample %q of %d bytes at %s, want %q", refused.Sample, refused.Bytes, refused.At, tt.want)
		}
	}
}

func TestTopicOfRefusedInput(t *testing.T) {
	d := testDecoder(t)
	_, refused := d.Decode("devices/"+strings.Repeat("客\x00\xff", 9000)+"/status", []byte("-7"), false, testTime)
	if refused == nil || refused.Reason != RefusedBadID || len(refused.Topic) > maxShownTopic || !utf8.ValidString(refused.Topic) || strings.ContainsRune(refused.Topic, 0) {
		t.Errorf("%+v", refused)
	}
}

func TestTooLargeToRead(t *testing.T) {
	refused := testDecoder(t).RefuseTooLarge("devices/ac-7/status", []byte(`{"token":"ab`), 300<<10, testTime)
	if refused.Reason != RefusedTooLarge || refused.Source != "status" || refused.Bytes != 300<<10 || refused.Sample != `{"token":"***` || refused.Topic != "devices/ac-7/status" {
		t.Errorf("%+v", refused)
	}
	if refused = testDecoder(t).RefuseTooLarge("elsewhere", nil, 1, testTime); refused.Source != "" {
		t.Errorf("%+v", refused)
	}
}
