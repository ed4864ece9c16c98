package diagnose

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// walker lives through a random history, by a clock that jumps or by one that
// does not.
type walker struct {
	t      *rapid.T
	e      *Engine
	opts   Options
	off    time.Duration
	events []string
}

func (w *walker) add(out Outcome) {
	for _, c := range out.Changes {
		w.events = append(w.events, w.plain(c))
	}
	if out.Refused != "" {
		w.events = append(w.events, string(out.Refused))
	}
}

// plain is a whole change as text, less what the clock jumped.
func (w *walker) plain(c Change) string {
	var d Diagnosis
	b, err := json.Marshal(c.Diagnosis)
	if err == nil {
		err = json.Unmarshal(b, &d)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	unshift(reflect.ValueOf(&d).Elem(), w.off)
	if b, err = json.Marshal(d); err != nil {
		w.t.Fatal(err)
	}
	return fmt.Sprintf("%s %s %s", c.At.Add(-w.off).Sub(day), c.Type, b)
}

// unshift finds every stamp by its type, so that none can be forgotten.
func unshift(v reflect.Value, off time.Duration) {
	if s, ok := reflect.TypeAssert[Stamp](v); ok {
		if !s.IsZero() {
			v.Set(reflect.ValueOf(Stamp{s.Add(-off)}))
		}
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			unshift(v.Elem(), off)
		}
	case reflect.Struct:
		for _, f := range v.Fields() {
			unshift(f, off)
		}
	case reflect.Slice:
		for i := range v.Len() {
			unshift(v.Index(i), off)
		}
	}
}

func (w *walker) until(to time.Time) {
	to = to.Add(w.off)
	for next := w.e.Next(); !next.IsZero() && !next.After(to); next = w.e.Next() {
		w.add(w.e.Tick(next))
	}
}

func (w *walker) jump(now time.Time, step time.Duration) {
	w.off += step
	w.add(w.e.Shift(now.Add(w.off), step))
}

// check answers a check for what is worst on a device.
func (w *walker) check(now time.Time, device string) {
	s, ok := w.e.Snapshot(device)
	if ok && len(s.Diagnoses) > 0 {
		w.add(w.e.Conclude(now, Evidence{Diagnosis: s.Diagnoses[0].ID, Check: "hello", Result: "locked", At: Stamp{now}}))
	}
}

// drawStep draws what happens next.
func drawStep(t *rapid.T) func(w *walker, now time.Time) {
	device := rapid.SampledFrom([]string{"lamp", "lamp", "plug", ""}).Draw(t, "device")
	what := []string{"fault", "fault", "fault", "ok", "ok", "lost", "lost", "online", "retained", "removed", "resolve", "acknowledge", "note", "check", "restart"}
	if device == "" {
		what = []string{"own", "own", "own", "over", "over", "resolve", "acknowledge", "restart"}
	}
	kind := rapid.SampledFrom(what).Draw(t, "what")
	code := rapid.SampledFrom([]int32{-7, -4, -4022, -10, -9, -4000, -4013, -11, -777}).Draw(t, "code")
	name := rapid.SampledFrom([]string{"storage-full", "slow-turn", "internet-down"}).Draw(t, "name")
	repeats := rapid.Int64Range(0, 3).Draw(t, "repeats")
	return func(w *walker, now time.Time) {
		now = now.Add(w.off)
		o := Observation{Device: device, Source: "status", At: now, Key: Key{Producer: ProducerDNA, Code: code}, CodeRaw: fmt.Sprint(code), Repeats: repeats}
		switch kind {
		case "restart":
			kept := stored(w.t, w.e)
			w.e = NewEngine(w.opts)
			w.add(w.e.Restore(now, kept))
			return
		case "resolve", "acknowledge", "note":
			r := Request{Verb: Verb(kind), By: "ann", Note: "n"}
			if device != "" {
				r.Device = &device
			}
			if out, err := w.e.Decide(now, r); err == nil {
				w.add(out)
			}
			return
		case "check":
			w.check(now, device)
			return
		case "retained":
			o.Retained = true
		case "own", "over":
			o.Key = Key{Producer: ProducerAgent, Name: name}
			if kind == "over" {
				o.Says = SaysOver
			}
		case "ok":
			o.Says = SaysSuccess
		case "online":
			o.Says = SaysOnline
		case "lost":
			o.Says, o.Key = SaysLost, Key{Producer: ProducerAvailability, Name: "lost"}
		case "removed":
			o.Says = SaysRemoved
		}
		w.add(w.e.Observe(now, o))
	}
}

// A random history by a clock that jumps at random brings the same changes, in
// the same order, after the same times, as by one that does not; and when the
// clock is back, nothing differs.
func TestJumpsChangeNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		opts := func() Options { return Options{Gateway: "gw", Rules: newBook(), NewID: counter(), MaxDevices: 2} }
		calm := &walker{t: t, opts: opts()}
		wild := &walker{t: t, opts: opts()}
		calm.e, wild.e = NewEngine(calm.opts), NewEngine(wild.opts)
		now := day
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			wait := rapid.SampledFrom([]int{0, 1, 500, 1000, 5000, 11_000, 65_000, 119_999, 120_000, 400_000, 1_200_000, 1_500_000, 90_000_000}).Draw(t, "ms")
			now = now.Add(time.Duration(wait) * time.Millisecond)
			calm.until(now)
			wild.until(now)
			if rapid.IntRange(0, 3).Draw(t, "jumps") == 0 {
				step := rapid.SampledFrom([]time.Duration{
					8760 * time.Hour, -8760 * time.Hour, 11 * time.Second, -11 * time.Second, 1234567 * time.Millisecond, -490_000 * time.Hour,
				}).Draw(t, "step")
				if wild.off < -800_000*time.Hour {
					step = -wild.off // a Duration holds 292 years
				}
				wild.jump(now, step)
			}
			step := drawStep(t)
			step(calm, now)
			step(wild, now)
			if !slices.Equal(calm.events, wild.events) {
				t.Fatalf("without jumps:\n  %s\nwith jumps:\n  %s", strings.Join(calm.events, "\n  "), strings.Join(wild.events, "\n  "))
			}
			calm.events, wild.events = nil, nil
		}
		wild.jump(now, -wild.off)
		if a, b := dump(t, calm.e), dump(t, wild.e); a != b {
			t.Fatalf("without jumps:\n%s\nwith jumps:\n%s", a, b)
		}
		if !calm.e.Next().Equal(wild.e.Next()) {
			t.Fatalf("due %s, with jumps %s", calm.e.Next(), wild.e.Next())
		}
	})
}
