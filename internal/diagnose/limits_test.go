package diagnose

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

func say(device string, s Saying, code int32) Observation {
	return Observation{Device: device, Source: "s", Says: s, Key: Key{Producer: ProducerDNA, Code: code}}
}

// At the limit unknown ids are refused and known ones served; a place frees
// after a week unheard with nothing open.
func TestDeviceLimit(t *testing.T) {
	playWith(t, Options{MaxDevices: 2}, `
	00:00:00 a ok         ->
	00:00:01 b -9         -> raised device-reset
	00:00:02 c -7         -> refused too-many-devices
	00:00:03 kept c       -> no
	00:00:04 a -4         -> raised not-supported
	00:00:05 a ok         -> cleared not-supported
	168:00:05 c -7        -> refused too-many-devices
	168:01:06 c -7        -> raised session-expired             # a is a week unheard; b has something open
	168:01:07 kept a      -> no
	168:01:08 kept b      -> yes
	168:02:07 d ok        -> refused too-many-devices
	168:02:08 b removed   -> cleared device-reset
	168:02:09 d ok        ->
	168:02:10 kept d      -> yes`)
}

func TestInventoryIsNeverEvicted(t *testing.T) {
	e := NewEngine(Options{Rules: newBook(), NewID: counter(), MaxDevices: 1})
	e.Inventory(day, []string{"lamp"})
	if out := e.Observe(day.Add(1000*time.Hour), say("x", SaysSuccess, 0)); out.Refused != RefusedTooManyDevices {
		t.Fatalf("refused %q", out.Refused)
	}
}

// A flood of new ids at a full engine costs one look at all devices a minute.
func TestEvictionScansAreBounded(t *testing.T) {
	e := NewEngine(Options{Rules: newBook(), NewID: counter(), MaxDevices: 1})
	e.Observe(day, say("a", SaysSuccess, 0))
	e.Observe(day.Add(ForgetAfter), say("b", SaysSuccess, 0))
	if out := e.Observe(day.Add(ForgetAfter+time.Second), say("b", SaysSuccess, 0)); out.Refused == "" {
		t.Fatal("looked again within a second")
	}
	out := e.Observe(day.Add(ForgetAfter+evictEvery), say("b", SaysSuccess, 0))
	if out.Refused != "" || !slices.Equal(out.Removed, []string{"a"}) {
		t.Fatalf("refused %q removed %v", out.Refused, out.Removed)
	}
}

// A device that says nothing but "fine" is stored once an hour, so that nothing
// makes it look silent.
func TestLastHeardIsStored(t *testing.T) {
	e := NewEngine(Options{Rules: newBook(), NewID: counter()})
	e.Observe(day, say("a", SaysSuccess, 0))
	kept := 0
	for m := range 72 * 60 {
		kept += len(e.Observe(day.Add(time.Duration(m)*time.Minute), say("a", SaysSuccess, 0)).Kept)
	}
	if kept != 71 {
		t.Fatalf("stored %d times in three days, want 71", kept)
	}
	// A retained message is not a word of the device.
	o := say("a", SaysSuccess, 0)
	o.Retained = true
	e.Observe(day.Add(100*time.Hour), o)
	if rec, _ := e.Record("a"); !rec.LastHeard.Equal(day.Add(71*time.Hour + 59*time.Minute)) {
		t.Fatalf("last heard %s", rec.LastHeard)
	}
}

