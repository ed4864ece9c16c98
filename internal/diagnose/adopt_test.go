package diagnose

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// retained is what the broker retains of a device.
func retained(t *testing.T, e *Engine, device string) SnapshotJSON {
	t.Helper()
	s, _ := e.Snapshot(device)
	body, err := s.Encode("gw", plainWords{})
	if err != nil {
		t.Fatal(err)
	}
	var back SnapshotJSON
	if err := json.Unmarshal(body, &back); err != nil {
		t.Fatal(err)
	}
	return back
}

// What a store lost comes back from the broker: stale, with its id and what
// people said, and without an event.
func TestAdopt(t *testing.T) {
	first := play(t, `
	00:00:00 lamp -7 msg=m model=RM4 -> raised session-expired id=id-1
	00:00:10 lamp -7                 ->
	00:00:20 lamp -7                 -> changed session-expired status=confirmed
	00:00:21 lamp -9                 -> raised device-reset; changed session-expired action=re-pair
	00:00:22 acknowledge lamp session-expired until=20:00:00 -> changed session-expired ack=ann
	00:00:23 note lamp session-expired note=n ->
	00:00:24 lamp -4                 -> raised not-supported
	00:00:25 lamp ok                 -> cleared session-expired; cleared not-supported
	00:00:26 lamp -7                 -> raised session-expired id=id-4 occ=2 ack=ann`)
	s := retained(t, first, "lamp")
	tl := &timeline{t: t, e: NewEngine(first.opts), now: day.Add(time.Minute), last: make(map[string]Diagnosis)}
	tl.e.SetClockSuspect(false)
	out := tl.e.Adopt(tl.now, s)
	if len(out.Changes) > 0 || !slices.Equal(out.Touched, []string{"lamp"}) || out.Refused != "" {
		t.Fatalf("%+v", out)
	}
	for _, line := range []string{
		`00:01:00 show lamp -> failed re-pair; device-reset stale=true; session-expired stale=true id=id-4 occ=2 ack=ann notes=1 first=00:00:26 last=00:00:26 reports=1 action=re-pair`,
		`00:01:01 restart   ->`,
		`00:01:02 lamp -7   ->`,
		`00:01:03 show lamp -> failed re-pair; device-reset stale=true; session-expired stale=false reports=2`,
		`00:01:04 resolve lamp device-reset -> cleared device-reset; changed session-expired action=re-authenticate`,
		`00:01:05 lamp ok   -> cleared session-expired id=id-4 by=signal`,
	} {
		tl.opts = first.opts
		tl.step(line)
	}
	rec, _ := first.Record("lamp")
	if text := dump(t, first); strings.Contains(text, "title of") || len(rec.Problems) != 3 {
		t.Errorf("%s", text)
	}
}

// What the engine knows of is newer, be it open, ended or held back.
func TestAdoptKnowsBetter(t *testing.T) {
	old := play(t, `
	00:00:00 lamp -7 -> raised session-expired id=id-1
	00:00:01 lamp -4 -> raised not-supported
	00:00:02 lamp -9 -> raised device-reset; changed session-expired
	00:00:02 lamp lost ->
	00:02:02 tick    -> raised device-lost`)
	s := retained(t, old, "lamp")
	e := play(t, `
	00:03:00 lamp -7   -> raised session-expired id=id-1
	00:03:01 lamp ok   -> cleared session-expired
	00:03:02 lamp -4   -> raised not-supported
	00:03:03 lamp lost ->`)
	e.Adopt(day.Add(4*time.Minute), s)
	got, _ := e.Snapshot("lamp")
	var names []string
	for _, d := range got.Diagnoses {
		names = append(names, fmt.Sprint(d.Condition, " ", d.Status, " ", d.Stale))
	}
	if want := []string{"device-reset suspected true", "not-supported suspected false", "session-expired cleared false"}; !slices.Equal(names, want) {
		t.Fatalf("got %q, want %q", names, want)
	}
}

