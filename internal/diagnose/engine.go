package diagnose

import (
	"time"
)

// Limits of the engine.
const (
	// MaxDevices are known at most; further ids are refused (contract 3).
	MaxDevices = 10_000
	// ForgetAfter is how long a device with nothing open must be unheard
	// before its place may be given to another.
	ForgetAfter = 7 * 24 * time.Hour
	// RepeatEvery is how often repeats are stored and republished at most.
	RepeatEvery = 5 * time.Second
	// evictEvery bounds how often a full engine looks for places to free.
	evictEvery = time.Minute
)

// Options of an engine.
type Options struct {
	// Gateway is the id that diagnoses carry.
	Gateway string
	Rules   Rulebook
	// NewID makes the id of an occurrence that opens at the given time.
	NewID func(time.Time) string
	// MaxDevices overrides the limit of known devices; 0 means MaxDevices.
	MaxDevices int
	// Checks lets the engine ask for checks. Without it every cause stays
	// likely or possible.
	Checks bool
}

// Engine turns observations into changes of diagnoses. It is a step function:
// no clock, lock, goroutine or I/O. It is not safe for concurrent use; the
// loop is its only owner.
type Engine struct {
	opts    Options
	devices map[string]*device
	// own holds the faults of the agent and the site; nil before the first.
	own      *device
	siteWide map[string]*SiteDecisions
	timers   timers
	// repeats are the devices whose counters moved and are not saved yet, in
	// the order in which that began.
	repeats  []repeat
	nextScan time.Time
	// suspect: the clock is not to be believed. clockKnown: it was said how the
	// clock stands. unset: it has not been believed since the start, so that
	// what was restored was stamped by another.
	suspect, clockKnown, unset bool
	// started is when the engine was first restored; zero: never.
	started time.Time
	// sources are the names of the configured sources; nil: not told.
	sources []string
	// listed are the ids of the inventory that have a place.
	listed map[string]bool
}

// device is what the engine knows of one device.
type device struct {
	id        string
	sources   []string
	inventory bool
	heard     bool
	lastHeard time.Time
	// savedHeard is the lastHeard that the store is sure to have.
	savedHeard time.Time
	updatedAt  time.Time
	facts      Facts
	problems   []*problem
	// gone are conditions that were given up and are still in the store.
	gone []string
	// unsaved is since when counters moved that are not saved; zero: none.
	unsaved time.Time
	// openSet counts openings and closings: rankings that look at other
	// conditions are stale when it moved.
	openSet int
}

// problem is one identity (device, condition) with its rule and timers.
type problem struct {
	Problem
	rule *Rule
	dev  *device
	// heldFrom is since when a pending condition is held back.
	heldFrom time.Time
	// lastAt is the receipt of the newest live report.
	lastAt time.Time
	// openedAt is when this occurrence opened, on the engine's time.
	openedAt time.Time
	// due is when the problem's next timer fires; slot is its place among the
	// timers plus one, 0 when none is set.
	due  time.Time
	slot int
	// held counts the reports while it is held back, latest is the newest of
	// them; nil: there was one.
	held   int64
	latest *Observation
	// evidenceSet counts answers of checks.
	evidenceSet int
	// dirty: it differs from what the store has.
	dirty bool
	// hidden: it ended so long ago that the snapshot does not list it.
	hidden bool
	// reworded: the newest report has other words than the one before.
	reworded bool
	// asked are the kinds of check that were asked for and not answered yet.
	asked []string
	// rankedFor is what the present ranking was made from.
	rankedFor rankInput
}

// NewEngine returns an engine that knows nothing yet.
func NewEngine(opts Options) *Engine {
	if opts.MaxDevices == 0 {
		opts.MaxDevices = MaxDevices
	}
	return &Engine{
		opts:     opts,
		devices:  make(map[string]*device),
		siteWide: make(map[string]*SiteDecisions),
	}
}

// maxWait is how long a message may have waited for its turn. One that says
// that it waited longer was stamped before the clock jumped.
const maxWait = time.Minute

// Observe takes one message. A fault opens or repeats a diagnosis; a success
// or an "online" ends what the rules say it disproves; a removal retires.
func (e *Engine) Observe(now time.Time, o Observation) Outcome {
	var out Outcome
	if waited := now.Sub(o.At); waited < 0 || waited > maxWait {
		o.At = now
	}
	if e.suspect {
		o.Reported = time.Time{} // there is nothing to compare it with
	}
	if o.Says == SaysRemoved {
		if d := e.devices[o.Device]; d != nil { // the agent is not among them
			e.leave(now, d, o.Source, &out)
		}
		return out
	}
	d := e.device(o.Device)
	if d == nil {
		if d = e.meet(now, &o, &out); d == nil {
			return out
		}
	}
	e.hear(now, d, &o, &out)
	set := d.openSet
	switch o.Says {
	case SaysFault, SaysLost:
		e.fault(now, d, &o, &out)
	case SaysSuccess, SaysOnline:
		if !o.Retained {
			e.disprove(now, d, o.Says, &out)
		}
	case SaysOver:
		e.over(now, d, &o, &out)
	case SaysResting, SaysRemoved:
		// Neither a fault nor a proof of health.
	}
	if d.openSet != set {
		e.reconsider(now, d, &out)
	}
	return out
}

// list is the problems of a device that may not be known.
func (d *device) list() []*problem {
	if d == nil {
		return nil
	}
	return d.problems
}

func (d *device) find(condition string) *problem {
	for _, p := range d.list() {
		if p.Diagnosis.Condition == condition {
			return p
		}
	}
	return nil
}

func (p *problem) open() bool {
	return p.Diagnosis.Status != "" && p.Diagnosis.Status != Cleared
}
