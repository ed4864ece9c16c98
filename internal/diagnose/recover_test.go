package diagnose

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The fault is shown, nothing is acknowledged, nobody waits, and when there is
// room the world is as the messages said that came again.
func TestLoopStandsStillOnAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		s := startOn(t, d)
		s.send("1", say("lamp", SaysFault, -7))
		d.fail = full()
		s.send("2", say("plug", SaysFault, -4))
		s.send("3", say("lamp", SaysSuccess, 0))
		s.sleep(10 * time.Second)
		if !slices.Equal(s.acks, []string{"1"}) || !slices.Equal(s.storage, []string{"storage-full"}) {
			t.Errorf("acknowledged %v, said %v", s.acks, s.storage)
		}
		if since := s.SinceTurn(); since > pulse {
			t.Errorf("no turn for %s: the watchdog would bite", since)
		}
		last := s.pubs[len(s.pubs)-1]
		if len(last.Snapshots) != 1 || last.Snapshots[0].Device != "" || last.Seq != 41 ||
			last.Snapshots[0].Diagnoses[0].Condition != "storage-full" {
			t.Errorf("published %+v", last)
		}
		var fault *JournalError
		if err := s.Do(t.Context(), func(time.Time, *Engine) Outcome { t.Error("ran"); return Outcome{} }); !errors.As(err, &fault) {
			t.Errorf("Do: %v", err)
		}
		var answer Response
		s.Deliver(Delivery{Request: &Request{Verb: Forget, Transaction: "t"}, Respond: func(r Response) { answer = r }})
		synctest.Wait()
		if answer.OK || answer.Transaction != "t" || !strings.Contains(answer.Error, "storage-full") {
			t.Errorf("answer %+v", answer)
		}
		tries := d.commits
		d.fail = nil
		s.sleep(mostAgain)
		if d.commits == tries || !slices.Equal(s.storage, []string{"storage-full", ""}) {
			t.Errorf("%d commits more, said %v", d.commits-tries, s.storage)
		}
		s.send("2 again", say("plug", SaysFault, -4))
		s.send("3 again", say("lamp", SaysSuccess, 0))
		want := []string{
			"lamp raised session-expired", " raised storage-full", " cleared storage-full", "plug raised not-supported", "lamp cleared session-expired",
		}
		if got := d.events(t); !slices.Equal(got, want) {
			t.Errorf("events %q, want %q", got, want)
		}
		if !slices.Equal(s.acks, []string{"1", "2 again", "3 again"}) {
			t.Errorf("acknowledged %v", s.acks)
		}
		s.end()
	})
}

// A storage that cannot even be read is asked again and again.
func TestLoopWaitsForAJournalThatCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		s := startOn(t, d)
		d.fail = &JournalError{StorageFailed, errors.New("input/output error")}
		d.unreadable = d.fail
		s.send("1", say("lamp", SaysFault, -7))
		s.sleep(5 * time.Second)
		d.unreadable = errors.New("some other reason")
		s.sleep(5 * time.Second)
		d.unreadable = nil
		s.sleep(5 * time.Second)
		d.fail = full() // another fault takes its place
		s.sleep(5 * time.Second)
		d.fail = nil
		s.sleep(5 * time.Second)
		if want := []string{"storage-failed", "storage-full", ""}; !slices.Equal(s.storage, want) {
			t.Errorf("said %v, want %v", s.storage, want)
		}
		if got, want := d.events(t), []string{" raised storage-full", " cleared storage-full"}; !slices.Equal(got, want) {
			t.Errorf("events %q, want %q", got, want)
		}
		s.end()
	})
}

