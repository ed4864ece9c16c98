package mqtt

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"fieldmedic/internal/diagnose"
)

// Reasons for which input is refused. The names are metric labels: they are
// added to, never changed.
const (
	// RefusedMalformed: not one of the forms of the source's format; no code
	// where one is read; a key twice, or twice but for case, so that readers
	// may disagree about it (contract section 3).
	RefusedMalformed diagnose.Refusal = "malformed"
	// RefusedTooLarge: a payload over 64 KiB, or a packet over 256 KiB.
	RefusedTooLarge diagnose.Refusal = "too-large"
	// RefusedTooDeep: JSON nested deeper than 16.
	RefusedTooDeep diagnose.Refusal = "too-deep"
	// RefusedBadID: the topic's {device} level is no valid id (see ValidID).
	RefusedBadID diagnose.Refusal = "bad-id"
	// RefusedNoSource: the topic fits none of the configured sources.
	RefusedNoSource diagnose.Refusal = "no-source"
)

// Refusals lists the reasons of this package.
func Refusals() []diagnose.Refusal {
	return []diagnose.Refusal{
		RefusedMalformed, RefusedTooLarge, RefusedTooDeep, RefusedBadID, RefusedNoSource,
	}
}

// Limits of what is kept of refused input, in bytes.
const (
	maxSample      = 200
	maxShownTopic  = 256
	sampleWindow   = 1024 // looked at, so that masking does not empty the sample
	replacementStr = "\uFFFD"
)

// RefuseTooLarge is the record of a message that was not even read: start is
// what there is of its payload, size the payload's whole length.
func (d *Decoder) RefuseTooLarge(topic string, start []byte, size int, at time.Time) *diagnose.RefusedInput {
	name := ""
	if s, _ := d.find(topic); s != nil {
		name = s.Name
	}
	refused := refuse(RefusedTooLarge, topic, name, start, at)
	refused.Bytes = size
	return refused
}

func refuse(reason diagnose.Refusal, topic, source string, payload []byte, at time.Time) *diagnose.RefusedInput {
	return &diagnose.RefusedInput{
		At:     at,
		Topic:  cutBytes(visible(strings.ToValidUTF8(topic[:min(len(topic), sampleWindow)], replacementStr)), maxShownTopic),
		Source: source,
		Reason: reason,
		Sample: sample(payload),
		Bytes:  len(payload),
	}
}

// sample is the start of a payload in a form that is safe to keep and to
// show. It is masked before it is cut: what is cut off cannot leak, and a
// value whose end is not in sight is masked whole.
func sample(payload []byte) string {
	start := string(payload[:min(len(payload), sampleWindow)])
	return cutBytes(visible(MaskSecrets(strings.ToValidUTF8(start, replacementStr))), maxSample)
}

// visible writes control and bidirectional characters as \uXXXX, so that a
// sample can neither move a terminal's cursor nor turn a line around.
func visible(s string) string {
	hidden := func(r rune) bool { return unicode.IsControl(r) || diagnose.IsBidi(r) }
	if strings.IndexFunc(s, hidden) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			b.WriteByte(' ')
		case hidden(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// cutBytes cuts valid UTF-8 to n bytes at most, between two characters.
func cutBytes(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
