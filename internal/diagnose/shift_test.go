package diagnose

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// A clock that jumps neither raises, clears, confirms nor hides anything, and
// what is told of times moves along: the lines' times go on as if it had not.
func TestJumps(t *testing.T) {
	for _, jump := range []string{"+8760h", "-8760h", "+11s", "-11s", "-490000h"} {
		back := map[byte]string{'+': "-", '-': "+"}[jump[0]] + jump[1:]
		for name, script := range map[string]string{
			"quiet": `
			00:00:00 lamp -10  -> raised device-busy
			00:10:00 JUMP      ->
			00:10:01 show lamp -> attention wait; device-busy first=00:00:00 last=00:00:00
			00:20:00 tick      -> cleared device-busy by=quiet first=00:00:00 cleared=00:20:00
			00:30:00 BACK      ->
			00:34:59 show lamp -> ok none; device-busy cleared=00:20:00
			00:35:00 tick      ->
			00:35:00 show lamp -> ok none`,
			"held back": `
			00:00:00 lamp lost ->
			00:00:00 plug lost ->
			00:00:30 lamp lost ->
			00:01:00 JUMP      ->
			00:01:59 show lamp -> ok none
			00:02:00 tick      -> raised device-lost first=00:00:00 last=00:00:30; raised device-lost dev=plug first=00:00:00 last=00:00:00
			00:02:01 JUMP      ->
			00:02:02 own slow-turn ->
			00:02:03 BACK      ->
			00:04:02 tick      -> raised slow-turn first=00:02:02`,
			"confirmed": `
			00:00:00 lamp -4000 -> raised network-timeout
			00:00:01 JUMP       ->
			00:05:00 tick       -> changed network-timeout status=confirmed
			00:06:00 lamp -7    -> raised session-expired
			00:06:09 JUMP       ->
			00:06:10 lamp -7    ->
			00:06:11 BACK       ->
			00:06:20 lamp -7    -> changed session-expired status=confirmed first=00:06:00 last=00:06:20`,
			"flapping": `
			00:00:00 lamp -4 -> raised not-supported
			00:00:01 lamp ok -> cleared not-supported
			00:10:00 JUMP    ->
			00:15:00 lamp -4 -> raised not-supported
			00:15:01 BACK    ->
			00:15:02 lamp ok -> cleared not-supported
			00:30:00 lamp -4 -> raised not-supported flapping=5@00:00:00
			00:30:01 JUMP    ->
			00:30:02 lamp ok ->
			00:40:00 tick    -> cleared not-supported by=quiet flapping=6@00:00:00`,
			"no flapping": `
			00:00:00 lamp -4 -> raised not-supported
			00:00:01 lamp ok -> cleared not-supported
			00:15:00 lamp -4 -> raised not-supported
			00:15:00 JUMP    ->
			00:15:01 lamp ok -> cleared not-supported
			00:30:01 lamp -4 -> raised not-supported flapping=no`,
			"words of people": `
			00:00:00 lamp -9                       -> raised device-reset
			00:00:01 acknowledge lamp device-reset -> changed device-reset
			00:00:02 note lamp device-reset note=n ->
			00:00:03 ignore * session-expired scope=site ->
			00:00:04 JUMP                          ->
			00:00:05 plug -7                       -> raised session-expired ign=ann
			00:00:06 restart                       ->
			00:00:07 BACK                          ->
			00:00:08 show lamp                     -> failed re-pair; device-reset ack=ann notes=1`,
		} {
			t.Run(name+jump, func(t *testing.T) {
				play(t, strings.NewReplacer("JUMP", "jump "+jump, "BACK", "jump "+back).Replace(script))
			})
		}
	}
}

// While the clock is suspect no decision runs out, whatever it shows; when it
// is believed again, those that are over are.
func TestSuspectClockAndDecisions(t *testing.T) {
	play(t, `
	00:00:00 lamp -9                                 -> raised device-reset
	00:00:01 ignore lamp device-reset until=01:00:00 -> changed device-reset ign=ann
	00:00:02 ignore * session-expired scope=site until=01:00:00 ->
	00:00:03 jump +8760h suspect                     ->
	00:30:00 show lamp                               -> ok none; device-reset ign=ann
	00:30:01 plug -7                                 -> raised session-expired ign=ann
	00:30:02 acknowledge plug * until=02:00:00       -> changed session-expired ack=ann   # past, by this clock
	00:40:00 jump -8760h                             ->
	00:50:00 suspect off                             ->
	01:00:00 tick                                    -> changed device-reset ign=no; changed session-expired ign=no
	02:00:00 tick                                    -> changed session-expired ack=no
	02:00:01 acknowledge plug * until=05:00:00       -> changed session-expired ack=ann
	04:00:00 suspect on                              ->
	07:00:00 tick                                    ->
	07:00:00 suspect off                             ->
	07:00:00 tick                                    -> changed session-expired ack=no`)
}

