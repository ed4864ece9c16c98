package diagnose_test

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"fieldmedic/internal/diagnose"
	"fieldmedic/internal/rules"
)

// memory is a journal that forgets.
type memory struct{}

func (memory) Commit(context.Context, *diagnose.Batch) error { return nil }

func (memory) Recover(context.Context) (diagnose.Restored, error) { return diagnose.Restored{}, nil }

func shippedRules(b *testing.B) *rules.Set {
	b.Helper()
	set, err := rules.Load(rules.Options{})
	if err != nil {
		b.Fatal(err)
	}
	return set
}

// site is an engine with a loop around it. What is shown is encoded at once,
// as by a publisher that keeps up.
type site struct {
	*diagnose.Loop
	engine *diagnose.Engine
	stop   context.CancelFunc
	ended  chan error
	room   chan struct{}
}

func startSite(b *testing.B, set *rules.Set, encode bool) *site {
	b.Helper()
	n := 0
	newID := func(time.Time) string { n++; return fmt.Sprintf("019a8f10-0000-7000-8000-%012d", n) }
	s := &site{ended: make(chan error, 1), room: make(chan struct{}, 256)}
	s.engine = diagnose.NewEngine(diagnose.Options{Gateway: "bench", Rules: set, NewID: newID})
	s.Loop = diagnose.NewLoop(diagnose.LoopOptions{
		Engine: s.engine, Journal: memory{}, Words: set, Epoch: func() string { return "00000000-0000-4000-8000-000000000000" }, Now: time.Now,
		EventID: func(seq int64) string { return fmt.Sprintf("00000000-0000-5000-8000-%012d", seq) },
		Publish: func(p diagnose.Publication) {
			for i := range p.Snapshots {
				if !encode {
					continue
				}
				if _, err := p.Snapshots[i].Encode("bench", set); err != nil {
					b.Error(err)
				}
			}
		},
		Refused: func(r diagnose.RefusedInput) { b.Error(r.Reason) },
		Turned:  func(diagnose.Turn) {},
	})
	ctx, stop := context.WithCancel(b.Context())
	s.stop = stop
	go func() { s.ended <- s.Run(ctx) }()
	return s
}

// send hands over a message, and waits while too many are under way.
func (s *site) send(b *testing.B, o diagnose.Observation) {
	s.room <- struct{}{}
	if !s.Deliver(diagnose.Delivery{Observation: &o, Ack: func() { <-s.room }}) {
		b.Fatal("the inbox is full")
	}
}

func (s *site) end(b *testing.B) {
	b.Helper()
	for range cap(s.room) {
		s.room <- struct{}{}
	}
	s.stop()
	if err := <-s.ended; err != nil {
		b.Fatal(err)
	}
}

func fault(device, code int) diagnose.Observation {
	return diagnose.Observation{
		Device: "fresh-" + strconv.Itoa(device), Source: "status", At: time.Now(), Says: diagnose.SaysFault,
		Key: diagnose.Key{Producer: diagnose.ProducerDNA, Code: int32(code)}, CodeRaw: strconv.Itoa(code), Msg: "failed",
	}
}

// BenchmarkFreshFault: the first fault of a device, decided and encoded as
// event and snapshot; without the store and the broker.
func BenchmarkFreshFault(b *testing.B) {
	set := shippedRules(b)
	b.Run("event", func(b *testing.B) { freshFaults(b, set, false) })
	b.Run("event+snapshot", func(b *testing.B) { freshFaults(b, set, true) })
}

func freshFaults(b *testing.B, set *rules.Set, encode bool) {
	b.ReportAllocs()
	s, n := startSite(b, set, encode), 0
	for b.Loop() {
		if n == diagnose.MaxDevices {
			b.StopTimer()
			s.end(b)
			s, n = startSite(b, set, encode), 0
			b.StartTimer()
		}
		s.send(b, fault(n, -4013))
		n++
	}
	s.end(b)
}

// BenchmarkSnapshot: a device's snapshot with three faults open, encoded.
func BenchmarkSnapshot(b *testing.B) {
	set := shippedRules(b)
	s := startSite(b, set, false)
	for _, code := range []int{-4013, -7, -3} {
		s.send(b, fault(0, code))
	}
	s.end(b)
	snapshot, _ := s.engine.Snapshot("fresh-0")
	if len(snapshot.Diagnoses) != 3 {
		b.Fatalf("%d diagnoses", len(snapshot.Diagnoses))
	}
	b.ReportAllocs()
	for b.Loop() {
		body, err := snapshot.Encode("bench", set)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(body)))
	}
}

// BenchmarkDevices: the live heap that a device with one fault takes, heard by
// this engine, or restored by it from what another one stored.
func BenchmarkDevices(b *testing.B) {
	set := shippedRules(b)
	b.Run("heard", func(b *testing.B) {
		for b.Loop() {
			before := liveHeap()
			e := heard(b, set)
			b.ReportMetric(float64(liveHeap()-before)/diagnose.MaxDevices, "bytes/device")
			runtime.KeepAlive(e)
		}
	})
	b.Run("restored", func(b *testing.B) {
		var rows [][]byte
		first := heard(b, set)
		for n := range diagnose.MaxDevices {
			rec, _ := first.Record("fresh-" + strconv.Itoa(n))
			row, err := rec.Problems[0].AppendJSON(nil)
			if err != nil {
				b.Fatal(err)
			}
			rows = append(rows, row)
		}
		for b.Loop() {
			before := liveHeap()
			e := diagnose.NewEngine(diagnose.Options{Gateway: "bench", Rules: set})
			e.Restore(time.Now(), restored(b, rows))
			b.ReportMetric(float64(liveHeap()-before)/diagnose.MaxDevices, "bytes/device")
			runtime.KeepAlive(e)
		}
	})
}

func heard(b *testing.B, set *rules.Set) *diagnose.Engine {
	b.Helper()
	s := startSite(b, set, false)
	for n := range diagnose.MaxDevices {
		s.send(b, fault(n, -4013))
	}
	s.end(b)
	if n := s.engine.Devices(); n != diagnose.MaxDevices {
		b.Fatalf("%d devices", n)
	}
	return s.engine
}

func restored(b *testing.B, rows [][]byte) diagnose.Restored {
	b.Helper()
	var r diagnose.Restored
	for _, row := range rows {
		rec := diagnose.DeviceRecord{Sources: []string{"status"}, Problems: make([]diagnose.Problem, 1)}
		if err := json.Unmarshal(row, &rec.Problems[0]); err != nil {
			b.Fatal(err)
		}
		rec.ID = strings.Clone(string(rec.Problems[0].Diagnosis.Device))
		r.Devices = append(r.Devices, rec)
	}
	return r
}

func liveHeap() int64 {
	runtime.GC()
	runtime.GC() // what cleanups let go of, too
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
