package mqtt

import (
	"math"
	"strings"
)

// errnoPrefix begins the text of a LAN library's exception:
// "[Errno -4000] Network timeout: ..." (python-broadlink's exceptions.py).
const errnoPrefix = "[Errno "

// maxHexDigits is one 32-bit number.
const maxHexDigits = 8

// ParseCode reads a code in any of the encodings in which devices and
// libraries write it, and answers with the one number they all mean:
//
//	-7, 65529 (unsigned 16-bit), 4294967289 (unsigned 32-bit),
//	0xfff9, 0xfffffff9, [Errno -7] any text
//
// Other positive numbers stay what they are. Raw is the number as it came, at
// most 11 bytes. Refused are signs other than one minus, -0, leading zeros,
// fractions, exponents, spaces, and what is beyond int32 and uint32.
func ParseCode(text string) (code int32, raw string, ok bool) {
	if number, _, isErrno := cutErrno(text); isErrno {
		code, ok = parseDecimal(number)
		return code, number, ok
	}
	if digits, isHex := cutHex(text); isHex {
		code, ok = parseHex(digits)
	} else {
		code, ok = parseDecimal(text)
	}
	return code, text, ok
}

// cutErrno takes "[Errno N] message" apart.
func cutErrno(text string) (number, message string, ok bool) {
	rest, ok := strings.CutPrefix(text, errnoPrefix)
	if !ok {
		return "", "", false
	}
	number, message, ok = strings.Cut(rest, "]")
	return number, strings.TrimPrefix(message, " "), ok
}

func cutHex(text string) (digits string, ok bool) {
	if len(text) > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X') {
		return text[2:], true
	}
	return "", false
}

// parseDecimal reads a JSON integer without its -0.
func parseDecimal(s string) (int32, bool) {
	digits, negative := strings.CutPrefix(s, "-")
	if digits == "" || len(digits) > len("4294967295") || digits[0] == '0' && (negative || len(digits) > 1) {
		return 0, false
	}
	var v int64
	for i := range len(digits) {
		c := digits[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + int64(c-'0')
	}
	if negative {
		return int32(-v), -v >= math.MinInt32
	}
	return fromUnsigned(v)
}

// parseHex reads what is printed of an unsigned word; its leading zeros are
// the width of the word, so they are no mistake.
func parseHex(digits string) (int32, bool) {
	if len(digits) > maxHexDigits {
		return 0, false
	}
	var v int64
	for i := range len(digits) {
		switch c := digits[i]; {
		case c >= '0' && c <= '9':
			v = v<<4 | int64(c-'0')
		case c >= 'a' && c <= 'f':
			v = v<<4 | int64(c-'a'+10)
		case c >= 'A' && c <= 'F':
			v = v<<4 | int64(c-'A'+10)
		default:
			return 0, false
		}
	}
	return fromUnsigned(v)
}

// fromUnsigned undoes the two's complement of a negative code: the LAN header
// holds a signed 16-bit number that many programs read as an unsigned one.
func fromUnsigned(v int64) (int32, bool) {
	switch {
	case v > math.MaxUint32:
		return 0, false
	case v > math.MaxInt32:
		return int32(v - 1<<32), true
	case v > math.MaxInt16 && v <= math.MaxUint16:
		return int32(v - 1<<16), true
	}
	return int32(v), true
}
