package diagnose

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Verb is what a request asks for: contract section 4.
type Verb string

// The verbs.
const (
	Recheck       Verb = "recheck"
	Acknowledge   Verb = "acknowledge"
	Unacknowledge Verb = "unacknowledge"
	Ignore        Verb = "ignore"
	Unignore      Verb = "unignore"
	AddNote       Verb = "note"
	ReportOutcome Verb = "outcome"
	Resolve       Verb = "resolve"
	Forget        Verb = "forget"
	Resend        Verb = "resend"
)

// Verbs lists all verbs in the order of the contract.
func Verbs() []Verb {
	return []Verb{Recheck, Acknowledge, Unacknowledge, Ignore, Unignore, AddNote, ReportOutcome, Resolve, Forget, Resend}
}

// Request is a person's or an app's word to the agent. Over MQTT, By is a
// claim and is shown as one.
type Request struct {
	Verb        Verb   `json:"-"`
	Transaction string `json:"transaction"`
	// Device nil means the site.
	Device *string `json:"device"`
	// Condition nil means all open ones.
	Condition *string `json:"condition"`
	By        string  `json:"by"`
	Note      string  `json:"note"`
	// Scope is "device" (default) or "site": the condition on every device.
	Scope string `json:"scope"`
	Until Stamp  `json:"until"`
	// Step and Helped belong to outcome, FromSeq to resend.
	Step    string `json:"step"`
	Helped  *bool  `json:"helped"`
	FromSeq int64  `json:"from_seq"`
}

// Response answers a Request.
type Response struct {
	Transaction string `json:"transaction"`
	OK          bool   `json:"ok"`
	Error       string `json:"error,omitempty"`
}

// Limits of a request's texts, in bytes.
const (
	maxRequest     = 8 << 10
	maxTransaction = 128
	maxBy          = 128
	maxNote        = 1000
	// maxName is how much of a name that nobody knows is told back, in runes.
	maxName = 64
)

// ParseRequest reads a request's payload. Unknown fields, fields that stand
// there twice, trailing data and texts over their limits are mistakes; the
// error's sentence is fit for the response. The transaction is returned where
// it could be read, be it before or after the mistake, so that even a bad
// request is answered; of one that is too large, as far as it stands in the
// part that would have been read.
func ParseRequest(verb Verb, payload []byte) (Request, error) {
	r := Request{Verb: verb}
	if len(payload) > maxRequest {
		_ = r.read(payload[:maxRequest]) // it is cut, so this ends with a mistake
		return Request{Verb: verb, Transaction: r.Transaction}, fmt.Errorf("the request has %d bytes (%d at most)", len(payload), maxRequest)
	}
	if err := r.read(payload); err != nil {
		return r, err
	}
	if !slices.Contains(Verbs(), verb) {
		return r, fmt.Errorf("unknown verb %q (one of %s)", CleanText(string(verb), maxName), verbList())
	}
	return r, r.check()
}

// read takes field by field, and goes on behind a mistake as far as the payload
// is JSON at all; the first mistake is answered. encoding/json alone would take
// the last of two fields that differ in nothing or in case, and would tell
// mistakes in words for programmers.
func (r *Request) read(payload []byte) error {
	dec := json.NewDecoder(bytes.NewReader(payload))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return errors.New("the request is not a JSON object")
	}
	torn := func() error {
		return fmt.Errorf("the request is not JSON behind byte %d", dec.InputOffset())
	}
	var first error
	var seen []string
	for dec.More() {
		t, err := dec.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return torn()
		}
		var value json.RawMessage
		if dec.Decode(&value) != nil {
			return torn()
		}
		if slices.Contains(seen, name) {
			err = fmt.Errorf("the field %s stands there twice", name)
		} else if err = r.set(name, value); err == nil {
			seen = append(seen, name) // one of ours
		}
		if first == nil {
			first = err
		}
	}
	if _, err := dec.Token(); err != nil { // the closing brace
		return torn()
	}
	if _, err := dec.Token(); first == nil && !errors.Is(err, io.EOF) {
		return errors.New("there is something after the request's JSON object")
	}
	return first
}

