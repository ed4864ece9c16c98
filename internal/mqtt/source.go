package mqtt

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Format says how the payloads of a source are read.
type Format string

const (
	// FormatDNA is what a gateway program publishes of the vendor SDK's
	// results: JSON objects, bare numbers, "[Errno ...]" texts.
	FormatDNA Format = "dna"
	// FormatAvailability is online, offline and their kin.
	FormatAvailability Format = "availability"
)

// Formats lists the formats that can be configured.
func Formats() []Format { return []Format{FormatDNA, FormatAvailability} }

// Limits of a source's texts in bytes. A filter of MQTT may be longer; one of
// a person's configuration that is, is a mistake.
const (
	maxFilter     = 255
	maxSourceName = 64
)

// Source is one compiled entry of the configuration's sources: what to
// subscribe to, and how to read it. It does not change after NewSource.
type Source struct {
	// Name is shown with each report and labels metrics: 1 to 64 letters,
	// digits, dots, dashes and underscores of ASCII.
	Name string
	// Topic is the configured topic, with its {device} level.
	Topic string
	// Format of the payloads.
	Format Format
	// ExpectEvery is how long a device may be silent before it is reported
	// silent; 0 switches that off.
	ExpectEvery time.Duration

	filter string
	levels []topicLevel
}

// Filter is the MQTT filter to subscribe to: Topic with a + for every name in
// braces.
func (s *Source) Filter() string { return s.filter }

// SourceMistake is one thing that is wrong with a configured source.
type SourceMistake struct {
	// Key of the source's configuration: name, topic, format, expect_every.
	Key string
	// Text says what is wrong and, in parentheses, what would be right.
	Text string
}

// Error joins key and text.
func (m *SourceMistake) Error() string { return m.Key + ": " + m.Text }

// NewSource compiles one source. The error joins all mistakes at once, each a
// *SourceMistake.
func NewSource(name, topic string, format Format, expectEvery time.Duration) (*Source, error) {
	s := &Source{Name: name, Topic: topic, Format: format, ExpectEvery: expectEvery}
	var mistakes []error
	mistake := func(key, text string) {
		mistakes = append(mistakes, &SourceMistake{Key: key, Text: text})
	}
	if !validSourceName(name) {
		mistake("name", fmt.Sprintf("%q is no name (1 to %d letters, digits, dots, dashes and underscores)", name, maxSourceName))
	}
	if text := checkTopicText(topic); text != "" {
		mistake("topic", text)
	} else {
		for _, text := range s.compile() {
			mistake("topic", text)
		}
	}
	if format != FormatDNA && format != FormatAvailability {
		mistake("format", fmt.Sprintf("unknown format %q (%s or %s)", string(format), FormatDNA, FormatAvailability))
	}
	if expectEvery < 0 || expectEvery > 0 && expectEvery < time.Second {
		mistake("expect_every", fmt.Sprintf("%s is no time to wait for a report (0s for off, or 1s and longer)", expectEvery))
	}
	if len(mistakes) > 0 {
		return nil, errors.Join(mistakes...)
	}
	return s, nil
}

// compile splits the topic into levels and answers with what is wrong.
func (s *Source) compile() []string {
	var wrong []string
	parts := strings.Split(s.Topic, "/")
	filter := make([]string, 0, len(parts))
	names := make(map[string]int)
	for i, part := range parts {
		l, text := readLevelOfTopic(part)
		switch {
		case text != "":
			wrong = append(wrong, text)
		case l.kind == levelRest && i < len(parts)-1:
			wrong = append(wrong, "# is not the last level (# matches everything below, so it can only come last)")
		case l.kind == levelDevice || l.name != "":
			names[l.name]++
		}
		s.levels = append(s.levels, l)
		filter = append(filter, l.filter())
	}
	s.filter = strings.Join(filter, "/")
	if n := names[deviceName]; n != 1 {
		wrong = append(wrong, fmt.Sprintf("%q has %d levels {device} (exactly one, as in devices/{device}/status)", s.Topic, n))
	}
	for name, n := range names {
		if name != deviceName && n > 1 {
			wrong = append(wrong, fmt.Sprintf("{%s} stands %d times (a name once; + where the level does not matter)", name, n))
		}
	}
	return wrong
}

// checkTopicText refuses what no topic may be, whatever its levels.
func checkTopicText(topic string) string {
	switch {
	case topic == "":
		return "the topic is empty (a filter with one level {device}, as in devices/{device}/status)"
	case len(topic) > maxFilter:
		return fmt.Sprintf("the topic has %d bytes (%d at most)", len(topic), maxFilter)
	case !utf8.ValidString(topic):
		return fmt.Sprintf("%q is not valid UTF-8 (MQTT 3.1.1 section 1.5.3 demands it)", topic)
	case strings.IndexFunc(topic, unicode.IsControl) >= 0:
		return fmt.Sprintf("%q holds a control character or NUL (printable characters)", topic)
	case topic[0] == '$':
		return fmt.Sprintf("%q begins with $ (topics of the broker itself and shared subscriptions are no sources)", topic)
	}
	return ""
}

func validSourceName(name string) bool {
	if name == "" || len(name) > maxSourceName {
		return false
	}
	for i := range len(name) {
		if c := name[i]; !isAlphanumeric(c) && c != '.' && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

func isAlphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
