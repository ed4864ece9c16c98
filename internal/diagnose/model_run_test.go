package diagnose

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// real is the engine under the same steps, with what its events said so far.
type real struct {
	t      *rapid.T
	e      *Engine
	opts   Options
	events []string
	last   map[string]Diagnosis // as the newest event told it, while open
	ids    map[string]string    // of open ones, by identity
}

func (r *real) add(out Outcome) {
	for _, c := range out.Changes {
		d := c.Diagnosis
		key := string(d.Device) + " " + d.Condition
		old, isOpen := r.last[key]
		switch c.Type {
		case Raised:
			if isOpen {
				r.t.Fatalf("%s raised twice", key)
			}
			r.last[key] = d
		case Cleaned:
			if !isOpen || old.ID != d.ID {
				r.t.Fatalf("%s cleared, and was not raised", key)
			}
			delete(r.last, key)
		case Changed:
			if !isOpen || faceOf(&old) == faceOf(&d) {
				r.t.Fatalf("%s changed, and nothing of its face did: %s", key, faceOf(&d))
			}
			r.last[key] = d
			continue
		case Dropped:
			r.t.Fatal("the engine drops nothing")
		}
		r.events = append(r.events, fmt.Sprintf("%s %s occ=%d flapping=%v", c.Type, key, d.Occurrence, d.Flapping != nil))
	}
}

// faceOf is the contract's list, read off the published fields.
func faceOf(d *Diagnosis) string {
	s := fmt.Sprint(d.Status, d.Severity, d.Action, d.ExplainedBy, d.Flapping != nil, d.CodeRaw, d.Acknowledged, d.Ignored)
	for _, c := range d.Causes {
		s += " " + c.Cause + string(c.Verdict)
	}
	return s
}

func (r *real) until(to time.Time) {
	for next := r.e.Next(); !next.IsZero() && !next.After(to); next = r.e.Next() {
		r.add(r.e.Tick(next))
	}
}

// check holds the engine's open set against the model's, and ids against what
// they were.
func (r *real) check(m *model) {
	open := make(map[string]int)
	for _, id := range append(r.e.ids(), "") {
		s, _ := r.e.Snapshot(id)
		for _, d := range s.Diagnoses {
			key := id + " " + d.Condition
			if !d.Open() {
				continue
			}
			open[key] = d.Occurrence
			handle := fmt.Sprint(key, " ", d.Occurrence)
			if was := r.ids[handle]; was != "" && was != d.ID {
				r.t.Fatalf("%s was %s and is %s", handle, was, d.ID)
			}
			r.ids[handle] = d.ID
		}
	}
	if !maps.Equal(open, m.open()) {
		r.t.Fatalf("open: %v, the model says %v", open, m.open())
	}
	slices.Sort(r.events)
	slices.Sort(m.events)
	if !slices.Equal(r.events, m.events) {
		r.t.Fatalf("events:\n  %s\nthe model's:\n  %s", strings.Join(r.events, "\n  "), strings.Join(m.events, "\n  "))
	}
	r.events, m.events = nil, nil
}

func TestAgainstTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		opts := Options{Gateway: "gw", Rules: newBook(), NewID: counter()}
		r := &real{t: t, e: NewEngine(opts), opts: opts, last: make(map[string]Diagnosis), ids: make(map[string]string)}
		m := &model{problems: make(map[string]*modelProblem)}
		now := day
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			to := now.Add(time.Duration(rapid.SampledFrom([]int{0, 1, 1, 5, 11, 65, 65, 119, 121, 400, 601, 1199, 1500}).Draw(t, "seconds")) * time.Second)
			m.until(now, to)
			r.until(to)
			r.check(m)
			now = to
			both(t, r, m, now)
			m.until(now, now)
			r.until(now)
			r.check(m)
		}
	})
}

// both takes one random step on both sides.
func both(t *rapid.T, r *real, m *model, now time.Time) {
	device := rapid.SampledFrom([]string{"lamp", "lamp", "plug", ""}).Draw(t, "device")
	steps := []string{"fault", "fault", "fault", "ok", "ok", "lost", "lost", "online", "online", "retained", "removed", "resolve", "ack", "restart"}
	if device == "" {
		steps = []string{"own", "own", "over", "over", "ok", "online", "removed", "resolve", "ack", "restart"}
	}
	step := rapid.SampledFrom(steps).Draw(t, "step")
	o := say(device, SaysFault, 0)
	switch step {
	case "fault", "retained":
		o.Key.Code = rapid.SampledFrom(slices.Sorted(maps.Keys(modelCodes))).Draw(t, "code")
		o.CodeRaw, o.Retained = fmt.Sprint(o.Key.Code), step == "retained"
		m.fault(now, device, modelCodes[o.Key.Code], o.Retained)
	case "ok":
		o.Says = SaysSuccess
		m.signal(device, func(rule modelRule) bool { return rule.success })
	case "lost":
		o.Says, o.Key.Name = SaysLost, "lost"
		m.fault(now, device, "device-lost", false)
	case "online":
		o.Says = SaysOnline
		m.signal(device, func(rule modelRule) bool { return rule.online })
	case "own":
		o.Key = Key{Producer: ProducerAgent, Name: rapid.SampledFrom([]string{"storage-full", "slow-turn"}).Draw(t, "name")}
		m.fault(now, device, o.Key.Name, false)
	case "over":
		o.Says, o.Key = SaysOver, Key{Producer: ProducerAgent, Name: rapid.SampledFrom([]string{"storage-full", "slow-turn"}).Draw(t, "name")}
		m.over(device, func(condition string) bool { return condition == o.Key.Name })
	case "removed":
		o.Says = SaysRemoved
		if device == "" {
			break // it is never removed
		}
		m.drop(device)
		for key := range r.ids {
			if strings.HasPrefix(key, device+" ") {
				delete(r.ids, key) // it comes back as another device
			}
		}
	case "resolve", "ack":
		verb := Acknowledge
		if step == "resolve" {
			verb = Resolve
			for _, key := range m.keys() {
				if p := m.problems[key]; strings.HasPrefix(key, device+" ") && p.open {
					m.end(key, p)
				}
			}
		}
		req := Request{Verb: verb, By: fmt.Sprint(now)}
		if device != "" {
			req.Device = &device
		}
		if out, err := r.e.Decide(now, req); err == nil {
			r.add(out)
		}
		return
	case "restart":
		m.restart(now)
		kept := stored(t, r.e)
		r.e = NewEngine(r.opts)
		r.add(r.e.Restore(now, kept))
		return
	}
	r.add(r.e.Observe(now, o))
}
