package diagnose

import (
	"fmt"
	"testing"
	"time"
)

// A restart changes no id and sends no event, nor does the live report that
// ends the staleness.
func TestRestart(t *testing.T) {
	play(t, `
	00:00:00 lamp -7     -> raised session-expired id=id-1
	00:00:10 lamp -7     ->
	00:00:11 lamp -9     -> raised device-reset; changed session-expired action=re-pair
	00:00:11 plug ok     ->
	00:00:12 restart     ->
	00:00:12 show plug   -> ok none
	00:00:13 show lamp   -> failed re-pair; device-reset stale=true; session-expired stale=true id=id-1 reports=2 action=re-pair
	00:00:20 lamp -7     -> changed session-expired status=confirmed reports=3 id=id-1 stale=false # the third: not for being live
	00:00:21 restart     ->
	00:00:22 lamp -7     ->
	00:00:23 show lamp   -> failed re-pair; device-reset stale=true; session-expired stale=false status=confirmed sev=major
	00:00:24 lamp ok     -> cleared session-expired id=id-1
	00:00:25 restart     ->
	00:00:26 show lamp   -> failed re-pair; device-reset; session-expired status=cleared stale=false
	00:15:24 show lamp   -> failed re-pair; device-reset
	00:15:25 restart     ->
	00:15:26 lamp -7     -> raised session-expired occ=2`)
}

// Quiet times start anew, and what was held back is told in the end.
func TestRestartTimers(t *testing.T) {
	play(t, `
	00:00:00 lamp -10    -> raised device-busy
	00:19:00 restart     ->
	00:39:00 tick        -> cleared device-busy by=quiet
	01:00:00 lamp lost   ->
	01:00:30 restart     ->
	01:02:30 tick        -> raised device-lost first=01:00:00 reports=1
	01:02:31 lamp online -> cleared device-lost
	02:00:00 plug lost   ->
	02:00:10 plug online ->
	02:00:20 restart     ->
	02:30:00 tick        ->`)
}

// Readers of the store must see that it is stale, too.
func TestStalenessIsStored(t *testing.T) {
	e := play(t, `00:00:00 lamp -7 -> raised session-expired`)
	e2 := NewEngine(e.opts)
	out := e2.Restore(day, stored(t, e))
	if rec, _ := e2.save("lamp"); fmt.Sprint(out.Touched) != "[lamp]" || len(rec.Problems) != 1 || !rec.Problems[0].Diagnosis.Stale {
		t.Fatalf("touched %v, stored %+v", out.Touched, rec.Problems)
	}
	// The live report that ends it is shown at once, though it is no event.
	out = e2.Observe(day, say("lamp", SaysFault, -7))
	if fmt.Sprint(out.Touched) != "[lamp]" || len(out.Changes) > 0 {
		t.Fatalf("touched %v, changes %v", out.Touched, out.Changes)
	}
}

// Held back, let go, stored: what the store has must say so.
func TestReleaseIsStored(t *testing.T) {
	e := play(t, `00:00:00 lamp lost ->`)
	if rec, _ := e.save("lamp"); len(rec.Problems) != 1 || rec.Problems[0].Pending == nil {
		t.Fatalf("held back: stored %+v", rec.Problems)
	}
	e2 := NewEngine(e.opts)
	e2.Restore(day, stored(t, e))
	out := e2.Observe(day, Observation{Device: "lamp", Source: "status", Says: SaysOnline})
	if rec, _ := e2.save("lamp"); len(out.Kept) == 0 || len(rec.Problems) != 1 || rec.Problems[0].Pending != nil {
		t.Fatalf("released after a restart: kept %v, stored %+v", out.Kept, rec.Problems)
	}
}

