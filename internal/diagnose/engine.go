package diagnose

import (
	"maps"
	"slices"
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
	opts     Options
	devices  map[string]*device
	siteWide map[string]*SiteDecisions
	timers   timers
	// repeats are the devices whose counters moved and are not saved yet, in
	// the order in which that began.
	repeats  []repeat
	nextScan time.Time
}

// device is what the engine knows of one device.
type device struct {
	id        string
	sources   []string
	inventory bool
	heard     bool
	lastHeard time.Time
	updatedAt time.Time
	facts     Facts
	problems  []*problem
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
	// due is when the problem's next timer fires; zero: none is set.
	due time.Time
	// decided: a person's word on it waits to be stored.
	decided bool
	// evidenceSet counts answers of checks.
	evidenceSet int
	// hidden: it ended so long ago that the snapshot does not list it.
	hidden bool
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

// Observe takes one message. A fault opens or repeats a diagnosis; a success
// or an "online" ends what the rules say it disproves; a removal retires.
func (e *Engine) Observe(now time.Time, o Observation) Outcome {
	var out Outcome
	d := e.devices[o.Device]
	if o.Says == SaysRemoved {
		if d != nil {
			e.leave(now, d, o.Source, &out)
		}
		return out
	}
	if d == nil {
		if d = e.admit(now, o.Device, &out); d == nil {
			out.Refused = RefusedTooManyDevices
			return out
		}
	}
	e.hear(now, d, &o, &out)
	switch o.Says {
	case SaysFault, SaysLost:
		e.fault(now, d, &o, &out)
	case SaysSuccess, SaysOnline:
		if !o.Retained {
			e.disprove(now, d, o.Says, &out)
		}
	case SaysResting, SaysRemoved:
		// Neither a fault nor a proof of health.
	}
	return out
}

// admit makes room for a new device, or answers nil when there is none.
func (e *Engine) admit(now time.Time, id string, out *Outcome) *device {
	if len(e.devices) >= e.opts.MaxDevices && !e.evict(now, out) {
		return nil
	}
	d := &device{id: id}
	e.devices[id] = d
	return d
}

// evict frees the places of devices that nobody heard for a week and that
// have nothing open. A full site under a flood of new ids must not pay a scan
// for each of them, so it looks once a minute at most.
func (e *Engine) evict(now time.Time, out *Outcome) bool {
	if now.Before(e.nextScan) {
		return false
	}
	e.nextScan = now.Add(evictEvery)
	freed := false
	for _, id := range slices.Sorted(maps.Keys(e.devices)) {
		d := e.devices[id]
		if !d.inventory && now.Sub(d.lastHeard) > ForgetAfter && !d.anyOpen() {
			e.remove(d, out)
			freed = true
		}
	}
	return freed
}

func (d *device) anyOpen() bool {
	return slices.ContainsFunc(d.problems, func(p *problem) bool { return p.open() || p.Pending != nil })
}

// hear notes that the device spoke, and by which source.
func (e *Engine) hear(now time.Time, d *device, o *Observation, out *Outcome) {
	if !slices.Contains(d.sources, o.Source) {
		d.sources = append(d.sources, o.Source)
		e.touch(now, d, out)
	}
	if !d.heard {
		d.heard = true
		e.touch(now, d, out)
	}
	d.lastHeard = now
	if o.Facts != (Facts{}) {
		d.facts = d.facts.with(o.Facts)
	}
}

// with returns f with what newer tells laid over it.
func (f Facts) with(newer Facts) Facts {
	lay := func(to *string, from string) {
		if from != "" {
			*to = from
		}
	}
	lay(&f.DID, newer.DID)
	lay(&f.PID, newer.PID)
	lay(&f.MAC, newer.MAC)
	lay(&f.IP, newer.IP)
	lay(&f.Model, newer.Model)
	lay(&f.FW, newer.FW)
	return f
}

// leave takes a source off a device; with none left the device is retired.
func (e *Engine) leave(now time.Time, d *device, source string, out *Outcome) {
	d.sources = slices.DeleteFunc(d.sources, func(s string) bool { return s == source })
	if len(d.sources) > 0 {
		e.touch(now, d, out)
		return
	}
	e.retire(now, d, out)
}

// retire clears what is open on a device and lets it go.
func (e *Engine) retire(now time.Time, d *device, out *Outcome) {
	for _, p := range d.problems {
		p.Pending = nil
		if p.open() {
			e.close(now, p, ByRetired, out)
		}
	}
	e.touch(now, d, out)
	e.remove(d, out)
}

// remove forgets a device. The last snapshot, which tells what was cleared,
// goes with the outcome, for the engine cannot be asked any more.
func (e *Engine) remove(d *device, out *Outcome) {
	delete(e.devices, d.id)
	d.unsaved = time.Time{}
	for _, p := range d.problems {
		p.due = time.Time{}
	}
	out.Touched = slices.DeleteFunc(out.Touched, func(id string) bool { return id == d.id })
	out.Removed = append(out.Removed, d.id)
	out.Last = append(out.Last, d.snapshot(d.updatedAt))
}

// touch marks that the device's snapshot differs now.
func (e *Engine) touch(now time.Time, d *device, out *Outcome) {
	d.updatedAt = now
	d.unsaved = time.Time{}
	if n := len(out.Touched); n == 0 || out.Touched[n-1] != d.id {
		out.Touched = append(out.Touched, d.id)
	}
}

// keep marks that the device must be stored although its snapshot is the same.
func (e *Engine) keep(d *device, out *Outcome) { out.Kept = append(out.Kept, d.id) }

// count marks that only counters and times moved: they are saved later.
func (e *Engine) count(now time.Time, d *device) {
	if d.unsaved.IsZero() {
		d.unsaved = now
		e.repeats = append(e.repeats, repeat{d: d, since: now})
	}
}

func (d *device) find(condition string) *problem {
	for _, p := range d.problems {
		if p.Diagnosis.Condition == condition {
			return p
		}
	}
	return nil
}

func (p *problem) open() bool {
	return p.Diagnosis.Status != "" && p.Diagnosis.Status != Cleared
}
