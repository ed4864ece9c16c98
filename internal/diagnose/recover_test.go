package diagnose

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// disk is a journal that keeps what is committed, and fails when it is told.
type disk struct {
	restored Restored
	bodies   map[int64]string
	devices  map[string]map[string]Problem
	records  map[string]DeviceRecord
	// fail is what the next commits answer; where late is set the batch is
	// durable all the same. unreadable is what Recover answers.
	fail       error
	late       bool
	unreadable error
	commits    int
}

func newDisk() *disk {
	return &disk{
		restored: Restored{Seq: 40}, bodies: map[int64]string{}, devices: map[string]map[string]Problem{}, records: map[string]DeviceRecord{},
	}
}

func (d *disk) Commit(_ context.Context, b *Batch) error {
	d.commits++
	if d.fail == nil || d.late {
		d.keep(b)
	}
	return d.fail
}

func (d *disk) keep(b *Batch) {
	for _, e := range b.Entries {
		if e.Seq != d.restored.Seq+1 {
			panic(fmt.Sprintf("seq %d after %d", e.Seq, d.restored.Seq))
		}
		d.restored.Seq = e.Seq
		d.bodies[e.Seq] = string(e.Body)
	}
	for _, id := range b.Removed {
		delete(d.records, id)
		delete(d.devices, id)
	}
	for _, rec := range b.Devices {
		if d.devices[rec.ID] == nil {
			d.devices[rec.ID] = map[string]Problem{}
		}
		for _, p := range rec.Problems {
			d.devices[rec.ID][p.Diagnosis.Condition] = p
		}
		rec.Problems = nil
		d.records[rec.ID] = rec
	}
}

func (d *disk) Recover(context.Context) (Restored, error) {
	if d.unreadable != nil {
		return Restored{}, d.unreadable
	}
	r := Restored{Seq: d.restored.Seq}
	for id, rec := range d.records {
		for _, p := range d.devices[id] {
			rec.Problems = append(rec.Problems, p)
		}
		r.Devices = append(r.Devices, rec)
	}
	slices.SortFunc(r.Devices, func(a, b DeviceRecord) int { return strings.Compare(a.ID, b.ID) })
	return r, nil
}

// events lists what is in the journal: device, type, condition.
func (d *disk) events(t testing.TB) []string {
	var list []string
	for seq := int64(41); seq <= d.restored.Seq; seq++ {
		var ev Event
		if err := json.Unmarshal([]byte(d.bodies[seq]), &ev); err != nil {
			t.Fatal(err)
		}
		list = append(list, fmt.Sprintf("%s %s %s", ev.Diagnosis.Device, ev.Type, ev.Diagnosis.Condition))
	}
	return list
}

// standing is a loop on a disk, with what it said.
type standing struct {
	*Loop
	t       *testing.T
	disk    *disk
	storage []string
	pubs    []Publication
	acks    []string
	dropped int
	stop    context.CancelFunc
	ended   chan error
}

func startOn(t *testing.T, d *disk) *standing {
	t.Helper()
	s := &standing{t: t, disk: d, ended: make(chan error, 1)}
	s.Loop = NewLoop(LoopOptions{
		Engine:  NewEngine(Options{Gateway: "gw", Rules: newBook(), NewID: counter()}),
		Journal: d, Words: plainWords{},
		Publish: func(p Publication) { s.pubs = append(s.pubs, p) },
		Refused: func(RefusedInput) {}, Turned: func(Turn) {},
		EventID: func(seq int64) string { return fmt.Sprintf("event-%d", seq) },
		Epoch:   func() string { return "epoch" }, Seq: d.restored.Seq, Now: time.Now,
		Storage: func(fault StorageFault, _ error) { s.storage = append(s.storage, string(fault)) },
		Dropped: func(Delivery) { s.dropped++ },
	})
	ctx, stop := context.WithCancel(t.Context())
	s.stop = stop
	go func() { s.ended <- s.Run(ctx) }()
	synctest.Wait()
	return s
}

