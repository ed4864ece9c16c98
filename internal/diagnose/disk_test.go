package diagnose

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
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
	broken     bool // the last commit failed
	mu         sync.Mutex
}

func newDisk() *disk {
	return &disk{
		restored: Restored{Seq: 40}, bodies: map[int64]string{}, devices: map[string]map[string]Problem{}, records: map[string]DeviceRecord{},
	}
}

func (d *disk) Commit(_ context.Context, b *Batch) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.commits++
	if d.fail == nil || d.late {
		d.keep(b)
	}
	d.broken = d.fail != nil
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
	d.mu.Lock()
	defer d.mu.Unlock()
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

// onDisk is a loop on a disk, with what it said.
type onDisk struct {
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

func startOn(t *testing.T, d *disk) *onDisk {
	t.Helper()
	s := &onDisk{t: t, disk: d, ended: make(chan error, 1)}
	s.Loop = NewLoop(LoopOptions{
		Engine:  NewEngine(Options{Gateway: "gw", Rules: newBook(), NewID: counter()}),
		Journal: d, Words: plainWords{},
		Publish: func(p Publication) {
			if p.Seq > d.restored.Seq {
				t.Errorf("events up to %d may be published, the journal has %d", p.Seq, d.restored.Seq)
			}
			s.pubs = append(s.pubs, p)
		},
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

func (s *onDisk) send(name string, o Observation) {
	s.t.Helper()
	o.At = time.Now()
	if !s.Deliver(Delivery{Observation: &o, Ack: func() { s.acks = append(s.acks, name) }}) {
		s.t.Fatalf("the inbox is full at %s", name)
	}
	synctest.Wait()
}

// sleep lets the loop go on for a while, knowing what the test did: a timer
// alone does not order that for the race detector.
func (s *onDisk) sleep(d time.Duration) {
	s.disk.mu.Lock()
	s.disk.mu.Unlock() //nolint:staticcheck // it is the order that counts
	time.Sleep(d)
	synctest.Wait()
}

func (s *onDisk) end() {
	s.t.Helper()
	s.stop()
	if err := <-s.ended; err != nil {
		s.t.Fatal(err)
	}
}

var errNoSpace = errors.New("no space left")

func full() error { return &JournalError{StorageFull, errNoSpace} }