// set takes one field; null is as good as none.
func (r *Request) set(name string, value json.RawMessage) error {
	var to any
	want := "a text"
	switch name {
	case "transaction":
		to = &r.Transaction
	case "device":
		to, want = &r.Device, "a text, or null for the site"
	case "condition":
		to, want = &r.Condition, "a text, or null for all open ones"
	case "by":
		to = &r.By
	case "note":
		to = &r.Note
	case "scope":
		to, want = &r.Scope, "device or site"
	case "until":
		to, want = &r.Until, "a time as in 2026-11-22T10:00:00Z, or null"
	case "step":
		to = &r.Step
	case "helped":
		to, want = &r.Helped, "true or false"
	case "from_seq":
		to, want = &r.FromSeq, "a whole number"
	default:
		return fmt.Errorf("unknown field %q (transaction, device, condition, by, note, scope, until, step, helped and from_seq are known)",
			CleanText(name, maxName))
	}
	// The year 1 would be no time, and no time is for ever.
	if json.Unmarshal(value, to) != nil || to == &r.Until && r.Until.IsZero() && string(value) != "null" {
		return fmt.Errorf("%s has no value that fits (%s)", name, want)
	}
	return nil
}

func (r *Request) check() error {
	switch {
	case r.Transaction == "":
		return errors.New("transaction is missing (any text of your choice; the response carries it)")
	case len(r.Transaction) > maxTransaction:
		return fmt.Errorf("transaction has %d bytes (%d at most)", len(r.Transaction), maxTransaction)
	case len(r.By) > maxBy:
		return fmt.Errorf("by has %d bytes (%d at most)", len(r.By), maxBy)
	case len(r.Note) > maxNote:
		return fmt.Errorf("note has %d bytes (%d at most)", len(r.Note), maxNote)
	case r.Scope != "" && r.Scope != string(ScopeDevice) && r.Scope != string(ScopeSite):
		return fmt.Errorf("scope is %q (device or site)", r.Scope)
	case !writable(r.Until.Time):
		return errors.New("until is outside the years 1 to 9999")
	case r.Verb == AddNote && strings.TrimSpace(r.Note) == "":
		return errors.New("note is empty (the text to keep)")
	}
	r.Until.Time = r.Until.UTC()
	r.By, r.Note = CleanText(r.By, maxBy), CleanText(r.Note, maxNote)
	if r.Scope == "" {
		r.Scope = string(ScopeDevice)
	}
	return nil
}

// writable tells that a time can be written in RFC 3339 and read again: an offset
// can lead out of the years that it has digits for.
func writable(t time.Time) bool { y := t.UTC().Year(); return y >= 1 && y <= 9999 }

func verbList() string {
	names := make([]string, 0, len(Verbs()))
	for _, v := range Verbs() {
		names = append(names, string(v))
	}
	return strings.Join(names, ", ")
}

// CleanText drops control and bidirectional formatting characters and invalid
// UTF-8 from a text that came from outside, and cuts it to limit runes. It
// returns s itself where there is nothing to do.
func CleanText(s string, limit int) string {
	if utf8.ValidString(s) && len(s) <= limit && strings.IndexFunc(s, unwanted) < 0 {
		return s
	}
	var b strings.Builder
	n := 0
	for _, r := range s {
		if unwanted(r) || r == utf8.RuneError {
			continue
		}
		if n++; n > limit {
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}

func unwanted(r rune) bool {
	return unicode.IsControl(r) || IsBidi(r) || r == '\u2028' || r == '\u2029'
}

// IsBidi tells whether r is an invisible character that changes the direction
// of text around it (Unicode UAX #9 formatting characters, and the marks).
func IsBidi(r rune) bool {
	switch {
	case r >= '\u202a' && r <= '\u202e', r >= '\u2066' && r <= '\u2069':
		return true
	case r == '\u200e', r == '\u200f', r == '\u061c':
		return true
	}
	return false
}