// A held-back condition that was let go had not been told; it is one identity
// all the same.
func TestAdoptWhatWasLetGo(t *testing.T) {
	old := play(t, `
	00:00:00 lamp lost ->
	00:02:00 tick      -> raised device-lost`)
	s := retained(t, old, "lamp")
	e := play(t, `
	00:03:00 lamp lost   ->
	00:03:01 lamp online ->`)
	e.Adopt(day.Add(4*time.Minute), s)
	if n := len(e.devices["lamp"].problems); n != 1 || !e.devices["lamp"].problems[0].open() {
		t.Fatalf("%d problems", n)
	}
}

// Whoever may write to the topic may have written it.
func TestAdoptRefuses(t *testing.T) {
	first := play(t, `00:00:00 lamp -7 -> raised session-expired`)
	good := retained(t, first, "lamp")
	for name, change := range map[string]func(s *SnapshotJSON, d *Diagnosis){
		"another gateway's":    func(s *SnapshotJSON, _ *Diagnosis) { s.Gateway = "gw-2" },
		"the site's":           func(s *SnapshotJSON, _ *Diagnosis) { s.Device = "" },
		"without a rule":       func(_ *SnapshotJSON, d *Diagnosis) { d.Condition = "nonsense" },
		"ended":                func(_ *SnapshotJSON, d *Diagnosis) { d.Status = Cleared },
		"of no status":         func(_ *SnapshotJSON, d *Diagnosis) { d.Status = "new" },
		"without an id":        func(_ *SnapshotJSON, d *Diagnosis) { d.ID = "" },
		"with nothing in it":   func(s *SnapshotJSON, _ *Diagnosis) { s.Diagnoses = nil },
		"for which no room is": func(s *SnapshotJSON, _ *Diagnosis) { s.Device = "too-many" },
	} {
		s := good
		s.Diagnoses = slices.Clone(good.Diagnoses)
		var d *Diagnosis
		if len(s.Diagnoses) > 0 {
			d = &s.Diagnoses[0].Diagnosis
		}
		change(&s, d)
		opts := first.opts
		opts.MaxDevices = 1
		e := NewEngine(opts)
		if s.Device == "too-many" {
			e.Observe(day, say("other", SaysSuccess, 0))
		}
		known := e.Devices()
		out := e.Adopt(day, s)
		if len(out.Touched)+len(out.Changes) > 0 || e.Devices() != known || (out.Refused == RefusedTooManyDevices) != (s.Device == "too-many") {
			t.Errorf("%s is taken: %+v", name, out)
		}
	}
	// The rest is made by the rules, and nothing is in the future.
	s := good
	d := &s.Diagnoses[0].Diagnosis
	d.Severity, d.Action, d.Device, d.Scope, d.Rule = Critical, "reboot", "other", ScopeSite, "x"
	d.Causes = []RankedCause{{Cause: "x", Action: "reboot", Verdict: VerdictConfirmed}}
	d.Msg, d.FirstSeen, d.LastSeen, d.Reports = "a\x00b"+strings.Repeat("x", 999), Stamp{day.Add(time.Hour)}, Stamp{day.Add(time.Hour)}, -3
	d.Evidence, d.Notes = make([]Evidence, 99), make([]Note, 99)
	e := NewEngine(first.opts)
	e.Adopt(day, s)
	got, _ := e.Snapshot("lamp")
	g := got.Diagnoses[0]
	if g.Severity != Warning || g.Action != ActReauthenticate || g.Device != "lamp" || g.Scope != ScopeDevice || g.Rule != "test/session-expired@1" ||
		len(g.Causes) != 3 || len(g.Msg) != 256 || g.FirstSeen.After(day) || g.LastSeen.After(day) || g.Reports != 0 || len(g.Evidence) != maxEvidence || len(g.Notes) != maxNotes {
		t.Errorf("%+v", g)
	}
}