func (s *standing) send(name string, o Observation) {
	s.t.Helper()
	o.At = time.Now()
	if !s.Deliver(Delivery{Observation: &o, Ack: func() { s.acks = append(s.acks, name) }}) {
		s.t.Fatalf("the inbox is full at %s", name)
	}
	synctest.Wait()
}

func (s *standing) end() {
	s.t.Helper()
	s.stop()
	if err := <-s.ended; err != nil {
		s.t.Fatal(err)
	}
}

var errNoSpace = errors.New("no space left")

func full() error { return &JournalError{StorageFull, errNoSpace} }

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
		time.Sleep(10 * time.Second)
		synctest.Wait()
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
		time.Sleep(mostAgain)
		synctest.Wait()
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
		time.Sleep(5 * time.Second)
		d.unreadable = nil
		time.Sleep(5 * time.Second)
		d.fail = full() // another fault takes its place
		time.Sleep(5 * time.Second)
		d.fail = nil
		time.Sleep(5 * time.Second)
		synctest.Wait()
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
		time.Sleep(mostAgain)
		synctest.Wait()
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

// Whatever fails, before or after it is durable: what is acknowledged is in
// the journal, numbers grow by one (the disk sees to that), and what the journal
// says in the end is what the last words of the devices were.
func TestLoopOnABadDisk(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			d := newDisk()
			s := startOn(t, d)
			var sent []Observation // in order, all of QoS 1
			acked := 0
			// deliver sends what is not acknowledged, as a broker does after a
			// connection was cut.
			deliver := func() {
				for i := acked; i < len(sent); i++ {
					o := sent[i]
					o.At = time.Now()
					s.Deliver(Delivery{Observation: &o, Ack: func() {
						if acked != i {
							rt.Fatalf("acknowledged %d, the next is %d", i, acked)
						}
						acked++
					}})
				}
				synctest.Wait()
			}
			last := map[string]Saying{}
			for range rapid.IntRange(1, 30).Draw(rt, "steps") {
				switch rapid.IntRange(0, 5).Draw(rt, "what") {
				case 0:
					d.fail = &JournalError{rapid.SampledFrom([]StorageFault{StorageFull, StorageFailed}).Draw(rt, "fault"), errNoSpace}
					d.late = rapid.Bool().Draw(rt, "late")
				case 1:
					d.fail, d.late = nil, false
				case 2:
					time.Sleep(rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second, 5 * time.Second}).Draw(rt, "wait"))
					synctest.Wait()
					if s.failure == nil {
						deliver()
					}
				default:
					device := rapid.SampledFrom([]string{"lamp", "plug"}).Draw(rt, "device")
					says := rapid.SampledFrom([]Saying{SaysFault, SaysSuccess}).Draw(rt, "says")
					o := say(device, says, 0)
					if says == SaysFault {
						o = say(device, says, -7)
					}
					last[device] = says
					sent = append(sent, o)
					if s.failure == nil && acked == len(sent)-1 {
						deliver()
					}
				}
			}
			d.fail, d.late = nil, false
			time.Sleep(2 * mostAgain)
			synctest.Wait()
			deliver()
			s.end()
			if acked != len(sent) {
				rt.Fatalf("%d of %d are acknowledged", acked, len(sent))
			}
			for device, says := range last {
				p, ok := d.devices[device]["session-expired"]
				open := ok && p.Diagnosis.Open()
				if ok && p.Diagnosis.Flapping != nil {
					open = p.Faulty // a success does not end it
				}
				if open != (says == SaysFault) {
					rt.Fatalf("%s is open: %v, its last word is %v; journal %q", device, open, says, d.events(t))
				}
			}
			if p, ok := d.devices[""]["storage-full"]; ok && p.Diagnosis.Open() && p.Diagnosis.Flapping == nil {
				rt.Fatal("the storage's own fault is open")
			}
		})
	})
}