// A device that sends random codes: what is kept of it stays bounded, codes
// that rules know still find a place, and what a person spoke of is kept.
func TestConditionLimit(t *testing.T) {
	e := NewEngine(Options{Rules: newBook(), NewID: counter()})
	lamp := "lamp"
	now := day
	open := func(code int32) Refusal { return e.Observe(now, say(lamp, SaysFault, code)).Refused }
	for i := range int32(maxWithUnknown) {
		if r := open(-20000 - i); r != "" {
			t.Fatalf("code %d refused: %s", i, r)
		}
	}
	if r := open(-30000); r != RefusedTooManyConditions {
		t.Fatalf("one too many: %q", r)
	}
	if r := open(-20000); r != "" {
		t.Fatalf("a known condition of it: %q", r)
	}
	if r := open(-7); r != "" {
		t.Fatalf("a code that rules know: %q", r)
	}
	if _, err := e.Decide(now, Request{Verb: AddNote, Device: &lamp, Condition: new("unknown-code-20000"), Note: "n"}); err != nil {
		t.Fatal(err)
	}
	e.save(lamp)
	e.Observe(now, say(lamp, SaysSuccess, 0))
	if r := open(-30000); r != RefusedTooManyConditions {
		t.Fatalf("all are cleared and shown still: %q", r)
	}
	now = now.Add(ClearedShown)
	e.Tick(now)
	if r := open(-30000); r != "" {
		t.Fatalf("cleared and hidden ones give way: %q", r)
	}
	rec, _ := e.save(lamp)
	if want := []string{"unknown-code-20001"}; !slices.Equal(rec.Gone, want) {
		t.Fatalf("given up %v, want %v", rec.Gone, want)
	}
	for i := range int32(2000) {
		open(-40000 - i)
	}
	if n := len(e.devices[lamp].problems); n != maxWithUnknown+1 && n != maxWithUnknown {
		t.Fatalf("%d identities kept", n)
	}
	if len(e.timers) > maxWithUnknown+1 {
		t.Fatalf("%d timers", len(e.timers))
	}
	if s, _ := e.Snapshot(lamp); len(s.Diagnoses) > maxWithUnknown {
		t.Fatalf("%d shown", len(s.Diagnoses))
	}
	if p := e.devices[lamp].find("unknown-code-20000"); p == nil {
		t.Fatal("what a person spoke of was given up")
	}
}

// Counters are saved and republished every five seconds at most; changes at
// once.
func TestRepeatsAreSavedEveryFiveSeconds(t *testing.T) {
	e := NewEngine(Options{Rules: newBook(), NewID: counter()})
	touched := func(out Outcome) string { return fmt.Sprint(out.Touched) }
	step := 500 * time.Millisecond
	if got := touched(e.Observe(day, say("a", SaysFault, -4))); got != "[a]" {
		t.Fatalf("a raise touches %s", got)
	}
	saved := []time.Duration{}
	for at := step; at <= 21*time.Second; at += step {
		if len(e.Tick(day.Add(at)).Touched) > 0 {
			saved = append(saved, at)
		}
		if got := touched(e.Observe(day.Add(at), say("a", SaysFault, -4))); got != "[]" {
			t.Fatalf("a repeat at %s touches %s", at, got)
		}
	}
	want := []time.Duration{5500 * time.Millisecond, 10500 * time.Millisecond, 15500 * time.Millisecond, 20500 * time.Millisecond}
	if !slices.Equal(saved, want) {
		t.Fatalf("saved at %v, want %v", saved, want)
	}
	if rec, _ := e.save("a"); len(rec.Problems) != 1 || rec.Problems[0].Diagnosis.Reports != 43 {
		t.Fatalf("stored %+v", rec.Problems)
	}
	if next := e.Next(); next.After(day.Add(26 * time.Second)) {
		t.Fatalf("the next look is due at %s only", next)
	}
}

// The store gets what changed, not all that a device has.
func TestSaveIsWhatChanged(t *testing.T) {
	e := play(t, `
	00:00:00 lamp -7 -> raised session-expired
	00:00:01 lamp -4 -> raised not-supported`)
	if rec, _ := e.save("lamp"); len(rec.Problems) != 2 {
		t.Fatalf("first: %d", len(rec.Problems))
	}
	e.Observe(day.Add(time.Minute), say("lamp", SaysFault, -4))
	if rec, _ := e.save("lamp"); len(rec.Problems) != 1 || rec.Problems[0].Diagnosis.Condition != "not-supported" {
		t.Fatalf("second: %+v", rec.Problems)
	}
	if rec, _ := e.Record("lamp"); len(rec.Problems) != 2 {
		t.Fatalf("the whole: %d", len(rec.Problems))
	}
}
