package main

import (
	"fmt"
	"time"

	"fieldmedic/internal/diagnose"
)

// This file is what the agent sees go by between its parts: what comes in, what
// goes out, and what is counted on the way.

// publish hands on what the loop made durable, and while nothing can be, the
// site's snapshot, which says so.
func (a *agent) publish(p diagnose.Publication) {
	if f := a.failed.Load(); f != nil {
		for i := range p.Snapshots {
			if p.Snapshots[i].Device == "" {
				f.site.Store(&p.Snapshots[i])
			}
		}
	}
	a.metrics.open.update(p)
	a.outbound.Publish(p)
	a.web.Ring()
}

func (a *agent) refuse(in diagnose.RefusedInput) {
	a.metrics.refused.WithLabelValues(string(in.Reason)).Inc()
	a.refusals.add(in)
}

func (a *agent) turned(t diagnose.Turn) {
	if t.Commit > 0 {
		a.metrics.commit.Observe(t.Commit.Seconds())
	}
	if t.Took > slowTurnAfter {
		a.own.happened(ownSlowTurn, fmt.Sprintf("one turn took %s, of which the store took %s", t.Took.Round(time.Millisecond), t.Commit.Round(time.Millisecond)))
	}
}

// drop counts a message that is not taken and does not come again.
func (a *agent) drop(d diagnose.Delivery) {
	source := ""
	switch {
	case d.Observation != nil:
		source = d.Observation.Source
	case d.Refused != nil:
		source = d.Refused.Source
	}
	if source != string(diagnose.ProducerAgent) {
		a.missed(source)
	}
}

func (a *agent) missed(source string) {
	a.dropped.Add(1)
	a.metrics.dropped.WithLabelValues(source).Inc()
}

// lost is told of events that a full outbox gave up.
func (a *agent) lost(n int64) {
	a.metrics.lost.Add(float64(n))
	a.own.happened(ownEventsDropped, fmt.Sprintf("%d events were given up: the outbox was full", n))
}

// deliver hands a message to the loop. Codes that no rule knows are counted
// here: the engine has no counters for others to read.
func (a *agent) deliver(d diagnose.Delivery) bool {
	if d.Request != nil && d.Request.Verb == diagnose.Resend {
		a.resend(d)
		return true
	}
	if o := d.Observation; o != nil && o.Says == diagnose.SaysFault {
		m := a.setup().set.Match(o.Key)
		if !m.Known {
			a.metrics.unknown.WithLabelValues(string(m.Family)).Inc()
		}
		d.Critical = m.Rule.Severity == diagnose.Critical
	}
	return a.loop.Deliver(d)
}

// resend is carried out by the publisher, which changes nothing.
func (a *agent) resend(d diagnose.Delivery) {
	answer := diagnose.Response{Transaction: d.Request.Transaction, OK: true}
	if err := a.outbound.Resend(d.Request.FromSeq); err != nil {
		answer.OK, answer.Error = false, err.Error()
	}
	if d.Ack != nil {
		d.Ack()
	}
	if d.Respond != nil {
		d.Respond(answer)
	}
}

func (a *agent) published(e diagnose.LogEntry) {
	a.metrics.published.WithLabelValues(string(e.Type)).Inc()
	a.metrics.decision.Observe(max(0, a.clock.now().Sub(e.At).Seconds()))
}
