package diagnose

import (
	"container/heap"
	"time"
)

// timer is one entry of the heap. It is void when its problem's due has moved
// on: entries are never searched for.
type timer struct {
	at time.Time
	p  *problem
}

// timers is a heap, earliest first.
type timers []timer

func (t timers) Len() int           { return len(t) }
func (t timers) Less(i, j int) bool { return t[i].at.Before(t[j].at) }
func (t timers) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }

// Push and Pop are heap.Interface's.
func (t *timers) Push(x any) { *t = append(*t, x.(timer)) }

// Pop removes the last entry.
func (t *timers) Pop() any {
	old := *t
	n := len(old) - 1
	last := old[n]
	old[n] = timer{}
	*t = old[:n]
	return last
}

// schedule makes sure that the heap has an entry no later than the problem's
// next transition. Repeats move transitions later without touching the heap:
// the entry fires early, finds nothing due, and is set anew.
func (e *Engine) schedule(now time.Time, p *problem) {
	next := p.next()
	if next.IsZero() {
		p.due = time.Time{}
		return
	}
	if next.Before(now) {
		next = now
	}
	if !p.due.IsZero() && !next.Before(p.due) {
		return
	}
	p.due = next
	heap.Push(&e.timers, timer{at: next, p: p})
}

// next is when the problem's next transition by time is due; zero: never.
func (p *problem) next() time.Time {
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
	for _, dec := range []*Decision{p.Diagnosis.Acknowledged, p.Diagnosis.Ignored} {
		if dec != nil {
			sooner(dec.Until.Time)
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
	for len(e.timers) > 0 && !e.timers[0].at.Equal(e.timers[0].p.due) {
		heap.Pop(&e.timers) // void
	}
	if len(e.timers) > 0 {
		at = e.timers[0].at
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
	for len(e.timers) > 0 && !e.timers[0].at.After(now) {
		t := heap.Pop(&e.timers).(timer)
		if !t.at.Equal(t.p.due) {
			continue
		}
		t.p.due = time.Time{}
		e.expire(now, t.p, &out)
		e.schedule(now, t.p)
	}
	e.flush(now, &out)
	return out
}

// expire makes every transition of one problem that is due.
func (e *Engine) expire(now time.Time, p *problem, out *Outcome) {
	reached := func(t time.Time) bool { return !t.IsZero() && !now.Before(t) }
	if p.Pending != nil && reached(p.heldFrom.Add(p.rule.Hold)) {
		o := p.Pending
		e.supersede(now, p, out)
		e.open(now, o.At, p, e.opts.Rules.Match(o.Key), o, out)
	}
	if p.open() {
		if reached(p.quietAt()) {
			e.close(now, p, ByQuiet, out)
		} else if reached(p.confirmAt()) {
			p.confirm()
			out.Changes = append(out.Changes, p.change(Changed, now))
			e.touch(now, p.dev, out)
		}
	}
	if p.Diagnosis.Status == Cleared && reached(p.hideAt()) {
		p.hidden = true
		e.touch(now, p.dev, out)
	}
	e.expireDecisions(now, p, out)
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
