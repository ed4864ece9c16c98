package web

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// visible writes signs that one cannot see, or that turn the text around them,
// as ‹U+202E›, and bytes that are no UTF-8 as ‹FF›: two ids that look alike
// must not be alike. What came from outside goes through here.
func visible(s string) string {
	if utf8.ValidString(s) && strings.IndexFunc(s, invisible) < 0 {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, "‹%02X›", s[0])
		case invisible(r):
			fmt.Fprintf(&b, "‹U+%04X›", r)
		default:
			b.WriteRune(r)
		}
		s = s[n:]
	}
	return b.String()
}

// invisible: control and formatting signs, line ends, and every space but the
// plain one.
func invisible(r rune) bool {
	return r != ' ' && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Z) || r == '\u2800' || r == '\u3164' || r == '\uffa0'
}

const upperHex = "0123456789ABCDEF"

// escapeID writes a device id as one segment of a path: percent-encoded except
// for the unreserved characters of RFC 3986, section 2.3. The ids "." and ".."
// are encoded whole, for they mean something else there.
func escapeID(id string) string {
	var b strings.Builder
	for i := range len(id) {
		if c := id[i]; unreserved(c) && !isDots(id) {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(upperHex[c>>4])
			b.WriteByte(upperHex[c&15])
		}
	}
	return b.String()
}

func isDots(id string) bool { return id == "." || id == ".." }

func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// devicePath is where a device's page is. Browsers take %2E%2E for .. (WHATWG
// URL, "double-dot URL path segment"), so that these two ids go as a parameter.
func devicePath(id string) string {
	if isDots(id) {
		return "/devices/?id=" + escapeID(id)
	}
	return "/devices/" + escapeID(id)
}

// clock is a time for the page, in the gateway's zone: hours and minutes, with
// the date when it is not today, and the year when it is not this one.
func clock(t, now time.Time) string {
	t = t.In(now.Location())
	switch {
	case t.Year() != now.Year():
		return t.Format("2 Jan 2006 15:04")
	case t.YearDay() != now.YearDay():
		return t.Format("2 Jan 15:04")
	}
	return t.Format("15:04")
}

// count writes a number with its noun.
func count(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