// A jump of the clock in a turn that is not durable is told to the engine that
// is made anew: what was stored before moves along, once.
func TestLoopOwesTheJump(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		s := startOn(t, d)
		s.send("1", say("lamp", SaysFault, -7))
		before := d.devices["lamp"]["session-expired"].Diagnosis.FirstSeen
		year, jumped := 365*24*time.Hour, false
		s.opts.Clock = func() ClockReading {
			r := ClockReading{Now: time.Now().Add(year), Suspect: true}
			if !jumped {
				jumped, r.Step = true, year
			}
			return r
		}
		d.fail = full()
		s.send("2", say("plug", SaysFault, -4))
		d.fail = nil
		s.sleep(mostAgain)
		after := d.devices["lamp"]["session-expired"].Diagnosis.FirstSeen
		if moved := after.Sub(before.Time); moved != year {
			t.Errorf("first_seen moved by %s, want %s", moved, year)
		}
		if !strings.Contains(d.bodies[42], `"clock_suspect":true`) || strings.Contains(d.bodies[41], "clock_suspect") {
			t.Errorf("marks of a clock that is not believed: %s, %s", d.bodies[41], d.bodies[42])
		}
		s.end()
	})
}

// A stop while nothing can be stored leaves it unacknowledged, and is no error.
func TestLoopStopsWhileItStandsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		s := startOn(t, d)
		d.fail = full()
		s.send("1", say("lamp", SaysFault, -7))
		o := say("plug", SaysFault, -4)
		o.At = time.Now()
		s.Deliver(Delivery{Observation: &o, Droppable: true})
		s.end()
		if len(s.acks) > 0 || s.dropped != 1 {
			t.Errorf("acknowledged %v, dropped %d", s.acks, s.dropped)
		}
	})
}

// A commit that failed may be durable all the same. Then the messages that come
// again change nothing, and yet what is shown must follow.
func TestLoopShowsWhatWasDurableAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		s := startOn(t, d)
		for _, device := range []string{"lamp", "plug", "oven"} {
			s.send(device, say(device, SaysFault, -7))
		}
		d.fail, d.late = full(), true
		s.Deliver(Delivery{Observation: new(say("plug", SaysSuccess, 0))})
		before := len(s.pubs)
		s.send("lamp", say("lamp", SaysRemoved, 0)) // ends the batch
		s.sleep(10 * time.Second)
		if n := len(s.pubs) - before; n != 1 {
			t.Errorf("%d publications while nothing can be stored: once is enough", n)
		}
		d.fail = nil
		s.sleep(mostAgain)
		s.send("plug again", say("plug", SaysSuccess, 0))
		s.send("lamp again", say("lamp", SaysRemoved, 0))
		if got, want := atBroker(s.pubs), map[string]string{"": "", "oven": "session-expired", "plug": ""}; !maps.Equal(got, want) {
			t.Errorf("the broker retains %q, want %q", got, want)
		}
		s.end()
	})
}

// atBroker is what the broker has after the publications: of each device, what
// is open.
func atBroker(pubs []Publication) map[string]string {
	shown := map[string]string{}
	for _, p := range pubs {
		for i := range p.Snapshots {
			shown[string(p.Snapshots[i].Device)] = standing(p.Snapshots[i].Diagnoses)
		}
		for _, id := range p.Removed {
			delete(shown, id)
		}
	}
	return shown
}

func standing(ds []Diagnosis) string {
	var open []string
	for i := range ds {
		if ds[i].Open() {
			open = append(open, ds[i].Condition)
		}
	}
	slices.Sort(open)
	return strings.Join(open, " ")
}

// Rules that were swapped stay so, though the commit of what they changed fails.
func TestLoopSwapsRulesOnAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		s := startOn(t, d)
		s.send("1", say("lamp", SaysFault, -7))
		d.fail = full()
		if err := s.SetRules(t.Context(), newBook().without("session-expired"), plainWords{}); err != nil {
			t.Errorf("swapped, and yet: %v", err)
		}
		var fault *JournalError
		if err := s.SetRules(t.Context(), newBook(), plainWords{}); !errors.As(err, &fault) {
			t.Errorf("not swapped, and yet: %v", err)
		}
		d.fail = nil
		s.sleep(mostAgain)
		want := []string{"lamp raised session-expired", "lamp cleared session-expired", " raised storage-full", " cleared storage-full"}
		if got := d.events(t); !slices.Equal(got, want) {
			t.Errorf("events %q, want %q", got, want)
		}
		s.end()
	})
}
