package mqtt

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxID is the longest device id in bytes (contract section 3).
const MaxID = 128

// ValidID tells whether id may name a device: 1 to 128 bytes of UTF-8 without
// control characters (NUL among them), wildcards and level separators.
// Bidirectional characters are allowed; they are made visible where shown.
func ValidID(id string) bool {
	if id == "" || len(id) > MaxID {
		return false
	}
	for i := 0; i < len(id); {
		c := id[i]
		if c < utf8.RuneSelf {
			if c < ' ' || c == 0x7f || c == '+' || c == '#' || c == '/' {
				return false
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(id[i:])
		if r == utf8.RuneError && size == 1 || unicode.IsControl(r) {
			return false
		}
		i += size
	}
	return true
}

const upperHex = "0123456789ABCDEF"

// EscapeID writes a device id as one level of an output topic:
// percent-encoded, except for the unreserved characters of RFC 3986 section
// 2.3, with upper-case hex.
func EscapeID(id string) string {
	n := 0
	for i := range len(id) {
		if !unreserved(id[i]) {
			n++
		}
	}
	if n == 0 {
		return id
	}
	var b strings.Builder
	b.Grow(len(id) + 2*n)
	for i := range len(id) {
		c := id[i]
		if unreserved(c) {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(upperHex[c>>4])
		b.WriteByte(upperHex[c&15])
	}
	return b.String()
}

// UnescapeID reads a level that EscapeID wrote. It answers false for anything
// EscapeID cannot have written from a valid id, so each id has one level only.
func UnescapeID(level string) (string, bool) {
	if strings.IndexByte(level, '%') < 0 {
		return level, ValidID(level) && EscapeID(level) == level
	}
	var b strings.Builder
	b.Grow(len(level))
	for i := 0; i < len(level); i++ {
		if level[i] != '%' {
			b.WriteByte(level[i])
			continue
		}
		if i+2 >= len(level) {
			return "", false
		}
		hi, lo := strings.IndexByte(upperHex, level[i+1]), strings.IndexByte(upperHex, level[i+2])
		if hi < 0 || lo < 0 {
			return "", false
		}
		b.WriteByte(byte(hi<<4 | lo))
		i += 2
	}
	id := b.String()
	if !ValidID(id) || EscapeID(id) != level {
		return "", false
	}
	return id, true
}

func unreserved(c byte) bool {
	return isAlphanumeric(c) || c == '-' || c == '.' || c == '_' || c == '~'
}
