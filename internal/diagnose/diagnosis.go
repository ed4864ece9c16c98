package diagnose

import (
	"encoding/json"
	"time"
)

// Diagnosis is one problem of one device, of the site, or of the agent: the
// symptom, its ranked causes, how sure we are, and what people decided about
// it. Its JSON is that of contract section 4, plus the fields marked "added".
//
// A Diagnosis handed out by the engine is a copy; its slices are shared and
// never written to again.
type Diagnosis struct {
	// ID of this occurrence: a UUIDv7, stable until cleared.
	ID      string   `json:"id,omitempty"`
	Gateway string   `json:"gateway"`
	Device  DeviceID `json:"device"`
	Scope   Scope    `json:"scope"`
	// Condition is, with gateway and device, the identity.
	Condition string   `json:"condition"`
	Family    Family   `json:"family"`
	Code      *int32   `json:"code"`
	CodeRaw   string   `json:"code_raw"`
	Msg       string   `json:"msg"`
	Severity  Severity `json:"severity"`
	Kind      Kind     `json:"kind"`
	// Audience is the reader it addresses first (added).
	Audience Audience      `json:"audience"`
	Status   Status        `json:"status"`
	Action   Action        `json:"action"`
	Causes   []RankedCause `json:"causes"`
	Evidence []Evidence    `json:"evidence"`
	// Title is the condition in one line, first language; filled by Describe.
	Title     string `json:"title"`
	FirstSeen Stamp  `json:"first_seen"`
	LastSeen  Stamp  `json:"last_seen"`
	LastOK    Stamp  `json:"last_ok"`
	ClearedAt Stamp  `json:"cleared_at"`
	// SourceTS is the newest report's own ts, unchanged, or null.
	SourceTS   json.RawMessage `json:"source_ts"`
	Occurrence int             `json:"occurrence"`
	Reports    int64           `json:"reports"`
	Flapping   *Flapping       `json:"flapping"`
	ClearedBy  ClearedBy       `json:"cleared_by"`
	// ExplainedBy is the id of the diagnosis that explains this one, or null.
	ExplainedBy  NullString `json:"explained_by"`
	Members      []string   `json:"members,omitempty"`
	MembersTotal int        `json:"members_total,omitempty"`
	Acknowledged *Decision  `json:"acknowledged"`
	Ignored      *Decision  `json:"ignored"`
	// Notes people left, newest last, 20 at most (added).
	Notes []Note `json:"notes,omitempty"`
	// Facts are the newest payload's words about the device (added).
	Facts Facts  `json:"facts"`
	Rule  string `json:"rule"`
	Stale bool   `json:"stale"`
}

// Open tells whether the problem is still there.
func (d *Diagnosis) Open() bool { return d.Status != Cleared }

// Leading is the cause that speaks: the first that is not excluded, or the
// zero cause when there is none.
func (d *Diagnosis) Leading() RankedCause {
	for _, c := range d.Causes {
		if c.Verdict != VerdictExcluded {
			return c
		}
	}
	return RankedCause{Action: ActContactSupport}
}

// RankedCause is one cause with the verdict on it.
type RankedCause struct {
	Cause   string  `json:"cause"`
	Action  Action  `json:"action"`
	Verdict Verdict `json:"verdict"`
	// Because is one sentence in the first language; filled by Describe.
	Because string `json:"because"`
	// Reason names the When of the rule that moved the cause up, or is empty
	// (added).
	Reason string `json:"reason,omitempty"`
}

// Evidence is one check's result.
type Evidence struct {
	Check   string          `json:"check"`
	Target  string          `json:"target"`
	Verdict EvidenceVerdict `json:"verdict"`
	// Result is the class of the answer, the word that rules match (added).
	Result string `json:"result,omitempty"`
	// Observed is the rule with the value seen inside.
	Observed string `json:"observed"`
	At       Stamp  `json:"at"`
	TookMS   int64  `json:"took_ms"`
	// Diagnosis is the id it was gathered for.
	Diagnosis string `json:"-"`
}

// Flapping says since when, and how often a condition came and went.
type Flapping struct {
	Since   Stamp `json:"since"`
	Changes int   `json:"changes"`
}

// Decision is a person's word on a diagnosis; it survives clear, re-opening
// and restart.
type Decision struct {
	By    string `json:"by"`
	At    Stamp  `json:"at"`
	Note  string `json:"note"`
	Until Stamp  `json:"until"`
}

