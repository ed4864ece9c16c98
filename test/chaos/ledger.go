package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ledger is where everybody writes down what they saw, and the only place that
// ids are compared.
type ledger struct {
	gateway string
	seed    uint64

	mu       sync.Mutex
	reports  []*report
	devices  map[string]*report
	events   map[string]*event
	live     []*report        // not removed, oldest first
	highest  map[string]int64 // sequence number received by the app, by epoch
	disorder []string
	wrong    []string // contents that are not what they must be
	dropped  []body   // what the agent said it gave up
	waiters  []*waiter
	progress time.Time
	life     func() int
}

// waiter waits for the first event of a report that was sent after its start.
type waiter struct {
	from  int
	since time.Time
	took  time.Duration
	done  chan struct{}
	// overtaken: another fault came before the recovery.
	overtaken bool
}

func newLedger(gateway string, seed uint64, life func() int) *ledger {
	return &ledger{
		gateway: gateway, seed: seed, life: life, progress: time.Now(),
		devices: map[string]*report{}, events: map[string]*event{}, highest: map[string]int64{},
	}
}

// next makes a new report.
func (l *ledger) next() *report {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	n := len(l.reports)
	r := &report{
		n: n, device: fmt.Sprintf("c%x-%d", l.seed, n), code: codes()[n%len(codes())],
		ts: now.UnixMilli(), sent: now,
	}
	l.reports = append(l.reports, r)
	l.devices[r.device] = r
	l.live = append(l.live, r)
	return r
}

// find is the report of a topic, or nil.
func (l *ledger) find(topic string) *report {
	device, ours := strings.CutPrefix(topic, "devices/")
	if !ours {
		return nil
	}
	return l.devices[strings.TrimSuffix(device, "/status")]
}

func (l *ledger) byBroker(r *report) { l.note(func(now time.Time) { r.broker = now }) }

func (l *ledger) note(f func(now time.Time)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(time.Now())
}

// handed notes that a message was written to the agent's connection.
func (l *ledger) handed(p publication) {
	l.note(func(now time.Time) {
		if r := l.find(p.topic); r != nil && len(p.payload) > 0 {
			r.given, r.life = now, l.life()
		}
	})
}

// byAgent notes that the agent acknowledged a message.
func (l *ledger) byAgent(p publication) {
	l.note(func(now time.Time) {
		if r := l.find(p.topic); r != nil && len(p.payload) > 0 && r.agent.IsZero() {
			r.agent, l.progress = now, now
		}
	})
}

// eventOf finds or makes the record of an event. Two events under one id are
// the end of every consumer's bookkeeping.
func (l *ledger) eventOf(b body) *event {
	e, ok := l.events[b.ID]
	if !ok {
		e = &event{epoch: b.Epoch, kind: b.Type, device: b.Diagnosis.Device, seq: b.Seq, at: time.Now()}
		l.events[b.ID] = e
	}
	if same := e.kind == b.Type && e.device == b.Diagnosis.Device && e.seq == b.Seq; !same && !e.ambiguous {
		e.ambiguous = true // told once
		l.wrong = append(l.wrong, fmt.Sprintf("event %s is both %s of %s (seq %d) and %s of %s (seq %d)",
			b.ID, e.kind, e.device, e.seq, b.Type, b.Diagnosis.Device, b.Seq))
	}
	return e
}

// stored notes an event that the agent's store holds.
func (l *ledger) stored(b body) {
	l.note(func(now time.Time) {
		e := l.eventOf(b)
		e.stored = true
		if r := l.devices[e.device]; r != nil && e.kind == "raised" && r.decided.IsZero() {
			r.decided, l.progress = now, now
		}
	})
}

// published notes an event that the agent sent, and acknowledged that the
// broker took it.
func (l *ledger) published(b body) { l.note(func(time.Time) { l.eventOf(b).sent++ }) }

func (l *ledger) acknowledged(b body) {
	l.note(func(time.Time) {
		e := l.eventOf(b)
		e.acknowledged, e.lastLife = true, l.life()
	})
}

// receivedAway notes an event that came to the app that is away now and then.
func (l *ledger) receivedAway(b body) {
	l.note(func(now time.Time) {
		if e := l.eventOf(b); !e.away {
			e.away, l.progress = true, now
		}
	})
}