// A payload's own time is compared with no suspect clock: neither as evidence
// nor for the ranking, nor for when it was.
func TestSuspectClockAndPayloads(t *testing.T) {
	play(t, `
	30:00:00 lamp -4013 ts=-1h   -> raised dns-failed causes=clock:likely,resolver:possible
	30:00:01 suspect on          ->
	30:00:02 lamp -4013          ->
	30:00:03 lamp -4013 ts=-100h ->
	30:00:04 show lamp           -> failed check-clock; dns-failed evidence=0 last=30:00:03 causes=clock:likely,resolver:possible
	30:00:05 plug -4013 ts=-2h   -> raised dns-failed first=30:00:05 evidence=0 causes=resolver:likely,clock:possible
	30:00:06 suspect off         ->
	30:00:07 plug -4013 ts=-2h   -> changed dns-failed causes=clock:likely,resolver:possible
	30:00:08 lamp -4013          -> changed dns-failed causes=resolver:likely,clock:possible`)
}

// No place is given away by a suspect clock; nor is one that was heard before
// the clock jumped taken for one that was silent for a year.
func TestJumpsAndPlaces(t *testing.T) {
	playWith(t, Options{MaxDevices: 1}, `
	00:00:00 a ok         ->
	00:00:01 jump +8760h  ->
	00:00:02 b ok         -> refused too-many-devices
	167:00:00 suspect on  ->
	169:00:00 b ok        -> refused too-many-devices
	169:00:01 suspect off ->
	169:00:02 b ok        ->
	336:00:00 c ok        -> refused too-many-devices
	336:00:01 jump -8760h ->
	337:00:03 c ok        ->                             # b is a week unheard, and it is looked for again
	337:00:04 kept b      -> no`)
}

// At boot the clock was never set: what was restored was stamped by another
// one, and stays when it is set; what came since moves along.
func TestClockSetAfterTheStart(t *testing.T) {
	first := play(t, `
	00:00:00 lamp -7          -> raised session-expired
	00:00:01 plug -4          -> raised not-supported
	00:00:01 acknowledge plug * until=24:00:00 -> changed not-supported ack=ann
	00:00:02 own storage-full -> raised storage-full`)
	e := NewEngine(first.opts)
	started, step := day.Add(10*time.Second), 72*time.Hour
	e.SetClockSuspect(true)
	e.Restore(started, stored(t, first))
	for _, id := range []string{"lamp", "plug", "", "fan"} {
		e.save(id)
	}
	e.Observe(started.Add(time.Second), say("lamp", SaysFault, -7))
	e.Observe(started.Add(time.Second), say("fan", SaysFault, -10))
	now := started.Add(time.Minute).Add(step)
	out := e.Shift(now, step)
	e.SetClockSuspect(false)
	seen := func(device string) string {
		s, _ := e.Snapshot(device)
		return fmt.Sprintf("first %s last %s", at(s.Diagnoses[0].FirstSeen), at(s.Diagnoses[0].LastSeen))
	}
	for device, want := range map[string]string{
		"lamp": "first 00:00:00 last 72:00:11", "plug": "first 00:00:01 last 00:00:01", "fan": "first 72:00:11 last 72:00:11", "": "first 00:00:02 last 00:00:02",
	} {
		if got := seen(device); got != want {
			t.Errorf("%s: %s, want %s", device, got, want)
		}
	}
	if len(out.Changes) > 0 || !slices.Contains(out.Touched, "lamp") {
		t.Errorf("changes %v, touched %v", out.Changes, out.Touched)
	}
	// The decision's time has passed, as it would have been found with a right clock.
	if out := e.Tick(now); len(out.Changes) != 1 || out.Changes[0].Diagnosis.Condition != "not-supported" {
		t.Errorf("%+v", out.Changes)
	}
	// It runs from its start by a clock that jumped, 20 minutes.
	if out := e.Tick(started.Add(time.Second + step + 20*time.Minute)); len(out.Changes) != 1 || out.Changes[0].Diagnosis.ClearedBy != ByQuiet {
		t.Errorf("%+v", out.Changes)
	}
	// From now on it is one clock, and all moves alike.
	e.Shift(now.Add(step), step)
	if got := seen("plug"); got != "first 72:00:01 last 72:00:01" {
		t.Error(got)
	}
}