// Note is a person's remark.
type Note struct {
	By   string `json:"by"`
	At   Stamp  `json:"at"`
	Note string `json:"note"`
}

// Advice is what one reader's language says of a diagnosis; it speaks of the
// leading cause.
type Advice struct {
	Title      string   `json:"title"`
	Summary    string   `json:"summary"`
	Because    []string `json:"because"`
	User       []Step   `json:"user"`
	Technician []Step   `json:"technician"`
	Developer  []Step   `json:"developer"`
}

// Step is one act a person can do, with how one sees that it worked.
type Step struct {
	// ID in kebab-case, the same in all languages.
	ID       string   `json:"id"`
	Title    string   `json:"title"`
	Details  []string `json:"details"`
	WorkedIf string   `json:"worked_if"`
	// WithinS is how many seconds to wait for the agent's own signal, or null
	// where none is to be expected.
	WithinS *int `json:"within_s"`
}

// Words turns conditions into sentences. Rule packs implement it; the hub
// never holds a text.
type Words interface {
	// Title is the condition in one line, in the first language.
	Title(d *Diagnosis) string
	// Because is why cause c may be it, one sentence in the first language.
	Because(d *Diagnosis, c RankedCause) string
	// Advice is the advice on the leading cause by configured language.
	Advice(d *Diagnosis) map[string]Advice
	// AppendAdvice appends the same as JSON, or nothing where there is none.
	AppendAdvice(b []byte, d *Diagnosis) []byte
}

// MaxMembers is how many members of a site diagnosis are listed in a message.
const MaxMembers = 500

// Describe returns d as it is published: with the first language's sentences
// filled in, and no more members listed than a message holds.
func (d Diagnosis) Describe(w Words) Diagnosis {
	d.Members, d.MembersTotal = d.listed()
	d.Title = w.Title(&d)
	causes := make([]RankedCause, len(d.Causes))
	for i, c := range d.Causes {
		c.Because = w.Because(&d, c)
		causes[i] = c
	}
	d.Causes = causes
	return d
}

// listed are the members that a message lists, and the number of all where it
// lists some.
func (d *Diagnosis) listed() ([]string, int) {
	if len(d.Members) <= MaxMembers {
		return d.Members, d.MembersTotal
	}
	return d.Members[:MaxMembers], max(d.MembersTotal, len(d.Members))
}

// DeviceID marshals as null when empty: outside scope device.
type DeviceID string

// MarshalJSON writes null for the empty id.
func (id DeviceID) MarshalJSON() ([]byte, error) { return nullable(string(id)) }

// NullString marshals as null when empty.
type NullString string

// MarshalJSON writes null for the empty string.
func (s NullString) MarshalJSON() ([]byte, error) { return nullable(string(s)) }

// MarshalJSON writes null while nothing cleared it.
func (c ClearedBy) MarshalJSON() ([]byte, error) { return nullable(string(c)) }

func nullable(s string) ([]byte, error) {
	if s == "" {
		return []byte("null"), nil
	}
	return json.Marshal(s)
}

// Stamp is a time as the outside sees it: RFC 3339, UTC, milliseconds, or
// null when zero.
type Stamp struct{ time.Time }

const stampLayout = "2006-01-02T15:04:05.000Z"

// MarshalJSON writes milliseconds in UTC, or null.
func (s Stamp) MarshalJSON() ([]byte, error) {
	return s.append(make([]byte, 0, len(stampLayout)+2)), nil
}

func (s Stamp) append(b []byte) []byte {
	if s.IsZero() {
		return append(b, "null"...)
	}
	// The layout's whole seconds are a standard one, which is faster.
	b = s.UTC().AppendFormat(append(b, '"'), time.RFC3339)
	ms := s.Nanosecond() / int(time.Millisecond)
	return append(b[:len(b)-len("Z")], '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10), 'Z', '"')
}

// UnmarshalJSON reads RFC 3339 or null.
func (s *Stamp) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		s.Time = time.Time{}
		return nil
	}
	return s.Time.UnmarshalJSON(b)
}

// String is the same text as the JSON, without quotes; "" when zero.
func (s Stamp) String() string {
	if s.IsZero() {
		return ""
	}
	return s.UTC().Format(stampLayout)
}
