package diagnose

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLoopAcknowledgesAfterTheCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startLoop(t, &bench{slow: time.Second})
		b.send("1", say("lamp", SaysFault, -7))
		synctest.Wait()
		if len(b.log()) > 0 {
			t.Fatalf("while the disk works: %v", b.log())
		}
		b.send("2", say("plug", SaysFault, -4))
		b.send("3", say("lamp", SaysSuccess, 0))
		time.Sleep(5 * time.Second)
		synctest.Wait()
		want := []string{"commit", "publish", "ack 1", "commit", "publish", "ack 2", "ack 3"}
		if !slices.Equal(b.log(), want) {
			t.Errorf("got %v, want %v", b.log(), want)
		}
		b.end()
	})
}

// What is in the inbox at a stop is decided: more than a batch of it, while
// the disk works on the first.
func TestLoopEndsWithAnEmptyInbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startLoop(t, &bench{slow: time.Second})
		const n = 2*batchSize + 10
		for i := range n {
			b.send(strconv.Itoa(i), say("lamp-"+strconv.Itoa(i), SaysFault, -7))
		}
		b.end()
		acks := 0
		for _, line := range b.log() {
			if strings.HasPrefix(line, "ack ") {
				acks++
			}
		}
		if acks != n {
			t.Errorf("%d of %d were decided", acks, n)
		}
	})
}

func TestLoopBatchIsWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startLoop(t, &bench{slow: time.Second})
		b.send("1", say("lamp", SaysFault, -7))
		synctest.Wait() // that is a batch; what comes while it is committed is the next
		b.send("2", say("plug", SaysFault, -4))
		b.send("3", say("lamp", SaysSuccess, 0))
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if len(b.batches) != 2 || len(b.pubs) != 2 {
			t.Fatalf("%d batches, %d publications", len(b.batches), len(b.pubs))
		}
		var seqs []int64
		var devices []string
		for _, e := range b.batches[1].Entries {
			seqs = append(seqs, e.Seq)
			devices = append(devices, e.Device+" "+string(e.Type)+" "+e.Condition+" "+e.EventID)
		}
		if want := []string{"plug raised not-supported event-42", "lamp cleared session-expired event-43"}; !slices.Equal(devices, want) || !slices.Equal(seqs, []int64{42, 43}) {
			t.Errorf("entries %v %v", seqs, devices)
		}
		if d := b.batches[1].Devices; len(d) != 2 || d[0].ID != "plug" || len(d[0].Problems) != 1 || d[1].ID != "lamp" {
			t.Errorf("devices %+v", d)
		}
		if p := b.pubs[1]; p.Seq != 43 || len(p.Snapshots) != 2 || p.Snapshots[1].Diagnoses[0].Status != Cleared {
			t.Errorf("publication %+v", p)
		}
		var ev map[string]any
		if err := json.Unmarshal(b.batches[0].Entries[0].Body, &ev); err != nil {
			t.Fatal(err)
		}
		d := ev["diagnosis"].(map[string]any)
		if ev["schema"] != "1" || ev["seq"] != 41.0 || ev["epoch"] != "epoch" || ev["type"] != "raised" || ev["event_id"] != "event-41" ||
			d["title"] != "title of session-expired" || d["causes"].([]any)[0].(map[string]any)["because"] != "because of key-old" || d["advice"] != nil {
			t.Errorf("event %v", ev)
		}
		b.end()
	})
}

// A batch that cannot be made durable ends the loop: no acknowledgement, no
// publication, and nobody waits for ever.
func TestLoopEndsWhenTheCommitFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := errors.New("disk full")
		b := startLoop(t, &bench{fail: full})
		b.send("1", say("lamp", SaysFault, -7))
		if err := <-b.ended; !errors.Is(err, full) {
			t.Fatalf("ended with %v", err)
		}
		if len(b.log()) > 0 || len(b.pubs) > 0 {
			t.Errorf("it went on: %v", b.log())
		}
		err := b.Do(t.Context(), func(time.Time, *Engine) Outcome { t.Error("ran on a dead loop"); return Outcome{} })
		if !errors.Is(err, errStopped) {
			t.Errorf("Do: %v", err)
		}
	})
}

// A stop does not tear a batch that is being committed.
func TestLoopStopsBetweenTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startLoop(t, &bench{slow: time.Second})
		b.send("1", say("lamp", SaysFault, -7))
		synctest.Wait()
		b.end()
		if want := []string{"commit", "publish", "ack 1"}; !slices.Equal(b.log(), want) {
			t.Errorf("got %v, want %v", b.log(), want)
		}
	})
}

func TestLoopBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startLoop(t, &bench{slow: time.Second})
		b.send("first", say("lamp", SaysFault, -7))
		synctest.Wait() // the loop is at the disk and takes nothing
		acks, took := 0, 0
		for range inboxSize + 10 {
			o := say("lamp", SaysFault, -7)
			if b.Deliver(Delivery{Observation: &o, Ack: func() { acks++ }}) {
				took++
			}
		}
		if took != inboxSize {
			t.Errorf("took %d, want %d", took, inboxSize)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if acks != took {
			t.Errorf("acknowledged %d of %d", acks, took)
		}
		for _, turn := range b.turns {
			if turn.Deliveries > batchSize {
				t.Errorf("a turn of %d deliveries", turn.Deliveries)
			}
		}
		b.end()
	})
}

