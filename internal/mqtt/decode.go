package mqtt

import (
	"bytes"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"fieldmedic/internal/diagnose"
)

// Limits of what is read and kept, in bytes unless said otherwise.
const (
	// maxPayload is the longest payload that is read (contract section 3).
	maxPayload = 64 << 10
	// maxMsg is what is kept of the vendor's text, in runes.
	maxMsg = 256
	// maxFact is what is kept of a fact about the device, in runes.
	maxFact = 128
	// longText is the length from which what is kept is copied out of a topic
	// or payload, so that a short id or text does not keep a long one in
	// memory. Below it, one copy of the whole costs less than many of parts.
	longText = 512
)

// Decoder reads messages. It is safe for concurrent use.
type Decoder struct {
	sources []*Source
}

// NewDecoder returns a decoder for sources: the first that fits a message's
// topic reads it.
func NewDecoder(sources []*Source) *Decoder {
	return &Decoder{sources: sources}
}

// Decode reads one message, received at at. When the second value is not nil
// the input is refused, and the observation is empty.
func (d *Decoder) Decode(topic string, payload []byte, retained bool, at time.Time) (diagnose.Observation, *diagnose.RefusedInput) {
	source, device := d.find(topic)
	if source == nil {
		return diagnose.Observation{}, refuse(RefusedNoSource, topic, "", payload, at)
	}
	if !ValidID(device) {
		return diagnose.Observation{}, refuse(RefusedBadID, topic, source.Name, payload, at)
	}
	if len(topic) > longText {
		device = strings.Clone(device)
	}
	o := diagnose.Observation{Device: device, Source: source.Name, At: at, Retained: retained}
	if reason := source.read(payload, &o); reason != "" {
		return diagnose.Observation{}, refuse(reason, topic, source.Name, payload, at)
	}
	if len(payload) > longText {
		detach(&o)
	}
	return o, nil
}

// find answers the first source that fits, and the device's level.
func (d *Decoder) find(topic string) (*Source, string) {
	for _, s := range d.sources {
		if device, ok := s.Match(topic); ok {
			return s, device
		}
	}
	return nil, ""
}

// read fills in what the payload says, or answers why it is refused.
func (s *Source) read(payload []byte, o *diagnose.Observation) diagnose.Refusal {
	if len(payload) == 0 {
		o.Says = diagnose.SaysRemoved
		return ""
	}
	if len(payload) > maxPayload {
		return RefusedTooLarge
	}
	if !utf8.Valid(payload) {
		return RefusedMalformed
	}
	text := string(bytes.Trim(payload, " \t\r\n")) // what JSON calls white space
	switch {
	case text == "":
		return RefusedMalformed
	case text[0] == '{':
		return s.readJSON(text, o)
	case text[0] == '"':
		if !gjson.Valid(text) {
			return RefusedMalformed
		}
		return s.readText(gjson.Parse(text).Str, o)
	case text[0] == '[' && !strings.HasPrefix(text, errnoPrefix):
		if deeperThan(text, maxDepth) {
			return RefusedTooDeep
		}
		return RefusedMalformed
	}
	return s.readText(text, o)
}

func (s *Source) readText(text string, o *diagnose.Observation) diagnose.Refusal {
	if s.Format == FormatAvailability {
		return readWord(text, o)
	}
	return readCodeText(text, o)
}

func (s *Source) readJSON(text string, o *diagnose.Observation) diagnose.Refusal {
	if reason := checkJSON(text); reason != "" {
		return reason
	}
	var top object
	if reason := readObject(text, &top); reason != "" {
		return reason
	}
	if s.Format == FormatAvailability {
		return readAvailability(&top, o)
	}
	return readDNA(&top, o)
}

// describe fills in what an object tells beside its code. What is filled in
// already stays.
func describe(from *object, o *diagnose.Observation) {
	if o.Msg == "" {
		text := &from.msg
		if text.kind != gjson.String {
			text = &from.message
		}
		if text.kind == gjson.String {
			o.Msg = cleanMsg(text.str)
		}
	}
	if o.SourceTS == nil && from.ts.raw != "" {
		o.SourceTS, o.Reported = readTS(&from.ts)
	}
	f := &o.Facts
	setFact(&f.DID, &from.did, false)
	setFact(&f.PID, &from.pid, true)
	setFact(&f.MAC, &from.mac, false)
	setFact(&f.IP, &from.ip, false)
	setFact(&f.Model, &from.model, false)
	setFact(&f.FW, &from.fw, true)
}

// setFact takes a string, or a number where programs send one. Anything else
// is no fact, and no mistake: facts are evidence only.
func setFact(fact *string, v *value, number bool) {
	if *fact != "" || v.raw == "" {
		return
	}
	switch {
	case v.kind == gjson.String:
		*fact = runesAtMost(MaskSecrets(clean(v.str, maxFact)), maxFact)
	case v.kind == gjson.Number && number:
		*fact = runesAtMost(v.raw, maxFact)
	}
}

// cleanMsg cleans before it masks, so that no invisible character splits a
// secret's name, and cuts again, as a mask may be longer than its value.
func cleanMsg(text string) string {
	return runesAtMost(MaskSecrets(clean(text, maxMsg)), maxMsg)
}

// clean is diagnose.CleanText, quicker for what nearly every text is: short
// and printable ASCII.
func clean(text string, limit int) string {
	for i := range len(text) {
		if c := text[i]; i == limit || c < ' ' || c > '~' {
			return diagnose.CleanText(text, limit)
		}
	}
	return text
}

// detach copies the texts out of the payload they are parts of.
func detach(o *diagnose.Observation) {
	f := &o.Facts
	for _, text := range [...]*string{&o.CodeRaw, &o.Key.Name, &o.Msg, &f.DID, &f.PID, &f.MAC, &f.IP, &f.Model, &f.FW} {
		*text = strings.Clone(*text)
	}
}
