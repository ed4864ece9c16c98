package diagnose

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// The agent is a device, too: one without an id.
func TestOwnFaults(t *testing.T) {
	play(t, `
	00:00:00 show *                  -> unknown device
	00:00:00 over storage-full       ->                              # nothing was said yet
	00:00:00 show *                  -> unknown device
	00:00:01 own storage-full msg=no -> raised storage-full scope=agent dev= sev=critical code=null raw=storage-full reports=1 stale=false msg=no
	00:00:02 own internet-down       -> raised internet-down scope=site dev=
	00:00:03 over slow-turn          ->                              # that one, and no other
	00:00:04 show *                  -> failed free-storage; storage-full; internet-down
	00:00:05 lamp -7                 -> raised session-expired scope=device dev=lamp
	00:00:06 lamp ok                 -> cleared session-expired
	00:00:07 over storage-full       -> cleared storage-full by=signal lastok=00:00:07 cleared=00:00:07 scope=agent
	00:00:08 show *                  -> failed check-network; internet-down; storage-full
	01:00:02 tick                    -> cleared internet-down by=quiet
	02:00:00 show *                  -> ok none
	02:00:01 own storage-full        -> raised storage-full occ=2`)
}

// Held back, it is told when it lasts, with the newest words; an end in time
// lets it go.
func TestOwnFaultHeldBack(t *testing.T) {
	play(t, `
	00:00:00 own slow-turn msg=first ->
	00:00:01 over storage-full       ->
	00:00:02 own slow-turn msg=second times=4 ->
	00:02:00 tick                    -> raised slow-turn first=00:00:00 last=00:00:02 msg=second reports=5
	00:02:01 over slow-turn          -> cleared slow-turn by=signal
	01:00:00 own slow-turn           ->
	01:01:59 over slow-turn          ->
	02:00:00 tick                    ->
	02:00:00 show *                  -> ok none`)
}

// What is merged counts as so many reports, and as one piece of evidence.
func TestMergedReports(t *testing.T) {
	play(t, `
	00:00:00 lamp -7 times=5 -> raised session-expired reports=5 status=suspected
	00:00:10 lamp -7 times=9 ->
	00:00:11 show lamp       -> attention re-authenticate; session-expired reports=14 status=suspected
	00:00:20 lamp -7         -> changed session-expired reports=15 status=confirmed
	00:00:21 plug -7 retained times=7 ->
	00:00:22 show plug       -> attention re-authenticate; session-expired reports=0
	00:00:23 plug -7 times=2 -> raised session-expired reports=2`)
}

// A storm of one own fault is one event, and stored every five seconds.
func TestOwnFaultsManyTimesASecond(t *testing.T) {
	e := NewEngine(Options{Rules: newBook(), NewID: counter()})
	o := Observation{Says: SaysFault, Source: "agent", Key: Key{Producer: ProducerAgent, Name: "storage-full"}}
	changes, touched := 0, 0
	for i := range 10_000 {
		now := day.Add(time.Duration(i) * time.Millisecond)
		for _, out := range []Outcome{e.Tick(now), e.Observe(now, o)} {
			changes += len(out.Changes)
			touched += len(out.Touched)
		}
	}
	s, _ := e.Snapshot("")
	if changes != 1 || touched > 4 || s.Diagnoses[0].Reports != 10_000 {
		t.Fatalf("%d changes, touched %d times, %d reports", changes, touched, s.Diagnoses[0].Reports)
	}
}

func TestOwnFaultsThroughARestart(t *testing.T) {
	play(t, `
	00:00:00 own storage-full                 -> raised storage-full id=id-1
	00:00:01 acknowledge * storage-full       -> changed storage-full ack=ann
	00:00:02 restart                          ->
	00:00:03 show *                           -> failed free-storage; storage-full stale=true ack=ann scope=agent
	00:00:04 own storage-full                 ->
	00:00:05 show *                           -> failed free-storage; storage-full stale=false id=id-1 reports=2
	00:00:06 restart                          ->
	00:00:07 over storage-full                -> cleared storage-full by=signal id=id-1
	00:00:08 rules -storage-full              ->
	00:00:09 rules all                        ->
	00:00:10 own storage-full                 -> raised storage-full ack=ann
	00:00:11 rules -storage-full              -> cleared storage-full by=retired`)
}

