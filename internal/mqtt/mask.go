package mqtt

import "strings"

// masked stands in place of a secret.
const masked = "***"

// CleanText makes a text fit for a diagnosis's msg: control and bidirectional
// characters out, secrets masked, 256 runes at most.
func CleanText(s string) string { return cleanMsg(s) }

// MaskSecrets masks the values of keys that hold one of the words cookie,
// session, key, license or token (devSession, loginsession, aeskey ...), and
// of passwords, in JSON, in JSON inside a JSON string, and in text such as
// "token=..." or "Cookie: ...". The text may be cut off anywhere. In doubt it
// masks more: a secret object or list hides all that follows it.
func MaskSecrets(s string) string {
	if !strings.ContainsAny(s, ":=") {
		return s
	}
	var b strings.Builder
	done := 0 // s up to here is in b
	for i := 0; i < len(s); {
		if !inName(s[i]) {
			i++
			continue
		}
		start := i
		for i < len(s) && inName(s[i]) {
			i++
		}
		name := s[start:i]
		if !secretName(name) {
			continue
		}
		from := valueAfter(s, i)
		if from < 0 {
			continue
		}
		var to int
		from, to = secretValue(s, from, containsFold(name, "cookie") || containsFold(name, "licen"))
		if to <= from {
			i = max(i, from)
			continue
		}
		b.WriteString(s[done:from])
		b.WriteString(masked)
		done, i = to, to
	}
	if done == 0 {
		return s
	}
	b.WriteString(s[done:])
	return b.String()
}

func inName(c byte) bool { return isAlphanumeric(c) || c == '_' || c == '-' || c == '.' }

func secretName(name string) bool {
	for _, word := range [...]string{"cookie", "session", "key", "license", "licence", "token", "passw", "secret", "authorization"} {
		if containsFold(name, word) {
			return true
		}
	}
	return false
}

// containsFold is strings.Contains for a lower-case ASCII word, in any case.
func containsFold(s, word string) bool {
	for ; len(s) >= len(word); s = s[1:] {
		if strings.EqualFold(s[:len(word)], word) {
			return true
		}
	}
	return false
}

// valueAfter answers where the value of the name that ends at i begins, or -1
// when no value follows: the name's closing quote, a colon or equals sign,
// and spaces around it.
func valueAfter(s string, i int) int {
	for i < len(s) && (s[i] == '\\' || s[i] == '"' || s[i] == '\'') {
		i++
	}
	i = skipSpaces(s, i)
	if i >= len(s) || s[i] != ':' && s[i] != '=' {
		return -1
	}
	return skipSpaces(s, i+1)
}

func skipSpaces(s string, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == '\t' || s[i] == '\r' || s[i] == '\n') {
		i++
	}
	return i
}

// secretValue answers the bounds of the value at i without its quotes.
func secretValue(s string, i int, wholeLine bool) (from, to int) {
	quote := i
	for quote < len(s) && s[quote] == '\\' {
		quote++
	}
	switch {
	case quote < len(s) && (s[quote] == '"' || s[quote] == '\''):
		return quote + 1, closingQuote(s, quote, quote-i)
	case i < len(s) && (s[i] == '{' || s[i] == '['):
		return i, len(s)
	}
	return i, endOfWord(s, i, wholeLine)
}

// closingQuote finds the end of a string whose opening quote has depth
// backslashes before it: one for a string inside a JSON string.
func closingQuote(s string, open, depth int) int {
	backslashes := 0
	for i := open + 1; i < len(s); i++ {
		switch {
		case s[i] == '\\':
			backslashes++
		case s[i] == s[open] && depth == 0 && backslashes%2 == 0,
			s[i] == s[open] && depth > 0 && backslashes <= depth:
			return i - backslashes*min(depth, 1)
		default:
			backslashes = 0
		}
	}
	return len(s)
}

// endOfWord finds the end of a value without quotes. The scheme of an HTTP
// authorization belongs to what follows it, and a Cookie header ends with its
// line only.
func endOfWord(s string, i int, wholeLine bool) int {
	for _, scheme := range [...]string{"bearer ", "basic "} {
		if len(s)-i >= len(scheme) && strings.EqualFold(s[i:i+len(scheme)], scheme) {
			i += len(scheme)
			break
		}
	}
	if wholeLine {
		return endOfLine(s, i)
	}
	if n := strings.IndexAny(s[i:], " \t\r\n,;&)]}\"'\\"); n >= 0 {
		return i + n
	}
	return len(s)
}

// endOfLine finds the end of the line at i, also where the line stands in a
// JSON string: a quote ends it only where no value can follow that belongs to
// it, which is before a comma, a brace or the end.
func endOfLine(s string, i int) int {
	for ; i < len(s); i++ {
		switch s[i] {
		case '\r', '\n':
			return i
		case '"', '\'':
			if rest := strings.TrimLeft(s[i+1:], " \t"); rest == "" || strings.IndexByte(",}]", rest[0]) >= 0 {
				return i
			}
		}
	}
	return i
}
