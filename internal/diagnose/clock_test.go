package diagnose

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// watchLine is one reading: so long after the last one by the monotonic clock,
// the wall clock shows so much more than day. What comes out is the time since
// day, the step, and a "?" where the clock is suspect.
type watchLine struct {
	passed, wall time.Duration
	synced       bool
	want         string
}

func reading(r ClockReading) string {
	s := r.Now.Sub(day).String()
	if r.Step != 0 {
		s += fmt.Sprintf(" step %s", r.Step)
	}
	if r.Suspect {
		s += " ?"
	}
	return s
}

func TestWatch(t *testing.T) {
	const sec, hour, year = time.Second, time.Hour, 8760 * time.Hour
	for name, c := range map[string]struct {
		floor time.Duration
		lines []watchLine
	}{
		"runs": {-hour, []watchLine{
			{0, 0, false, "0s"},
			{5 * sec, 5 * sec, false, "5s"},
			{0, 5 * sec, false, "5s"},
			{45 * sec, 50 * sec, false, "50s"}, // a stopped process: both ran
		}},
		"slewed": {-hour, []watchLine{
			{0, 0, false, "0s"},
			{5 * sec, 9 * sec, false, "9s"},
			{5 * sec, 5 * sec, false, "9s"},
			{sec, 6 * sec, false, "9s"},
			{5 * sec, 11 * sec, false, "11s"}, // waited for
			{60 * sec, 80 * sec, false, "1m20s"},
		}},
		"a year on and back, not kept in step": {-hour, []watchLine{
			{0, 0, false, "0s"},
			{sec, year + sec, false, "8760h0m1s step 8760h0m0s ?"},
			{sec, year + 2*sec, false, "8760h0m2s ?"},
			{hour, hour + 2*sec, false, "1h0m2s step -8760h0m0s ?"},
			{24*hour - sec, 25*hour + sec, false, "25h0m1s ?"},
			{sec, 25*hour + 2*sec, false, "25h0m2s"},
		}},
		"set right by a time server": {-hour, []watchLine{
			{0, 0, false, "0s"},
			{sec, hour, false, "1h0m0s step 59m59s ?"},
			{sec, hour + sec, true, "1h0m1s ?"},
			{59 * sec, hour + 60*sec, true, "1h1m0s ?"},
			{sec, hour + 61*sec, true, "1h1m1s"},
			{sec, hour + 62*sec, false, "1h1m2s"},
		}},
		"the kernel's word from before the jump": {-hour, []watchLine{
			{0, 0, true, "0s"},
			{120 * sec, 120 * sec, true, "2m0s"},
			{sec, year, true, "8760h0m0s step 8759h57m59s ?"},
			{sec, year + sec, false, "8760h0m1s ?"},
			{120 * sec, year + 121*sec, false, "8760h2m1s ?"},
		}},
		"suspended": {-hour, []watchLine{
			{0, 0, true, "0s"},
			{sec, 48 * hour, true, "48h0m0s step 47h59m59s ?"},
			{sec, 48*hour + sec, true, "48h0m1s ?"},
			{60 * sec, 48*hour + 61*sec, true, "48h1m1s"},
		}},
		"never set": {0, []watchLine{
			{0, -57 * year, false, "0s ?"},
			{5 * sec, -57*year + 5*sec, false, "5s ?"},
			{25 * hour, -57*year + 25*hour, false, "25h0m5s ?"}, // and it never starts in 1970
		}},
		"set a while after the start": {0, []watchLine{
			{0, -57 * year, false, "0s ?"},
			{20 * sec, 72 * hour, false, "72h0m0s step 71h59m40s ?"},
			{sec, 72*hour + sec, true, "72h0m1s ?"},
			{60 * sec, 72*hour + 61*sec, true, "72h1m1s"},
		}},
		"set to nearly what it was taken for": {0, []watchLine{
			{0, -hour, false, "0s ?"}, {20 * sec, 25 * sec, true, "25s ?"}, {60 * sec, 85 * sec, true, "1m25s"},
		}},
		"reaches the floor by itself": {0, []watchLine{
			{0, -hour, false, "0s ?"}, {hour - sec, -sec, false, "59m59s ?"}, {sec, 0, false, "0s step -1h0m0s ?"}, {sec, sec, false, "1s ?"},
		}},
		"a little behind at the start": {0, []watchLine{
			{0, -9 * sec, false, "0s"}, {5 * sec, -4 * sec, false, "0s"}, {5 * sec, sec, false, "1s"},
		}},
		"jumps below the floor and back": {0, []watchLine{
			{0, hour, false, "1h0m0s"},
			{sec, -year, false, "1h0m1s ?"},
			{sec, sec - year, false, "1h0m2s ?"},
			{sec, hour + 3*sec, false, "1h0m3s ?"},
			{24*hour + sec, 25*hour + 4*sec, false, "25h0m4s"},
		}},
		"below the floor, and kept in step: the store was ahead": {year, []watchLine{
			{0, 0, true, "8760h0m0s ?"},
			{59 * sec, 59 * sec, true, "8760h0m59s ?"},
			{sec, 60 * sec, true, "1m0s step -8760h0m0s ?"},
			{sec, 61 * sec, true, "1m1s ?"},
			{60 * sec, 121 * sec, true, "2m1s"},
			{hour, hour + 121*sec, false, "1h2m1s"},
			{sec, 3 * hour, false, "3h0m0s step 1h57m58s ?"},
		}},
		"kept in step, but not for long enough": {year, []watchLine{
			{0, 0, true, "8760h0m0s ?"}, {59 * sec, 59 * sec, false, "8760h0m59s ?"}, {sec, 60 * sec, true, "8760h1m0s ?"}, {59 * sec, 119 * sec, true, "8760h1m59s ?"},
		}},
		"a monotonic clock that is not": {0, []watchLine{
			{5 * sec, -hour, false, "0s ?"}, {5 * sec, 5*sec - hour, false, "5s ?"}, {-3 * sec, 5*sec - hour, false, "5s ?"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := NewWatch(day.Add(c.floor))
			var mono time.Duration
			for i, l := range c.lines {
				mono += l.passed
				if got := reading(w.Read(day.Add(l.wall), mono, l.synced)); got != l.want {
					t.Fatalf("reading %d: %s, want %s", i, got, l.want)
				}
			}
		})
	}
}

// Whatever the wall clock does: time never runs backwards but for a step, less
// its steps it is off what has passed by the slew at most, and who adds up the
// steps gets there.
func TestWatchAtRandom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := NewWatch(day.Add(time.Duration(rapid.IntRange(-1000, 1000).Draw(t, "floor")) * time.Hour))
		var mono, wall, steps time.Duration
		var last, first time.Time
		for i := range 60 {
			passed := time.Duration(rapid.IntRange(0, 20_000).Draw(t, "ms")) * time.Millisecond
			mono += passed
			wall += passed + rapid.SampledFrom([]time.Duration{0, 0, 0, time.Second, -3 * time.Second, 9 * time.Second, time.Hour, -time.Hour, 8760 * time.Hour, -8760 * time.Hour}).Draw(t, "off")
			r := w.Read(day.Add(wall), mono, rapid.Bool().Draw(t, "synced"))
			if i == 0 {
				first = r.Now.Add(-mono)
			} else if r.Now.Before(last.Add(r.Step)) {
				t.Fatalf("%s after %s, step %s", r.Now, last, r.Step)
			}
			if r.Step != 0 && (!r.Suspect || r.Step.Abs() < maxSlew) {
				t.Fatalf("step %s, suspect %v", r.Step, r.Suspect)
			}
			if drift := r.Now.Sub(last.Add(passed + r.Step)).Abs(); i > 0 && drift > maxSlew+passed {
				t.Fatalf("drifted %s at once", drift)
			}
			steps += r.Step
			last = r.Now
		}
		if off := last.Sub(first.Add(mono + steps)).Abs(); off > 60*maxSlew {
			t.Fatalf("steps of %s leave %s", steps, off)
		}
		if last.Before(w.floor.Add(-maxSlew)) {
			t.Fatalf("%s is before the floor %s", last, w.floor)
		}
	})
}
