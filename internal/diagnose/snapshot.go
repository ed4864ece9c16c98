package diagnose

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Snapshot is the whole truth about one device, or about the site, at one
// time: open diagnoses, worst first, then those cleared of late.
type Snapshot struct {
	// Device is empty for the site.
	Device    DeviceID
	UpdatedAt time.Time
	// Heard is false for a device of the inventory that never spoke.
	Heard     bool
	Diagnoses []Diagnosis
}

// ClearedShown is how long a cleared diagnosis stays in the snapshot.
const ClearedShown = 15 * time.Minute

// MaxSnapshot is the largest snapshot in bytes that is published.
const MaxSnapshot = 64 << 10

// SnapshotJSON is a snapshot as published: contract section 4.
type SnapshotJSON struct {
	Schema    string          `json:"schema"`
	Gateway   string          `json:"gateway"`
	Device    DeviceID        `json:"device,omitempty"`
	Health    Health          `json:"health"`
	Action    Action          `json:"action"`
	UpdatedAt Stamp           `json:"updated_at"`
	Diagnoses []DiagnosisJSON `json:"diagnoses"`
	Truncated bool            `json:"truncated,omitempty"`
}

// DiagnosisJSON is a diagnosis as it stands in a snapshot: with its advice.
type DiagnosisJSON struct {
	Diagnosis
	Advice map[string]Advice `json:"advice,omitempty"`
}

// Sort brings diagnoses into the order of a snapshot: open ones first, worst
// first, oldest first among equals; then cleared ones, latest first.
func Sort(ds []Diagnosis) {
	slices.SortStableFunc(ds, func(a, b Diagnosis) int {
		switch {
		case a.Open() != b.Open():
			if a.Open() {
				return -1
			}
			return 1
		case !a.Open():
			return cmp.Or(byStamp(b.ClearedAt, a.ClearedAt), strings.Compare(a.Condition, b.Condition))
		case a.quietly() != b.quietly():
			if b.quietly() {
				return -1
			}
			return 1
		case a.Severity.Rank() != b.Severity.Rank():
			return a.Severity.Rank() - b.Severity.Rank()
		}
		return cmp.Or(byStamp(a.FirstSeen, b.FirstSeen), strings.Compare(a.Condition, b.Condition))
	})
}

// byStamp compares times as they are shown and stored, in milliseconds: engine
// and store must bring the same diagnoses into the same order.
func byStamp(a, b Stamp) int { return cmp.Compare(a.UnixMilli(), b.UnixMilli()) }

// quietly tells that a diagnosis does not speak for its device's health.
func (d *Diagnosis) quietly() bool { return d.Ignored != nil }

// Judge derives health and action from the open diagnoses. Info, ignored and
// cleared ones leave a device ok; the action is that of the worst open one
// that is not ignored.
func (s *Snapshot) Judge() (Health, Action) {
	open := func(d Diagnosis) bool { return d.Open() }
	if s.Device != "" && !s.Heard && !slices.ContainsFunc(s.Diagnoses, open) {
		return HealthUnknown, ActNone
	}
	health, action, worst := HealthOK, ActNone, Info.Rank()+1
	for i := range s.Diagnoses {
		d := &s.Diagnoses[i]
		if !d.Open() || d.quietly() {
			continue
		}
		if r := d.Severity.Rank(); r < worst {
			worst, action = r, d.Action
		}
	}
	switch {
	case worst <= Major.Rank():
		health = HealthFailed
	case worst < Info.Rank():
		health = HealthAttention
	}
	return health, action
}

// Encode writes the snapshot as published, 64 KiB at most: where it would be
// larger, the advice of the last diagnoses is left out, then the last
// diagnoses, and truncated is true.
func (s *Snapshot) Encode(gateway string, w Words) ([]byte, error) {
	const roomEach = 6 << 10 // what a diagnosis takes with advice in one language
	return s.EncodeTo(make([]byte, 0, roomEach*max(1, len(s.Diagnoses))), gateway, w)
}

// EncodeTo is Encode into the room of b, whose bytes are overwritten.
func (s *Snapshot) EncodeTo(b []byte, gateway string, w Words) ([]byte, error) {
	e := encoder{b: b[:0], words: w}
	health, action := s.Judge()
	e.text(`{"schema":`, Schema)
	e.text(`,"gateway":`, gateway)
	if s.Device != "" {
		e.text(`,"device":`, string(s.Device))
	}
	e.text(`,"health":`, string(health))
	e.text(`,"action":`, string(action))
	e.time(`,"updated_at":`, Stamp{s.UpdatedAt})
	e.raw(`,"diagnoses":[`)
	stretches := make([]stretch, len(s.Diagnoses))
	for i := range s.Diagnoses {
		if i > 0 {
			e.raw(",")
		}
		stretches[i] = e.advised(&s.Diagnoses[i])
	}
	e.raw("]")
	if len(e.b)+len("}") > MaxSnapshot {
		e.shorten(stretches)
	}
	e.raw("}")
	if e.err != nil {
		return nil, fmt.Errorf("encode snapshot of %q: %w", string(s.Device), e.err)
	}
	return e.b, nil
}

// stretch is where a diagnosis stands among the encoded bytes; its advice
// begins at advice and ends before the last brace.
type stretch struct{ start, advice, end int }

// advised writes a diagnosis with its advice.
func (e *encoder) advised(d *Diagnosis) stretch {
	at := stretch{start: len(e.b)}
	e.diagnosis(d)
	at.advice = len(e.b)
	e.raw(`,"advice":`)
	key := len(e.b)
	if e.b = e.words.AppendAdvice(e.b, d); len(e.b) == key {
		e.b = e.b[:at.advice]
	}
	e.raw("}")
	at.end = len(e.b)
	return at
}

// shorten makes the snapshot fit, by moving together what is kept of it.
func (e *encoder) shorten(ds []stretch) {
	const truncated = `],"truncated":true`
	size := ds[0].start + len(truncated) + len("}")
	for _, d := range ds {
		size += d.end - d.start + len(",")
	}
	advised := len(ds)
	for advised > 0 && size > MaxSnapshot {
		advised--
		size -= ds[advised].end - ds[advised].advice - len("}")
	}
	listed := len(ds)
	for listed > 0 && size > MaxSnapshot {
		listed--
		size -= ds[listed].advice - ds[listed].start + len("},")
	}
	b := e.b[:ds[0].start]
	for i, d := range ds[:listed] {
		if i > 0 {
			b = append(b, ',')
		}
		if i < advised {
			b = append(b, e.b[d.start:d.end]...)
			continue
		}
		b = append(append(b, e.b[d.start:d.advice]...), '}')
	}
	e.b = append(b, truncated...)
}
