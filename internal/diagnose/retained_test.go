package diagnose

import (
	"slices"
	"testing"
	"time"
)

// A retained message is the last known state: shown as stale, no event.
func TestRetainedFault(t *testing.T) {
	play(t, `
	00:00:00 lamp -7 retained -> 
	00:00:00 lamp -7 retained ->                                 # met again: no news
	00:00:01 show lamp        -> attention re-authenticate; session-expired stale=true reports=0 occ=1 id=id-1
	00:05:00 lamp -7          -> raised session-expired stale=false reports=1 occ=1 id=id-1 first=00:00:00 last=00:05:00
	00:05:10 lamp -7          ->
	00:05:20 lamp -7          -> changed session-expired status=confirmed
	00:05:21 lamp -7 retained ->
	00:05:22 show lamp        -> failed re-authenticate; session-expired stale=false reports=3`)
}

// It clears nothing, counts for nothing, supersedes nothing.
func TestRetainedIsNoReport(t *testing.T) {
	play(t, `
	00:00:00 lamp -7            -> raised session-expired
	00:00:01 lamp lost          ->
	00:00:02 lamp ok retained   ->
	00:00:03 lamp online retained ->
	00:00:20 lamp -7 retained   ->
	00:00:40 lamp -7 retained   ->
	00:00:41 lamp -4000         -> raised network-timeout
	00:00:42 lamp -9 retained   -> changed session-expired action=re-pair   # it is open, though stale
	00:02:01 tick               -> raised device-lost
	00:02:02 show lamp          -> failed re-pair; device-reset stale=true; device-lost stale=false; network-timeout stale=false; session-expired reports=1 status=suspected`)
}

// A stale one that ends without ever being told ends without an event.
func TestStaleEndsUntold(t *testing.T) {
	play(t, `
	00:00:00 lamp -7 retained   ->
	00:00:01 lamp ok            ->
	00:00:02 show lamp          -> ok none; session-expired status=cleared by=signal stale=false
	00:00:03 plug -10 retained  ->
	00:20:03 tick               ->
	00:20:04 show plug          -> ok none; device-busy by=quiet
	00:20:05 lock -4 retained   ->
	00:20:06 lock -4 retained src=other ->
	00:20:07 resolve lock *     ->
	00:20:08 lock -4            -> raised not-supported occ=2`)
}

// The broker keeps an old fault for ever; what ended is not opened by it, save
// when the message says by itself that it is younger.
func TestRetainedAfterTheEnd(t *testing.T) {
	play(t, `
	01:00:00 lamp -7                   -> raised session-expired
	01:00:01 lamp ok                   -> cleared session-expired
	02:00:00 lamp -7 retained          ->
	02:00:00 lamp -7 retained ts=-2h   ->
	02:00:01 show lamp                 -> ok none
	02:00:02 lamp -7 retained ts=-1m   ->
	02:00:03 show lamp                 -> attention re-authenticate; session-expired stale=true occ=2
	02:00:04 lamp -7                   -> raised session-expired occ=2`)
}

// A device goes when no source has it left.
func TestRemoval(t *testing.T) {
	play(t, `
	00:00:00 lamp -7               -> raised session-expired
	00:00:01 lamp online src=avail ->
	00:00:02 lamp -4 retained      ->
	00:00:03 lamp removed src=else ->
	00:00:04 lamp removed          ->
	00:00:05 show lamp             -> attention use-supported-command; not-supported; session-expired
	00:00:06 lamp removed src=avail -> cleared session-expired by=retired
	00:00:07 kept lamp             -> no
	24:00:00 tick                  ->                           # none of its timers fires any more
	24:00:01 lamp removed          ->
	24:00:02 lamp -7               -> raised session-expired occ=1`)
}

func TestRemovalTellsTheLastSnapshot(t *testing.T) {
	e := play(t, `
	00:00:00 lamp -7   -> raised session-expired
	00:00:01 plug lost ->`)
	out := e.Observe(day.Add(time.Minute), Observation{Device: "lamp", Source: "status", Says: SaysRemoved, Retained: true})
	if !slices.Equal(out.Removed, []string{"lamp"}) || len(out.Touched) > 0 || len(out.Last) != 1 {
		t.Fatalf("removed %v touched %v last %d", out.Removed, out.Touched, len(out.Last))
	}
	last := out.Last[0]
	if last.Device != "lamp" || len(last.Diagnoses) != 1 || last.Diagnoses[0].ClearedBy != ByRetired || !last.UpdatedAt.Equal(day.Add(time.Minute)) {
		t.Fatalf("last snapshot: %+v", last)
	}
	// What was held back goes without a word.
	if out := e.Observe(day.Add(time.Minute), Observation{Device: "plug", Source: "status", Says: SaysRemoved}); len(out.Changes) > 0 {
		t.Fatalf("changes of what was never told: %v", out.Changes)
	}
	if next := e.Next(); !next.IsZero() {
		t.Fatalf("the removed devices live on: next %s", next)
	}
}

// A source that is not configured any more does not keep a device.
func TestRemovalWithARenamedSource(t *testing.T) {
	e := play(t, `
	00:00:00 lamp -7 src=old -> raised session-expired
	00:00:01 lamp -7 src=new ->`)
	e.Sources([]string{"new", "avail"})
	if out := e.Observe(day, Observation{Device: "lamp", Source: "new", Says: SaysRemoved}); !slices.Equal(out.Removed, []string{"lamp"}) {
		t.Fatalf("the device stays: %+v", out)
	}
}

// A device of the inventory has a snapshot whether it spoke or not.
func TestInventory(t *testing.T) {
	e := play(t, `00:00:00 heard ok ->`)
	health := func(id string) Health {
		s, ok := e.Snapshot(id)
		if !ok {
			return "none"
		}
		h, _ := s.Judge()
		return h
	}
	out := e.Inventory(day, []string{"lamp", "plug", "heard"})
	if !slices.Equal(out.Touched, []string{"lamp", "plug"}) || health("lamp") != HealthUnknown || health("heard") != HealthOK {
		t.Fatalf("touched %v, lamp %s, heard %s", out.Touched, health("lamp"), health("heard"))
	}
	e.Observe(day, Observation{Device: "lamp", Source: "s", Says: SaysFault, Key: Key{Code: -9}})
	if health("lamp") != HealthFailed {
		t.Fatalf("lamp is %s", health("lamp"))
	}
	out = e.Observe(day, Observation{Device: "lamp", Source: "s", Says: SaysRemoved})
	if len(out.Changes) != 1 || len(out.Removed) > 0 || health("lamp") != HealthUnknown {
		t.Fatalf("changes %d removed %v, lamp %s", len(out.Changes), out.Removed, health("lamp"))
	}
	out = e.Inventory(day, []string{"plug"})
	if !slices.Equal(out.Removed, []string{"lamp"}) || health("heard") != HealthOK || health("plug") != HealthUnknown {
		t.Fatalf("off the list: removed %v, heard %s, plug %s", out.Removed, health("heard"), health("plug"))
	}
}
