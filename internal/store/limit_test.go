package store

import (
	"context"
	"reflect"
	"strings"
	"testing"
	"time"

	"fieldmedic/internal/diagnose"
)

// accounted holds that the log has each number up to the last, or a "dropped"
// that stands for it, and tells how many of each kind there are.
func (f *fixture) accounted(t *testing.T, from int64) (critical, other, dropped int64) {
	t.Helper()
	list := f.all(t)
	for seq := from; seq <= f.Seq(); seq++ {
		e, ok := list[seq]
		switch {
		case !ok:
			t.Fatalf("number %d is neither there nor dropped", seq)
		case e.Type == diagnose.Dropped:
			end := endOf(e.Body)
			dropped += end - seq + 1
			seq = end
		case e.Severity == diagnose.Critical:
			critical++
		default:
			other++
		}
	}
	return critical, other, dropped
}

// Nobody publishes: the store keeps its size all the same, gives up what is not
// critical first, and accounts for every number.
func TestFullOutboxKeepsItsSize(t *testing.T) {
	var told int64
	f := openWith(t, t.TempDir(), func(o *Options) {
		o.MaxSize = 4 << 20
		o.Lost = func(n int64) { told += n }
	})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go func() { _ = f.Run(ctx) }() // it is ended by stop
	a := acts{eventID: f.EventID, epoch: f.Epoch()}
	slowest, largest := time.Duration(0), int64(0)
	f.commit(t, a.next(30))
	sent := f.after(t, 0, 20) // these are on their way
	for a.seq < 20_000 {
		b := a.next(64)
		begin := time.Now()
		f.commit(t, b)
		slowest = max(slowest, time.Since(begin))
		largest = max(largest, f.taken())
		if largest > f.opts.MaxSize {
			t.Fatalf("after event %d the store takes %d bytes of %d", a.seq, largest, f.opts.MaxSize)
		}
	}
	t.Logf("slowest commit %v, largest size %d", slowest, largest)
	critical, other, dropped := f.accounted(t, 1)
	if dropped != told || dropped+critical+other != a.seq {
		t.Errorf("%d dropped, %d told, %d critical and %d other are there, of %d", dropped, told, critical, other, a.seq)
	}
	if critical < 2*other {
		t.Errorf("%d critical events are there, and %d others", critical, other)
	}
	for _, e := range f.after(t, 0, 20) {
		if e.Seq != sent[0].Seq || e.Type == diagnose.Dropped {
			t.Errorf("event %d was on its way and was given up", sent[0].Seq)
		}
		sent = sent[1:]
	}
	before := f.all(t)
	stop()
	if again := f.reopen(t); !reflect.DeepEqual(again.all(t), before) || again.Opened().Lossy() {
		t.Errorf("memory and file differ, or the start finds a loss: %s", again.Opened())
	}
}

// What is published goes before anything that is not.
func TestPublishedGoesFirst(t *testing.T) {
	f := openWith(t, t.TempDir(), func(o *Options) { o.MaxSize = 4 << 20 })
	a := acts{eventID: f.EventID, epoch: f.Epoch()}
	for a.seq < 10_000 {
		f.commit(t, a.next(64))
		f.Published(a.seq - 1000)
	}
	if _, _, dropped := f.accounted(t, f.Cursor()+1); dropped > 0 {
		t.Errorf("%d events were given up though published ones could have gone", dropped)
	}
	if f.taken() > 4<<20 {
		t.Errorf("the store takes %d bytes", f.taken())
	}
}

// Critical events go when there is nothing else, neighbours as one.
func TestCriticalGoesLast(t *testing.T) {
	f := openWith(t, t.TempDir(), func(o *Options) { o.MaxSize = 1 << 20 })
	for from := int64(1); from <= 3000; from += 50 {
		list := f.entries(from, from+49, 1000)
		for i := range list {
			list[i].Severity = diagnose.Critical
		}
		f.commit(t, diagnose.Batch{Entries: list})
	}
	critical, _, dropped := f.accounted(t, 1)
	first := f.after(t, 0, 2)
	if critical < 200 || dropped+critical != 3000 || first[0].Type != diagnose.Dropped || first[1].Type == diagnose.Dropped {
		t.Errorf("%d critical events, %d dropped, begins with %v %v", critical, dropped, first[0].Type, first[1].Type)
	}
}

