package diagnose

import (
	"encoding/json"
	"fmt"
	"slices"
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
			return b.ClearedAt.Compare(a.ClearedAt.Time)
		case a.quietly() != b.quietly():
			if b.quietly() {
				return -1
			}
			return 1
		case a.Severity.Rank() != b.Severity.Rank():
			return a.Severity.Rank() - b.Severity.Rank()
		}
		return a.FirstSeen.Compare(b.FirstSeen.Time)
	})
}

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
	out := s.JSON(gateway, w)
	b, err := json.Marshal(out)
	if err == nil && len(b) > MaxSnapshot {
		if err = out.shorten(); err == nil {
			b, err = json.Marshal(out)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("encode snapshot of %q: %w", string(s.Device), err)
	}
	return b, nil
}

// shorten makes the snapshot fit. Each diagnosis is measured once: a device
// that has everything must not cost the square of it.
func (out *SnapshotJSON) shorten() error {
	out.Truncated = true
	ds := out.Diagnoses
	out.Diagnoses = ds[:0:0]
	head, err := json.Marshal(out)
	if err != nil {
		return err
	}
	size := len(head)
	bare := make([]int, len(ds)) // sizes without advice, each with its comma
	whole := make([]int, len(ds))
	for i := range ds {
		if bare[i], err = encodedSize(DiagnosisJSON{Diagnosis: ds[i].Diagnosis}); err != nil {
			return err
		}
		if whole[i], err = encodedSize(ds[i]); err != nil {
			return err
		}
		size += whole[i]
	}
	for i := len(ds) - 1; i >= 0 && size > MaxSnapshot; i-- {
		ds[i].Advice = nil
		size -= whole[i] - bare[i]
	}
	for len(ds) > 0 && size > MaxSnapshot {
		size -= bare[len(ds)-1]
		ds = ds[:len(ds)-1]
	}
	out.Diagnoses = ds
	return nil
}

func encodedSize(d DiagnosisJSON) (int, error) {
	b, err := json.Marshal(d)
	return len(b) + 1, err
}

// JSON builds the published form with all advice.
func (s *Snapshot) JSON(gateway string, w Words) SnapshotJSON {
	health, action := s.Judge()
	out := SnapshotJSON{
		Schema: Schema, Gateway: gateway, Device: s.Device, Health: health, Action: action,
		UpdatedAt: Stamp{s.UpdatedAt}, Diagnoses: make([]DiagnosisJSON, len(s.Diagnoses)),
	}
	for i := range s.Diagnoses {
		d := s.Diagnoses[i].Describe(w)
		out.Diagnoses[i] = DiagnosisJSON{Diagnosis: d, Advice: w.Advice(&d)}
	}
	return out
}
