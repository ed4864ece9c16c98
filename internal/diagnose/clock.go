package diagnose

import "time"

// This file makes readings of a clock that may jump, start in 1970, or be set
// by hand. Why it does what it does stands in docs/adr/0008-clock.md.

const (
	// maxSlew is how far the wall clock may be off what the monotonic clock
	// makes one expect, and still be followed without a word.
	maxSlew = 10 * time.Second
	// syncedFor is how long the kernel must have called its clock synchronised
	// since the last jump for the clock to be believed again.
	syncedFor = time.Minute
	// steadyFor is how long the clock must have run without a jump to be
	// believed, where nobody synchronises it.
	steadyFor = 24 * time.Hour
)

// ClockReading is the gateway's time as the engine may use it.
type ClockReading struct {
	// Now never runs backwards but for a Step.
	Now time.Time
	// Step is how far the clock jumped since the reading before; zero: it runs.
	Step time.Duration
	// Suspect: the clock jumped of late, or was never set. Nothing may expire by
	// it, and what is decided is marked.
	Suspect bool
}

// Watch makes readings out of what the wall clock shows and how long the
// program runs. It is not safe for concurrent use.
type Watch struct {
	floor time.Time
	begun bool
	// now and mono are of the last reading, wall is what the clock showed then.
	now, wall time.Time
	mono      time.Duration
	// below: the wall clock shows what cannot be, so time goes on without it.
	below   bool
	suspect bool
	// jumped is when the wall clock jumped last, and synced since when the
	// kernel has called it synchronised without a break, both by the monotonic
	// clock; synced is negative while the kernel does not.
	jumped, synced time.Duration
}

// NewWatch returns a watch. The present cannot be before floor, the newest time
// that is known: it is the newest stamp of the store or the date of the build.
func NewWatch(floor time.Time) *Watch { return &Watch{floor: floor.Round(0), synced: -1} }

// Read makes a reading. The wall clock shows wall; the monotonic clock, which
// no one sets, shows mono; synced is the kernel's word that something keeps the
// wall clock in step. A suspended machine is a jump, a stopped process is none.
func (w *Watch) Read(wall time.Time, mono time.Duration, synced bool) ClockReading {
	wall = wall.Round(0)
	if !w.begun {
		w.begin(wall, mono)
	}
	passed := max(0, mono-w.mono)
	w.mono += passed
	if wall.Sub(w.wall.Add(passed)).Abs() >= maxSlew {
		w.jump()
	}
	w.wall = wall
	w.sync(synced)
	var step time.Duration
	w.now, step = w.follow(w.now.Add(passed))
	if !w.below && (w.inStep() || w.mono-w.jumped >= steadyFor) {
		w.suspect = false
	}
	return ClockReading{Now: w.now, Step: step, Suspect: w.suspect}
}

// begin takes the first reading. A clock that is a little behind the floor is
// waited for: the run before may have waited for it, too.
func (w *Watch) begin(wall time.Time, mono time.Duration) {
	w.begun, w.wall, w.now, w.mono = true, wall, wall, mono
	if wall.Before(w.floor) {
		w.now = w.floor
	}
	if w.floor.Sub(wall) >= maxSlew {
		w.below = true
		w.jump()
	}
}

// jump notes that the wall clock jumped.
func (w *Watch) jump() { w.suspect, w.jumped, w.synced = true, w.mono, -1 }

func (w *Watch) sync(synced bool) {
	switch {
	case !synced:
		w.synced = -1
	case w.synced < 0:
		w.synced = w.mono
	}
}

// inStep tells that the clock has been kept in step for long enough.
func (w *Watch) inStep() bool { return w.synced >= 0 && w.mono-w.synced >= syncedFor }

// follow is the time, and how far it jumped. Expected is what it would be if it
// had run on by itself, which it does where the wall clock shows what cannot be.
func (w *Watch) follow(expected time.Time) (time.Time, time.Duration) {
	ahead := w.wall.Sub(expected)
	near := ahead.Abs() < maxSlew
	switch {
	case near && !w.below:
	case !w.wall.Before(w.floor):
	case w.inStep():
		// It is the floor that was wrong: a clock that was ahead has stamped
		// something in the store.
		w.floor = w.wall
	default:
		w.below = true
		return expected, 0
	}
	w.below = false
	switch {
	case !near:
		w.jump()
		return w.wall, ahead
	case w.wall.After(w.now):
		return w.wall, 0
	}
	return w.now, 0 // it is waited for: time does not run backwards
}