// Requests for the site are about the agent's and the site's own conditions.
func TestRequestsForTheSite(t *testing.T) {
	play(t, `
	00:00:00 acknowledge * *                  -> error nothing is open at the site
	00:00:01 acknowledge * storage-full       -> error the site never had the condition
	00:00:02 own storage-full                 -> raised storage-full
	00:00:03 own internet-down                -> raised internet-down
	00:00:03 lamp -7                          -> raised session-expired
	00:00:04 acknowledge * *                  -> changed storage-full ack=ann; changed internet-down ack=ann
	00:00:05 ignore * storage-full            -> changed storage-full ign=ann
	00:00:06 show *                           -> failed check-network; internet-down; storage-full
	00:00:07 note * internet-down note=router ->
	00:00:08 resolve * internet-down          -> cleared internet-down by=manual notes=1
	00:00:09 resolve * internet-down          -> error of the site is not open
	00:00:10 acknowledge * session-expired    -> error the site never had
	00:00:11 forget * *                       -> error device is missing
	00:00:12 unignore * storage-full scope=site -> changed storage-full ign=no
	00:00:13 ignore * session-expired scope=site -> changed session-expired dev=lamp
	00:00:14 ignore * storage-full scope=site -> changed storage-full ign=ann
	00:00:15 show lamp                        -> ok none; session-expired`)
	e := play(t, `00:00:00 own storage-full -> raised storage-full`)
	for _, verb := range []Verb{Forget, Acknowledge} {
		if out, err := e.Decide(day, Request{Verb: verb, Device: new("")}); err == nil || len(out.Touched) > 0 {
			t.Errorf("%s of the device without an id: %v", verb, err)
		}
	}
}

// It takes no place, gives none away, and is no device where devices are meant.
func TestOwnIsNoDevice(t *testing.T) {
	e := NewEngine(Options{Rules: newBook(), NewID: counter(), MaxDevices: 1})
	own := Observation{Says: SaysFault, Key: Key{Producer: ProducerAgent, Name: "storage-full"}}
	e.Observe(day, say("lamp", SaysSuccess, 0))
	own.Retained, own.Facts = true, Facts{Model: "x"}
	if out := e.Observe(day, own); out.Refused != "" || len(out.Changes) != 1 {
		t.Fatalf("at a full engine: %+v", out)
	}
	rec, _ := e.Record("")
	if e.Devices() != 1 || slices.Contains(e.ids(), "") || len(rec.Sources) > 0 || rec.Facts != (Facts{}) || rec.LastHeard.IsZero() {
		t.Fatalf("devices %d, record %+v", e.Devices(), rec)
	}
	if n := e.CountOpen()[Critical]; n != 1 {
		t.Errorf("%d open", n)
	}
	for _, o := range []Observation{{Says: SaysRemoved}, {Says: SaysSuccess}, {Says: SaysOnline}, {Says: SaysResting}} {
		if out := e.Observe(day, o); len(out.Removed)+len(out.Changes) > 0 {
			t.Errorf("%d: %+v", o.Says, out)
		}
	}
	if out := e.Inventory(day, []string{"lamp", ""}); len(out.Removed)+len(out.NoPlace) > 0 || e.own.inventory {
		t.Errorf("inventory: %+v", out)
	}
	e.Inventory(day, nil)
	later := day.Add(1000 * time.Hour)
	if out := e.Observe(later, say("plug", SaysSuccess, 0)); !slices.Equal(out.Removed, []string{"lamp"}) {
		t.Errorf("removed %v", out.Removed)
	}
	s, ok := e.Snapshot("")
	if health, action := s.Judge(); !ok || health != HealthFailed || action != ActFreeStorage {
		t.Errorf("site: %v %s %s", ok, health, action)
	}
	body, err := s.Encode("gw", plainWords{})
	if err != nil || strings.Contains(string(body[:40]), "device") || !strings.Contains(string(body), `"device":null,"scope":"agent"`) {
		t.Errorf("%v %s", err, body)
	}
}