// A bound that falls is reached without a commit.
func TestShrinksToANewBound(t *testing.T) {
	f := openWith(t, t.TempDir(), nil)
	a := acts{eventID: f.EventID, epoch: f.Epoch()}
	for a.seq < 5000 {
		f.commit(t, a.next(200))
	}
	f.limit.Store(2 << 20)
	if err := f.keepSmall(t.Context()); err != nil {
		t.Fatal(err)
	}
	if f.taken() > 2<<20 {
		t.Errorf("the store takes %d bytes", f.taken())
	}
	f.accounted(t, 1)
}

// State is kept whatever the bound.
func TestStateAloneIsKept(t *testing.T) {
	f := openWith(t, t.TempDir(), func(o *Options) { o.MaxSize = 1 << 20 })
	a := acts{eventID: f.EventID, epoch: f.Epoch()}
	for range 60 {
		b := a.next(60)
		for i := range b.Devices {
			b.Devices[i].ID = b.Entries[i].EventID // each another device
			b.Entries[i].Device = b.Devices[i].ID
		}
		f.commit(t, b)
	}
	r, err := f.Restore(t.Context())
	if err != nil || len(r.Devices) != 3600 {
		t.Errorf("%d devices (%v)", len(r.Devices), err)
	}
	if n := strings.Count(f.log.String(), "takes more than the store may"); n != 1 {
		t.Errorf("said %d times: %s", n, f.log)
	}
}

func TestTrimByAgeGoesByTheOrderOfTheLog(t *testing.T) {
	hour := time.Hour.Milliseconds()
	for _, c := range []struct {
		name  string
		at    []int64 // hours before now
		floor int64
	}{
		{"in order", []int64{9, 8, 7, 1, 0}, 3},
		{"one from 1970 behind a young one", []int64{9, 1, 500_000, 0}, 1},
		{"one from the future among old ones", []int64{9, -99, 8, 1}, 3},
		{"one from the future behind old ones", []int64{9, -99, 1}, 2},
		{"nothing but the future", []int64{-99, -98}, 0},
	} {
		var list []outRow
		now := 1_000_000 * hour
		for i, h := range c.at {
			list = append(list, outRow{Range: Range{int64(i + 1), int64(i + 1)}, at: now - h*hour})
		}
		got := cut{}
		if old(list, now, now-5*hour, &got); got.floor != c.floor {
			t.Errorf("%s: floor %d, want %d", c.name, got.floor, c.floor)
		}
	}
}

func TestSuspectClockTrimsNothing(t *testing.T) {
	suspect := true
	f := openWith(t, t.TempDir(), func(o *Options) { o.ClockSuspect = func() bool { return suspect } })
	f.commit(t, diagnose.Batch{Entries: f.entries(1, 10, 10)})
	f.Published(10)
	later := noon.Add(1000 * time.Hour)
	for _, want := range []int{10, 0} {
		if err := f.Trim(t.Context(), later); err != nil {
			t.Fatal(err)
		}
		if got := len(f.all(t)); got != want {
			t.Errorf("suspect %v: %d rows are left, want %d", suspect, got, want)
		}
		suspect = false
	}
}

// Neighbours that were given up one after the other become one, unless the
// publisher may have passed the first.
func TestDroppedRunsMerge(t *testing.T) {
	rows := func(spec string) (list []outRow) {
		seq := int64(1)
		for _, r := range spec {
			row := outRow{Range: Range{seq, seq}, critical: r == 'c', dropped: r == 'd', bytes: 10}
			if row.dropped {
				row.To += 4
			}
			seq = row.To + 1
			list = append(list, row)
		}
		return list
	}
	for _, c := range []struct {
		rows     string
		critical bool
		bytes    int64
		want     string
	}{
		{"ooo", false, 20, "1-2 "},
		{"oco", false, 20, "1 3 "},
		{"oco", true, 30, "1-3 "},
		{"doo", false, 10, "1-6 "},
		{"od", false, 10, "1-6 "},
		{"dco", false, 10, "7 "},
		{"cdc", true, 20, "1-7 "},
		{"dd", false, 10, ""},
	} {
		got, out := "", cut{}
		for _, r := range out.choose(rows(c.rows), c.critical, c.bytes) {
			got += r.String() + " "
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.rows, got, c.want)
		}
	}
}
