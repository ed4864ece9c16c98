package mqtt

import (
	"strings"
	"testing"
)

func TestMaskSecrets(t *testing.T) {
	tests := []struct{ in, want string }{
		{`{"cookie":"abc","status":-7}`, `{"cookie":"***","status":-7}`},
		{`{"devSession" : "abc", "loginsession":"d"}`, `{"devSession" : "***", "loginsession":"***"}`},
		{`{"aeskey":"a","AccessToken":"b","licenseId":"c","Session_ID":"d"}`, `{"aeskey":"***","AccessToken":"***","licenseId":"***","Session_ID":"***"}`},
		{`{"token":"a\"b\\","x":1}`, `{"token":"***","x":1}`},
		{`{"token":"cut of`, `{"token":"***`},
		{`{"token":"cut of\`, `{"token":"***`},
		{`{"token":12345,"x":true}`, `{"token":***,"x":true}`},
		{`{"token":{"a":"}x"},"y":1}`, `{"token":***`},
		{`{"keys":["a","b"]}`, `{"keys":***`},
		{`{"data":"{\"cookie\":\"a\\\"b\",\"x\":1}"}`, `{"data":"{\"cookie\":\"***\",\"x\":1}"}`},
		{`{"data":"{\"cookie\":\"abc`, `{"data":"{\"cookie\":\"***`},
		{"{\n  \"cookie\":\n    \"abc\"\n}", "{\n  \"cookie\":\n    \"***\"\n}"},
		{`{'key': 'abc'}`, `{'key': '***'}`},
		{`token=abc&x=1`, `token=***&x=1`},
		{`bad token: abc (x)`, `bad token: *** (x)`},
		{`Authorization-Token: Bearer abc.def`, `Authorization-Token: ***`},
		{"Cookie: a=b; c=d\r\nHost: x", "Cookie: ***\r\nHost: x"},
		{`cookie: S3K; key="S3K"`, `cookie: ***"`},
		{`{"status":-7,"msg":"cookie: S3K; key=\"S3K\""}`, `{"status":-7,"msg":"cookie: ***"}`},
		{`Authorization: Bearer S3K`, `Authorization: ***`},
		{`license: A B C`, `license: ***`},
		{`password=hunter2 client_secret=x`, `password=*** client_secret=***`},
		{`key==abc`, `key=***`},
		{`token:`, `token:`},
		{`{"token":"","x":1}`, `{"token":"","x":1}`},
		{`Control key is expired: -7`, `Control key is expired: -7`},
		{`nothing to hide`, `nothing to hide`},
		{`{"status":-7,"msg":"a"}`, `{"status":-7,"msg":"a"}`},
		{``, ``},
	}
	for _, tt := range tests {
		if got := MaskSecrets(tt.in); got != tt.want {
			t.Errorf("MaskSecrets(%s)\n got %s\nwant %s", tt.in, got, tt.want)
		}
	}
}

// TestCutAnywhereHidesAll: wherever a text is cut off, no three bytes of a
// secret are left.
func TestCutAnywhereHidesAll(t *testing.T) {
	const secret = "QZXWV"
	whole := `{"cookie":"QZXWV","data":"{\"devSession\":\"QZXWV\"}","license" : "QZXWV","k":{"token":["QZXWV"]},"text":"key=QZXWV"}`
	for n := range len(whole) + 1 {
		if got := MaskSecrets(whole[:n]); strings.Contains(got, secret[:3]) {
			t.Errorf("cut at %d: %s", n, got)
		}
	}
}
