package diagnose

import (
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// This file is how texts stand in JSON.

// AppendText appends s as a JSON string, the same as encoding/json.
func AppendText(b []byte, s string) []byte {
	if !plain(s) {
		quoted, err := json.Marshal(s)
		if err == nil { // a string always encodes
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// plain tells that a text stands in JSON as it is.
func plain(s string) bool {
	const escaped uint64 = 1<<' ' - 1 | 1<<'"' | 1<<'<' | 1<<'>' | 1<<'&' // one bit for each sign below 64
	ascii := true
	for i := range len(s) {
		switch c := s[i]; {
		case c < 64:
			if escaped>>c&1 != 0 {
				return false
			}
		case c == '\\':
			return false
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	// U+2028 and U+2029 end a line in JavaScript, and are escaped for it.
	return ascii || utf8.ValidString(s) && !strings.Contains(s, "\u2028") && !strings.Contains(s, "\u2029")
}

// digits tells that b is a whole number without a sign, and so JSON as it is.
func digits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(b) > 0 && (b[0] != '0' || len(b) == 1)
}