// A clock that ran ahead has stamped what the store has. Set right, it leaves
// nothing in the future.
func TestRestoredFromTheFuture(t *testing.T) {
	first := play(t, `00:00:00 lamp -7 -> raised session-expired`)
	e := NewEngine(first.opts)
	e.SetClockSuspect(true)
	e.Restore(day.Add(time.Minute), stored(t, first))
	now := day.Add(2*time.Minute - 8760*time.Hour)
	e.Shift(now, -8760*time.Hour)
	s, _ := e.Snapshot("lamp")
	if d := s.Diagnoses[0]; d.FirstSeen.After(now) || d.LastSeen.After(now) || s.UpdatedAt.After(now) {
		t.Errorf("now %s, first %s, last %s, updated %s", now, d.FirstSeen, d.LastSeen, s.UpdatedAt)
	}
}

// What a jump moves is stored, and shown where it shows.
func TestJumpsAreStored(t *testing.T) {
	make := func() *Engine {
		e := play(t, `
		00:00:00 open -9  -> raised device-reset
		00:00:00 well ok  ->
		00:00:00 held lost ->
		00:00:01 ignore * session-expired scope=site ->`)
		for _, id := range e.ids() {
			e.save(id)
		}
		return e
	}
	e := make()
	out := e.Shift(day.Add(time.Hour+time.Second), time.Hour)
	if !slices.Equal(out.Touched, []string{"open"}) || !slices.Equal(out.Kept, []string{"held", "well"}) || out.SiteWide["session-expired"] == nil {
		t.Errorf("forward: touched %v kept %v site-wide %v", out.Touched, out.Kept, out.SiteWide)
	}
	if rec, _ := e.save("held"); len(rec.Problems) != 1 || !rec.Problems[0].Pending.At.Equal(day.Add(time.Hour)) {
		t.Errorf("stored %+v", rec)
	}
	// Step back, and each snapshot is from the future.
	if out := make().Shift(day.Add(time.Second-time.Hour), -time.Hour); !slices.Equal(out.Touched, []string{"held", "open", "well"}) {
		t.Errorf("back: touched %v", out.Touched)
	}
	if out := make().Shift(day, 0); len(out.Touched)+len(out.Kept) > 0 {
		t.Errorf("no jump: %+v", out)
	}
}

// A copy that was handed out does not change.
func TestJumpsLeaveCopiesAlone(t *testing.T) {
	e := play(t, `
	30:00:00 lamp -4013 ts=-25h -> raised dns-failed evidence=1
	30:00:01 acknowledge lamp * -> changed dns-failed
	30:00:02 note lamp dns-failed note=n ->`)
	rec, _ := e.Record("lamp")
	before, err := json.Marshal(rec.Problems)
	if err != nil {
		t.Fatal(err)
	}
	e.Shift(day, time.Hour)
	if after, err := json.Marshal(rec.Problems); err != nil || string(after) != string(before) {
		t.Errorf("%v\n%s\n%s", err, before, after)
	}
}

// A message that waited while the clock jumped came just now.
func TestMessageFromBeforeTheJump(t *testing.T) {
	e := NewEngine(Options{Rules: newBook(), NewID: counter()})
	for i, c := range []struct{ waited, want time.Duration }{
		{0, 0}, {time.Second, -time.Second}, {time.Minute, -time.Minute}, {8760 * time.Hour, 0}, {-8760 * time.Hour, 0}, {-time.Second, 0},
	} {
		o := say(fmt.Sprint(i), SaysFault, -7)
		o.At = day.Add(-c.waited)
		e.Observe(day, o)
		s, _ := e.Snapshot(o.Device)
		if d := s.Diagnoses[0]; d.FirstSeen.Sub(day) != c.want || d.LastSeen.Sub(day) != c.want {
			t.Errorf("waited %s: first seen %s, last %s, want %s", c.waited, d.FirstSeen, d.LastSeen, c.want)
		}
	}
}