// The store's view of the site is never "unknown".
func TestOwnRecordShowsWhatTheEngineShows(t *testing.T) {
	e := play(t, `
	00:00:00 own storage-full  -> raised storage-full
	00:00:01 over storage-full -> cleared storage-full`)
	now := day.Add(time.Hour)
	e.Tick(now)
	shown, _ := e.Snapshot("")
	rec, _ := e.save("")
	kept := rec.Snapshot(now)
	a, err := shown.Encode("gw", plainWords{})
	b, err2 := kept.Encode("gw", plainWords{})
	if err != nil || err2 != nil || string(a) != string(b) || !kept.Heard {
		t.Fatalf("%v %v\n%s\n%s", err, err2, a, b)
	}
}

// The engine is made anew from the store, and knows all that it was told to
// work with.
func TestReset(t *testing.T) {
	e := play(t, `
	00:00:00 lamp -7          -> raised session-expired
	00:00:00 plug -4          -> raised not-supported
	00:00:00 own storage-full -> raised storage-full`)
	e.Sources([]string{"status"})
	e.Inventory(day, []string{"plug", "fan"})
	e.SetClockSuspect(true)
	kept := stored(t, e)
	kept.Devices = slices.DeleteFunc(kept.Devices, func(r DeviceRecord) bool { return r.ID == "fan" })
	before := dump(t, e)
	e.Observe(day, say("lamp", SaysFault, -9)) // this did not reach the store
	e.Reset()
	if e.Devices() != 0 || !e.Next().IsZero() || e.own != nil {
		t.Fatalf("not empty: %d", e.Devices())
	}
	if out := e.Restore(day, kept); !slices.Equal(out.Touched, []string{"", "lamp", "plug", "fan"}) {
		t.Errorf("touched %v", out.Touched)
	}
	for _, d := range e.inOrder() {
		for _, p := range d.problems {
			p.Diagnosis.Stale = false
		}
		d.updatedAt = day
	}
	if after := dump(t, e); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
	if !e.devices["plug"].inventory || !e.devices["fan"].inventory || e.devices["lamp"].inventory || !e.suspect || e.sources == nil {
		t.Error("forgot what it was told to work with")
	}
}

// A device of the inventory for which there is no room is named.
func TestInventoryRespectsTheLimit(t *testing.T) {
	e := NewEngine(Options{Rules: newBook(), NewID: counter(), MaxDevices: 3})
	e.Observe(day, say("heard", SaysSuccess, 0))
	out := e.Inventory(day, []string{"a", "b", "c", "c", "heard"})
	if !slices.Equal(out.NoPlace, []string{"c"}) || e.Devices() != 3 || !e.devices["heard"].inventory {
		t.Fatalf("no place for %v, %d devices", out.NoPlace, e.Devices())
	}
	// A list that gives places up has them for others at once.
	out = e.Inventory(day, []string{"c", "heard"})
	if len(out.NoPlace) > 0 || !slices.Equal(out.Removed, []string{"a", "b"}) || !slices.Equal(out.Touched, []string{"c"}) {
		t.Fatalf("no place for %v, removed %v, touched %v", out.NoPlace, out.Removed, out.Touched)
	}
	// What nobody heard for a week gives way, what is listed does not.
	e.Inventory(day, []string{"c"})
	e.Observe(day, say("d", SaysSuccess, 0))
	out = e.Inventory(day.Add(1000*time.Hour), []string{"c", "d", "e"})
	if len(out.NoPlace) > 0 || !slices.Equal(out.Removed, []string{"heard"}) {
		t.Fatalf("no place for %v, removed %v", out.NoPlace, out.Removed)
	}
}
