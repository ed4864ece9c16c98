package diagnose

import (
	"iter"
	"time"
)

// This file is the device "": the agent itself, and the site. It is a device
// like any other for conditions, decisions and snapshots. But nobody counts it,
// its place is not given away, and what it says is neither retained nor a
// payload.

// device finds a device, or the agent and the site by the empty id; nil when
// it is not known.
func (e *Engine) device(id string) *device {
	if id == "" {
		return e.own
	}
	return e.devices[id]
}

// all goes through all devices, the agent and the site included.
func (e *Engine) all() iter.Seq[*device] {
	return func(yield func(*device) bool) {
		if e.own != nil && !yield(e.own) {
			return
		}
		for _, d := range e.devices {
			if !yield(d) {
				return
			}
		}
	}
}

// inOrder lists all in a stable order.
func (e *Engine) inOrder() []*device {
	list := make([]*device, 0, len(e.devices)+1)
	if e.own != nil {
		list = append(list, e.own)
	}
	for _, id := range e.ids() {
		list = append(list, e.devices[id])
	}
	return list
}

// meet takes in who is not known yet; nil where nobody is to be taken in, or
// there is no room.
func (e *Engine) meet(now time.Time, o *Observation, out *Outcome) *device {
	fault := o.Says == SaysFault || o.Says == SaysLost
	switch {
	case o.Device != "" && o.Says != SaysOver:
		d := e.admit(now, o.Device, out)
		if d == nil {
			out.Refused = RefusedTooManyDevices
		}
		return d
	case o.Device == "" && fault:
		e.own = &device{heard: true}
		e.touch(now, e.own, out)
		return e.own
	}
	return nil
}

// hearOwn notes that the agent spoke.
func (e *Engine) hearOwn(now time.Time, o *Observation) {
	o.Retained, o.Facts = false, Facts{}
	e.own.lastHeard = now
}

// over takes the word that one condition, and no other, has ended.
func (e *Engine) over(now time.Time, d *device, o *Observation, out *Outcome) {
	m := e.opts.Rules.Match(o.Key)
	if p := d.find(m.Rule.Condition); p != nil {
		e.end(now, p, out)
	}
}

// scope is whose fault the problem is.
func (p *problem) scope() Scope {
	switch {
	case p.dev.id != "":
		return ScopeDevice
	case p.rule.Scope == ScopeSite:
		return ScopeSite
	}
	return ScopeAgent
}
