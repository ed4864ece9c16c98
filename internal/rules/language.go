package rules

import (
	"slices"
	"strings"

	"golang.org/x/text/language"
)

// english is the language that every shipped pack has.
const english = "en"

// Canonical is a BCP 47 language tag in its canonical spelling, and whether
// tag is one at all. Chinese is told apart by script, as its readers are:
// "zh", "zh-CN" and "zh-Hans-CN" are "zh-Hans", "zh-TW" is "zh-Hant".
func Canonical(tag string) (string, bool) {
	t, err := language.Parse(tag)
	if err != nil || t.IsRoot() {
		return "", false
	}
	base, _ := t.Base()
	if base.String() != "zh" {
		return t.String(), true
	}
	script, _ := t.Script()
	return base.String() + "-" + script.String(), true
}

// canonical is Canonical, "" for what is no language tag.
func canonical(tag string) string {
	s, _ := Canonical(tag)
	return s
}

// languages brings the configured languages into canonical form, each once.
func languages(tags []string, c *collector) []string {
	var known []string
	for _, tag := range tags {
		l, ok := Canonical(tag)
		switch {
		case !ok:
			c.add(place{}, "%s is no language (a BCP 47 tag such as en, de-AT or zh-Hans)", shorten(tag))
		case !slices.Contains(known, l):
			known = append(known, l)
		}
	}
	if len(known) == 0 {
		return []string{english}
	}
	return known
}

// pick is the language of have that serves want: itself, else the same with
// fewer subtags (de-AT, de), as in RFC 4647 lookup; "" when there is none.
func pick(want string, have func(string) bool) string {
	for want != "" {
		if have(want) {
			return want
		}
		want = want[:max(0, strings.LastIndexByte(want, '-'))]
	}
	return ""
}
