package diagnose

import (
	"container/heap"
	"time"
)

// timers is a heap of the problems that wait for a time, earliest first. A
// problem stands in it once, at its slot.
type timers []*problem

func (t timers) Len() int           { return len(t) }
func (t timers) Less(i, j int) bool { return t[i].due.Before(t[j].due) }
func (t timers) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].slot, t[j].slot = i+1, j+1
}

// Push and Pop are heap.Interface's.
func (t *timers) Push(x any) {
	p := x.(*problem)
	*t = append(*t, p)
	p.slot = len(*t)
}

// Pop removes the last entry.
func (t *timers) Pop() any {
	old := *t
	n := len(old) - 1
	last := old[n]
	old[n] = nil
	last.slot = 0
	*t = old[:n]
	return last
}

// schedule makes sure that the heap has the problem at a time no later than
// its next transition. Repeats move transitions later without touching the
// heap: the timer fires early, finds nothing due, and is set anew.
func (e *Engine) schedule(p *problem) {
	next := p.next(e.suspect)
	switch {
	case next.IsZero():
		e.unschedule(p)
	case p.slot == 0:
		p.due = next
		heap.Push(&e.timers, p)
	case next.Before(p.due):
		p.due = next
		heap.Fix(&e.timers, p.slot-1)
	}
}

// unschedule takes a problem out of the heap.
func (e *Engine) unschedule(p *problem) {
	if p.slot > 0 {
		heap.Remove(&e.timers, p.slot-1)
	}
}

// next is when the problem's next transition by time is due; zero: never. By a
// suspect clock no decision runs out: its end is a time of day.
func (p *problem) next(suspect bool) time.Time {
	var at time.Time
	sooner := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	switch {
	case p.Pending != nil:
		sooner(p.heldFrom.Add(p.rule.Hold))
	case p.open():
		sooner(p.confirmAt())
		sooner(p.quietAt())
	case p.Diagnosis.Status == Cleared:
		sooner(p.hideAt())
	}
	if !suspect {
		for _, dec := range []*Decision{p.Diagnosis.Acknowledged, p.Diagnosis.Ignored} {
			if dec != nil {
				sooner(dec.Until.Time)
			}
		}
	}
	return at
}

// confirmAt is when a condition that stays is confirmed; zero: not by time.
func (p *problem) confirmAt() time.Time {
	d := &p.Diagnosis
	if p.rule.Confirm.Held == 0 || d.Status != Suspected || d.Flapping != nil || !p.Told {
		return time.Time{}
	}
	return p.openedAt.Add(p.rule.Confirm.Held)
}

// quietAt is when silence ends it; zero: never. A flapping condition whose
// last word is a success has a quiet time of its own.
func (p *problem) quietAt() time.Time {
	r := p.rule
	if p.Diagnosis.Flapping != nil && !p.Faulty && r.Flap.Quiet > 0 {
		return p.lastAt.Add(r.Flap.Quiet)
	}
	if r.Clear.Quiet == 0 {
		return time.Time{}
	}
	return p.lastAt.Add(r.Clear.Quiet)
}

// hideAt is when a cleared diagnosis leaves the snapshot; zero: it has left.
func (p *problem) hideAt() time.Time {
	if p.Diagnosis.ClearedAt.IsZero() || p.hidden {
		return time.Time{}
	}
	return p.Diagnosis.ClearedAt.Add(ClearedShown)
}

// repeat is a device whose counters moved at since and were not saved then.
type repeat struct {
	d     *device
	since time.Time
}

// current tells that the counters still wait: a change saves them as well.
func (r repeat) current() bool { return r.d.unsaved.Equal(r.since) }

// Next is when Tick is due; zero: nothing waits.
func (e *Engine) Next() time.Time {
	var at time.Time
	if len(e.timers) > 0 {
		at = e.timers[0].due
	}
	e.dropSaved()
	if len(e.repeats) > 0 {
		if flush := e.repeats[0].since.Add(RepeatEvery); at.IsZero() || flush.Before(at) {
			at = flush
		}
	}
	return at
}

// Tick does what time alone brings about: holds, confirmations, quiet ends,
// decisions that run out, and the saving of counters.
func (e *Engine) Tick(now time.Time) Outcome {
	var out Outcome
	for len(e.timers) > 0 && !e.timers[0].due.After(now) {
		p := heap.Pop(&e.timers).(*problem)
		e.expire(now, p, &out)
		e.schedule(p)
	}
	e.flush(now, &out)
	return out
}

// expire makes every transition of one problem that is due.
func (e *Engine) expire(now time.Time, p *problem, out *Outcome) {
	reached := func(t time.Time) bool { return !t.IsZero() && !now.Before(t) }
	set := p.dev.openSet
	if p.Pending != nil && reached(p.heldFrom.Add(p.rule.Hold)) {
		since, o := earlier(p.Pending.When(), p.Pending.At), p.Pending
		if p.latest != nil {
			o = p.latest
		}
		if m := e.opts.Rules.Match(o.Key); m.Ignored {
			e.release(p, out)
		} else {
			e.supersede(now, p, out)
			e.open(now, since, p, m, o, out)
		}
	}
	if p.open() {
		if reached(p.quietAt()) {
			e.close(now, p, ByQuiet, out)
		} else if reached(p.confirmAt()) {
			p.confirm()
			e.change(Changed, now, p, out)
			e.moved(now, p, out)
		}
	}
	if p.Diagnosis.Status == Cleared && reached(p.hideAt()) {
		p.hidden = true
		e.touch(now, p.dev, out)
	}
	e.expireDecisions(now, p, out)
	if p.dev.openSet != set {
		e.reconsider(now, p.dev, out)
	}
}

// flush hands out the devices whose counters moved RepeatEvery ago or more.
func (e *Engine) flush(now time.Time, out *Outcome) {
	n := 0
	for _, r := range e.repeats {
		if r.current() && now.Sub(r.since) < RepeatEvery {
			break
		}
		n++
		if r.current() {
			e.touch(now, r.d, out)
		}
	}
	e.repeats = e.repeats[n:]
	if len(e.repeats) == 0 {
		e.repeats = nil // let go of the array
	}
}

// dropSaved skips entries whose device was saved meanwhile.
func (e *Engine) dropSaved() {
	for len(e.repeats) > 0 && !e.repeats[0].current() {
		e.repeats = e.repeats[1:]
	}
}