// A device that is removed and heard again is another device: the removal is
// durable before the new one is.
func TestLoopRemovalEndsTheBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startLoop(t, &bench{slow: time.Second})
		b.send("0", say("lamp", SaysFault, -7))
		synctest.Wait()
		b.send("1", say("lamp", SaysRemoved, 0))
		b.send("2", say("lamp", SaysFault, -7))
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if len(b.batches) != 3 {
			t.Fatalf("%d batches", len(b.batches))
		}
		if r := b.batches[1]; !slices.Equal(r.Removed, []string{"lamp"}) || len(r.Devices) > 0 || r.Entries[0].Type != Cleaned {
			t.Errorf("removal: %+v", r)
		}
		if p := b.pubs[1]; !slices.Equal(p.Removed, []string{"lamp"}) || len(p.Snapshots) != 1 || p.Snapshots[0].Diagnoses[0].ClearedBy != ByRetired {
			t.Errorf("its publication: %+v", p)
		}
		if r := b.batches[2]; len(r.Removed) > 0 || len(r.Devices) != 1 || r.Devices[0].Problems[0].Diagnosis.Occurrence != 1 {
			t.Errorf("the new one: %+v", r)
		}
		b.end()
	})
}

func TestLoopAnswersRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startLoop(t, &bench{slow: time.Second})
		b.send("1", say("lamp", SaysFault, -7))
		time.Sleep(2 * time.Second)
		respond := func(r Response) { b.answers = append(b.answers, r); b.did("answer") }
		for _, device := range []string{"lamp", "none"} {
			b.Deliver(Delivery{
				Request: &Request{Verb: Acknowledge, Transaction: "t-" + device, Device: &device, By: "ann"},
				Ack:     func() { b.did("ack") }, Respond: respond,
			})
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		want := []Response{{Transaction: "t-lamp", OK: true}, {Transaction: "t-none", Error: `device "none" is not known`}}
		if !reflect.DeepEqual(b.answers, want) {
			t.Errorf("answers %+v", b.answers)
		}
		if tail := b.log()[3:]; !slices.Equal(tail[:4], []string{"commit", "publish", "ack", "answer"}) {
			t.Errorf("order %v", b.log())
		}
		b.end()
	})
}

func TestLoopRefusesAndGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startLoop(t, &bench{})
		b.engine.opts.MaxDevices = 1
		acked := false
		b.Deliver(Delivery{Refused: &RefusedInput{Reason: "malformed"}, Ack: func() { acked = true }})
		b.send("1", say("lamp", SaysFault, -7))
		b.send("2", say("plug", SaysFault, -7))
		b.send("3", say("lamp", SaysSuccess, 0))
		synctest.Wait()
		if !acked || len(b.refused) != 2 || b.refused[0].Reason != "malformed" || b.refused[1].Reason != RefusedTooManyDevices {
			t.Errorf("acknowledged %v, refused %+v", acked, b.refused)
		}
		if !slices.Contains(b.log(), "ack 2") || !slices.Contains(b.log(), "ack 3") {
			t.Errorf("order %v", b.log())
		}
		b.end()
	})
}

// Time alone brings changes, and without any the pulse of the watchdog goes on.
func TestLoopKeepsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startLoop(t, &bench{})
		start := time.Now()
		b.send("1", say("lamp", SaysFault, -10))
		time.Sleep(1300 * time.Millisecond)
		b.send("2", say("plug", SaysSuccess, 0)) // pulses are out of step with the quiet time
		time.Sleep(time.Minute)
		synctest.Wait()
		if since := b.SinceTurn(); since > pulse {
			t.Errorf("the last turn was %s ago", since)
		}
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		last := b.batches[len(b.batches)-1].Entries
		if len(last) != 1 || last[0].Type != Cleaned || !last[0].At.Equal(start.Add(20*time.Minute)) {
			t.Errorf("after 20 minutes of quiet: %+v", last)
		}
		if n := len(b.batches); n != 3 {
			t.Errorf("%d batches: idle turns must not write", n)
		}
		b.end()
	})
}

func TestLoopDoAndSetRules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startLoop(t, &bench{slow: time.Second})
		b.send("1", say("lamp", SaysFault, -7))
		time.Sleep(2 * time.Second)
		err := b.Do(t.Context(), func(now time.Time, e *Engine) Outcome {
			if !now.Equal(time.Now()) {
				t.Errorf("it is told %s, it is %s", now, time.Now())
			}
			return e.Observe(now, say("plug", SaysFault, -4))
		})
		if err != nil || len(b.batches) != 2 {
			t.Fatalf("%v, %d batches when Do returned", err, len(b.batches))
		}
		err = b.Do(t.Context(), func(now time.Time, e *Engine) Outcome { return e.Observe(now, say("plug", SaysFault, -10)) })
		if d := b.batches[2].Devices; err != nil || len(d) != 1 || len(d[0].Problems) != 1 || d[0].Problems[0].Diagnosis.Condition != "device-busy" {
			t.Errorf("%v: stored again what did not change: %+v", err, d)
		}
		if err := b.SetRules(t.Context(), newBook().without("session-expired"), plainWords{}); err != nil {
			t.Fatal(err)
		}
		last := b.batches[3]
		if len(last.Entries) != 1 || last.Entries[0].Type != Cleaned || last.Entries[0].Device != "lamp" {
			t.Errorf("after the reload: %+v", last.Entries)
		}
		late, cancel := context.WithCancel(t.Context())
		cancel()
		b.send("2", say("plug", SaysSuccess, 0))
		synctest.Wait() // the loop is at the disk
		if err := b.Do(late, func(time.Time, *Engine) Outcome { return Outcome{} }); !errors.Is(err, context.Canceled) {
			t.Errorf("Do with an ended context: %v", err)
		}
		b.end()
		if err := b.Do(t.Context(), func(time.Time, *Engine) Outcome { return Outcome{} }); !errors.Is(err, errStopped) {
			t.Errorf("Do after the end: %v", err)
		}
	})
}