func TestRestartOfFlappingAndStale(t *testing.T) {
	play(t, `
	00:00:00 lamp -7 -> raised session-expired
	00:00:01 lamp ok -> cleared session-expired
	00:01:00 lamp -7 -> raised session-expired
	00:01:01 restart ->
	00:01:02 lamp ok -> cleared session-expired
	00:02:00 lamp -7 -> raised session-expired flapping=5@00:00:00
	00:02:01 restart ->
	00:02:02 lamp ok ->
	00:02:02 show lamp -> attention re-authenticate; session-expired stale=false
	00:12:01 tick    -> cleared session-expired by=quiet
	01:00:00 plug -7 retained ->
	01:00:01 restart ->
	01:00:02 plug -7 -> raised session-expired dev=plug stale=false`)
}

// A ranking made from the payload's clock comes out the same.
func TestRestartKeepsTheRanking(t *testing.T) {
	play(t, `
	30:00:00 lamp -4013 ts=-1h -> raised dns-failed causes=clock:likely,resolver:possible
	30:00:01 restart           ->
	30:00:02 show lamp         -> failed check-clock; dns-failed causes=clock:likely,resolver:possible
	30:00:03 lamp -4013 ts=-1h ->`)
}

// A condition that was switched off while it was held back is not told.
func TestSwitchedOffWhileHeldBack(t *testing.T) {
	e := play(t, `00:00:00 lamp lost ->`)
	off := newBook()
	off.ignored[0] = true // the key of a named error has no code
	e.SetRules(day, off)
	out := e.Tick(day.Add(time.Hour))
	if rec, _ := e.save("lamp"); len(out.Changes) > 0 || rec.Problems[0].Pending != nil {
		t.Fatalf("changes %v, stored %+v", out.Changes, rec.Problems)
	}
}

// A condition whose rule is gone is retired, by a reload and by a restart.
func TestRuleGone(t *testing.T) {
	play(t, `
	00:00:00 lamp -7   -> raised session-expired
	00:00:01 lamp -4   -> raised not-supported
	00:00:02 plug lost ->
	00:00:03 rules -session-expired -> cleared session-expired by=retired
	00:00:04 rules -device-lost     ->
	00:10:00 tick                   ->
	00:10:01 lamp -7                -> raised session-expired occ=2
	00:10:02 rules all              ->
	00:10:03 lamp -7                ->`)
}

func TestSetRulesTouchesWhatIsShown(t *testing.T) {
	e := play(t, `
	00:00:00 open -9 -> raised device-reset
	00:00:00 well ok ->`)
	if out := e.SetRules(day, newBook()); fmt.Sprint(out.Touched) != "[open]" {
		t.Fatalf("touched %v", out.Touched)
	}
	harsher := newBook()
	harsher.rules["device-reset"].EarlySeverity, harsher.rules["device-reset"].Ref = Warning, "test/device-reset@2"
	out := e.SetRules(day, harsher)
	if len(out.Changes) != 1 || out.Changes[0].Type != Changed || out.Changes[0].Diagnosis.Severity != Warning || out.Changes[0].Diagnosis.Rule != "test/device-reset@2" {
		t.Fatalf("changes %+v", out.Changes)
	}
}

// A large site is up again in a moment: the bound is generous, the square of
// the site is far above it.
func TestRestoreOfALargeSiteIsFast(t *testing.T) {
	var r Restored
	code := int32(-7)
	for i := range MaxDevices {
		id := fmt.Sprintf("device-%05d", i)
		r.Devices = append(r.Devices, DeviceRecord{ID: id, Sources: []string{"s"}, Problems: []Problem{
			{Told: true, Diagnosis: Diagnosis{ID: id, Device: DeviceID(id), Condition: "session-expired", Status: Suspected, Severity: Warning, Code: &code}},
			{Told: true, Diagnosis: Diagnosis{ID: id + "b", Device: DeviceID(id), Condition: "not-supported", Status: Cleared, ClearedAt: Stamp{day}}},
		}})
	}
	e := NewEngine(Options{Gateway: "gw", Rules: newBook(), NewID: counter()})
	start := time.Now()
	out := e.Restore(day, r)
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %s", took)
	}
	if len(out.Touched) != MaxDevices || e.Devices() != MaxDevices || e.CountOpen()[Warning] != MaxDevices {
		t.Errorf("touched %d, known %d, open %v", len(out.Touched), e.Devices(), e.CountOpen())
	}
}