// received notes an event that came to the app.
func (l *ledger) received(b body) {
	l.note(func(now time.Time) {
		e := l.eventOf(b)
		if e.received++; e.received > 1 {
			return
		}
		l.progress = now
		if b.Type == "dropped" {
			l.dropped = append(l.dropped, b)
		}
		if last := l.highest[e.epoch]; e.seq < last {
			l.disorder = append(l.disorder, fmt.Sprintf("%s: seq %d first came after %d", now.Format(stamp), e.seq, last))
		} else {
			l.highest[e.epoch] = e.seq
		}
		if r := l.devices[e.device]; r != nil && e.kind == "raised" {
			l.raise(r, b, now)
		}
	})
}

func (l *ledger) raise(r *report, b body, now time.Time) {
	if got := fmt.Sprint(b.Diagnosis.SourceTS); got != strconv.FormatInt(r.ts, 10) || b.Diagnosis.Code != r.code {
		l.wrong = append(l.wrong, fmt.Sprintf("event %s of %s has code %d and source_ts %s (%d and %d were sent)",
			b.ID, r.device, b.Diagnosis.Code, got, r.code, r.ts))
	}
	if r.raised++; r.raised > 1 {
		if r.removed { // an old message brought it back: it goes again
			r.removed = false
			l.live = append(l.live, r)
		}
		return
	}
	r.delivered = now
	for _, w := range l.waiters {
		if w.took == 0 && r.n >= w.from {
			w.took = max(now.Sub(w.since), time.Microsecond)
			close(w.done)
		}
	}
}

// await makes a waiter that starts now.
func (l *ledger) await() *waiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := &waiter{from: len(l.reports), since: time.Now(), done: make(chan struct{})}
	l.waiters = append(l.waiters, w)
	return w
}

// giveUp ends a waiting that took too long, or, overtaken, was never to last.
func (l *ledger) giveUp(w *waiter, overtaken bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w.overtaken = overtaken
	l.waiters = slices.DeleteFunc(l.waiters, func(other *waiter) bool { return other == w })
}

// retire names devices that are done with, so that no more than keep stay: the
// site is to keep its size, however long the run. Only what the broker
// acknowledged is never sent again, and does not come back.
func (l *ledger) retire(keep int) []*report {
	l.mu.Lock()
	defer l.mu.Unlock()
	var gone, stay []*report
	for i, r := range l.live {
		if len(l.live)-len(gone) <= keep {
			stay = append(stay, l.live[i:]...)
			break
		}
		if r.broker.IsZero() || r.delivered.IsZero() {
			stay = append(stay, r)
			continue
		}
		r.removed = true
		gone = append(gone, r)
	}
	l.live = stay
	return gone
}

// watermarkInterval is how often the agent tells the broker how far it came.
const watermarkInterval = time.Second

// gaveUp tells whether the agent said that it gave this event up; mu is held.
func (l *ledger) gaveUp(e *event) bool {
	return slices.ContainsFunc(l.dropped, func(d body) bool { return d.Epoch == e.epoch && d.From <= e.seq && e.seq <= d.To })
}

// epochs are those that events were seen of; mu is held.
func (l *ledger) epochs() map[string]bool {
	all := map[string]bool{}
	for _, e := range l.events {
		all[e.epoch] = true
	}
	return all
}

// burst is the most events that came up in one watermark interval; mu is held.
func (l *ledger) burst() int {
	var at []time.Time
	for _, e := range l.events {
		at = append(at, e.at)
	}
	slices.SortFunc(at, time.Time.Compare)
	most, from := 0, 0
	for i := range at {
		for at[i].Sub(at[from]) > watermarkInterval {
			from++
		}
		most = max(most, i-from+1)
	}
	return most
}

// standing tells how many reports there are, how many of them are not yet
// delivered, and when anything last got on.
func (l *ledger) standing() (sent, open int, progress time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.reports {
		if r.delivered.IsZero() {
			open++
		}
	}
	for _, e := range l.events {
		if e.stored && (e.received == 0 || !e.away) {
			open++
		}
	}
	return len(l.reports), open, l.progress
}
