package store

import (
	"fmt"
	"strings"
)

// Range is a run of sequence numbers, both ends in it.
type Range struct{ From, To int64 }

func (r Range) count() int64 { return r.To - r.From + 1 }

func (r Range) String() string {
	if r.From == r.To {
		return fmt.Sprint(r.From)
	}
	return fmt.Sprintf("%d-%d", r.From, r.To)
}

// OpenReport is what was found lost or damaged when the store was opened, and
// what became of it. It is zero when all was well.
type OpenReport struct {
	// Damage is what was found first, in words; empty when the file was whole.
	Damage string
	// SetAside are the names of the files that were set aside.
	SetAside []string
	// LostCommits were made durable, and are gone: a file was deleted, cut, or
	// replaced by an older one.
	LostCommits int64
	// LostEvents are rows of the log that are gone, in the ranges Lost; of these,
	// LostUnpublished had not been published yet.
	LostEvents, LostUnpublished int64
	Lost                        []Range
	// DamagedRows did not match their checksum, and were left out.
	DamagedRows int
	// Unread are places in the file where rows were and could not be read.
	Unread int
	// Rebuilt problems were made anew from their last event; LostProblems could
	// not be, and LostDevices lost their own record.
	Rebuilt, LostProblems, LostDevices int
	// NoState: devices, problems and decisions are gone altogether.
	NoState bool
	// Unjudged: nothing tells whether commits are missing, and a new epoch began.
	Unjudged bool
	// Cut: there was no room to copy all that could be read.
	Cut bool
	// Empty: opening failed again and again, and an empty store began.
	Empty bool
}

// Lossy tells that something may be missing that was in the store before.
func (r OpenReport) Lossy() bool {
	return r.LostCommits > 0 || r.LostEvents > 0 || r.DamagedRows > 0 || r.Unread > 0 || r.Rebuilt > 0 ||
		r.LostProblems > 0 || r.LostDevices > 0 || r.NoState || r.Unjudged || r.Cut || r.Empty
}

// String is the report in one line, empty when all was well.
func (r OpenReport) String() string {
	var parts []string
	add := func(is bool, format string, args ...any) {
		if is {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	add(r.Damage != "", "%s", r.Damage)
	add(r.Empty, "opening failed again and again, an empty store began")
	add(len(r.SetAside) > 0, "set aside: %s", strings.Join(r.SetAside, ", "))
	add(r.LostCommits > 0, "%d commits are lost", r.LostCommits)
	add(r.LostEvents > 0, "%d events are lost (%s), %d of them not published yet", r.LostEvents, ranges(r.Lost), r.LostUnpublished)
	add(r.DamagedRows > 0, "%d damaged rows are left out", r.DamagedRows)
	add(r.Unread > 0, "%d places could not be read", r.Unread)
	add(r.Rebuilt > 0, "%d problems are rebuilt from their last event", r.Rebuilt)
	add(r.LostProblems > 0, "%d problems are lost", r.LostProblems)
	add(r.LostDevices > 0, "%d devices lost their record", r.LostDevices)
	add(r.NoState, "devices, problems and decisions are gone")
	add(r.Unjudged, "what is missing cannot be told, for the seal is missing or of another store; a new epoch began")
	add(r.Cut, "there was no room to copy everything")
	return strings.Join(parts, "; ")
}

// ranges lists the first few.
func ranges(list []Range) string {
	const shown = 5
	var parts []string
	for _, r := range list[:min(shown, len(list))] {
		parts = append(parts, r.String())
	}
	if len(list) > shown {
		parts = append(parts, fmt.Sprintf("and %d more", len(list)-shown))
	}
	return strings.Join(parts, ", ")
}

// Opened tells what was found damaged or lost when the store was opened, at the
// start or since.
func (s *Store) Opened() OpenReport {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.report
}

// tell adds to the report.
func (s *Store) tell(f func(*OpenReport)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.report)
}

// merge adds another report to this one.
func (r *OpenReport) merge(o *OpenReport) {
	if r.Damage == "" {
		r.Damage = o.Damage
	}
	r.SetAside = append(r.SetAside, o.SetAside...)
	r.LostCommits += o.LostCommits
	r.LostEvents += o.LostEvents
	r.LostUnpublished += o.LostUnpublished
	r.Lost = append(r.Lost, o.Lost...)
	r.DamagedRows += o.DamagedRows
	r.Unread += o.Unread
	r.Rebuilt += o.Rebuilt
	r.LostProblems += o.LostProblems
	r.LostDevices += o.LostDevices
	r.NoState = r.NoState || o.NoState
	r.Unjudged = r.Unjudged || o.Unjudged
	r.Cut = r.Cut || o.Cut
	r.Empty = r.Empty || o.Empty
}
