package mqtt

import "testing"

func TestParseCode(t *testing.T) {
	tests := []struct {
		text string
		code int32
		raw  string
		ok   bool
	}{
		{"-4013", -4013, "-4013", true},
		{"4013", 4013, "4013", true},
		{"0xfff9", -7, "0xfff9", true},
		{"0XFFF9", -7, "0XFFF9", true},
		{"0x0000fff9", -7, "0x0000fff9", true},
		{"0x7fff", 32767, "0x7fff", true},
		{"0x8000", -32768, "0x8000", true},
		{"0x80000000", -2147483648, "0x80000000", true},
		{"0x0", 0, "0x0", true},
		{"[Errno -7] [Errno -3]", -7, "-7", true},
		{"[Errno 113] No route to host", 113, "113", true},
		{"0", 0, "0", true},
		{"-0", 0, "", false},
		{"+7", 0, "", false},
		{"007", 0, "", false},
		{"--7", 0, "", false},
		{"", 0, "", false},
		{"0x", 0, "", false},
		{"0x000000000", 0, "", false},
		{"0x-7", 0, "", false},
		{"[Errno ]", 0, "", false},
		{"[Errno 0x7]", 0, "", false},
		{"1_000", 0, "", false},
		{"7a", 0, "", false},
		{"4294967296", 0, "", false},
		{"-2147483649", 0, "", false},
		{"-4294967289", 0, "", false},
		{"18446744073709551609", 0, "", false},
		{"٧", 0, "", false},
	}
	for _, tt := range tests {
		code, raw, ok := ParseCode(tt.text)
		if ok != tt.ok || ok && (code != tt.code || raw != tt.raw) {
			t.Errorf("ParseCode(%q) is %d, %q, %t; want %d, %q, %t", tt.text, code, raw, ok, tt.code, tt.raw, tt.ok)
		}
	}
}
