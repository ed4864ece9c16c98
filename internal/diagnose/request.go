package diagnose

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
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
)

// ParseRequest reads a request's payload. Unknown fields, trailing data and
// texts over their limits are mistakes; the error's sentence is fit for the
// response. The transaction is returned where it could be read, so that even
// a bad request is answered.
func ParseRequest(verb Verb, payload []byte) (Request, error) {
	r := Request{Verb: verb}
	if len(payload) > maxRequest {
		return r, fmt.Errorf("the request has %d bytes (%d at most)", len(payload), maxRequest)
	}
	dec := json.NewDecoder(bytes.NewReader(payload))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil {
		return r, fmt.Errorf("the request is not the JSON object that is expected: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return r, errors.New("there is something after the request's JSON object")
	}
	if !slices.Contains(Verbs(), verb) {
		return r, fmt.Errorf("unknown verb %q (one of %s)", verb, verbList())
	}
	return r, r.check()
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
	case r.Verb == AddNote && strings.TrimSpace(r.Note) == "":
		return errors.New("note is empty (the text to keep)")
	}
	r.By, r.Note = CleanText(r.By, maxBy), CleanText(r.Note, maxNote)
	if r.Scope == "" {
		r.Scope = string(ScopeDevice)
	}
	return nil
}

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
