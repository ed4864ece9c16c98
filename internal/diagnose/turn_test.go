package diagnose

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A change that cannot be written is left out, and takes no number; the rest of
// the turn goes on.
func TestLoopLeavesOutWhatCannotBeEncoded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startLoop(t, &bench{})
		var told []string
		b.opts.Unencodable = func(c Change, err error) { told = append(told, c.Diagnosis.Condition+": "+err.Error()) }
		err := b.Do(t.Context(), func(now time.Time, e *Engine) Outcome {
			out := e.Observe(now, say("lamp", SaysFault, -7))
			bad := out.Changes[0]
			bad.Diagnosis.Condition, bad.Diagnosis.SourceTS = "poison", json.RawMessage("{")
			out.Changes = slices.Insert(out.Changes, 0, bad)
			out.Changes = append(out.Changes, e.Observe(now, say("plug", SaysFault, -4)).Changes...)
			return out
		})
		var seqs []int64
		for _, e := range b.batches[0].Entries {
			seqs = append(seqs, e.Seq)
		}
		if err != nil || !slices.Equal(seqs, []int64{41, 42}) || b.batches[0].Entries[1].Severity != Minor {
			t.Errorf("%v: %v, %+v", err, seqs, b.batches[0].Entries)
		}
		if len(told) != 1 || !strings.HasPrefix(told[0], "poison: ") {
			t.Errorf("told %q", told)
		}
		b.end()
	})
}

// A payload's time that cannot be stored is no reason to store nothing.
func TestLoopStoresWithoutATimeThatCannotBeStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startLoop(t, &bench{})
		b.opts.Unencodable = func(_ Change, err error) { t.Error(err) }
		o := say("lamp", SaysLost, 0) // it is held back, and stored as it came
		o.Key, o.SourceTS, o.Reported = Key{Producer: ProducerAvailability, Name: "lost"}, json.RawMessage("1e"), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
		b.send("1", o)
		o = say("plug", SaysFault, -7)
		o.SourceTS = json.RawMessage(`"now`)
		b.send("2", o)
		synctest.Wait()
		rows := 0
		for _, batch := range b.batches {
			for _, rec := range batch.Devices {
				for i := range rec.Problems {
					row, err := rec.Problems[i].AppendJSON(nil)
					if err == nil {
						err = json.Unmarshal(row, new(Problem))
					}
					if err != nil {
						t.Errorf("%s: %v: %s", rec.ID, err, row)
					}
					rows++
				}
			}
		}
		if rows != 2 || !slices.Contains(b.log(), "ack 1") || !slices.Contains(b.log(), "ack 2") {
			t.Errorf("%d rows, %q", rows, b.log())
		}
		b.end()
	})
}

// A turn tells how long it took, and how long its oldest message waited,
// though another went first, and whatever the clock on the wall does.
func TestTurnTellsHowLongItTook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startLoop(t, &bench{slow: time.Second})
		b.opts.Clock = func() ClockReading { return ClockReading{Now: time.Now().Add(-time.Hour), Suspect: true} }
		b.send("1", say("lamp", SaysFault, -7))
		synctest.Wait() // the loop is at the disk
		b.send("2", say("plug", SaysFault, -4))
		time.Sleep(400 * time.Millisecond)
		o := say("oven", SaysFault, -7)
		b.Deliver(Delivery{Observation: &o, Critical: true})
		time.Sleep(5 * time.Second)
		synctest.Wait()
		var got []time.Duration
		for _, turn := range b.turns {
			if turn.Deliveries > 0 {
				got = append(got, turn.Commit, turn.Took, turn.Waited)
			} else if turn.Waited != 0 {
				t.Errorf("nothing was delivered: %+v", turn)
			}
		}
		s := time.Second
		if want := []time.Duration{s, s, s, s, s, 2 * s}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		b.end()
	})
}
