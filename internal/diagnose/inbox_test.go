package diagnose

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// sent is a delivery that can be told from others.
func sent(device string, says Saying, code int32, critical, droppable bool, n int) Delivery {
	o := say(device, says, code)
	o.Msg = fmt.Sprint(n)
	return Delivery{Observation: &o, Critical: critical, Droppable: droppable}
}

func takeAll(b *inbox) []string {
	var list []string
	for d, ok := b.take(); ok; d, ok = b.take() {
		name := "request"
		if o := d.Observation; o != nil {
			name = o.Device + " " + o.Msg
			if o.Repeats > 0 {
				name += fmt.Sprintf("+%d", o.Repeats)
			}
		}
		list = append(list, name)
	}
	return list
}

func TestInboxCriticalFirst(t *testing.T) {
	b := newInbox()
	b.put(sent("lamp", SaysFault, -4, false, false, 1))
	b.put(sent("plug", SaysFault, -4, false, false, 2))
	b.put(sent("oven", SaysFault, -7, true, false, 3)) // overtakes
	b.put(sent("lamp", SaysFault, -7, true, false, 4)) // must not overtake what lamp said before
	b.put(sent("oven", SaysSuccess, 0, false, false, 5))
	b.put(Delivery{Request: &Request{Verb: Forget}})
	want := []string{"oven 3", "request", "lamp 1", "plug 2", "lamp 4", "oven 5"}
	if got := takeAll(b); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A flood of critical faults, or of requests, does not hold up the rest for ever.
func TestInboxFlood(t *testing.T) {
	b := newInbox()
	for i := range 3 {
		b.put(sent(fmt.Sprint("lamp-", i), SaysFault, -4, false, false, i))
	}
	taken, n := []string{}, 0
	for ; len(taken) < 3 && n < 1000; n++ {
		for in := true; in && !b.first.full(); {
			in = b.put(sent(fmt.Sprint("oven-", n), SaysFault, -7, true, false, n))
		}
		if d, _ := b.take(); !d.Critical {
			taken = append(taken, d.device())
		}
	}
	if want := []string{"lamp-0", "lamp-1", "lamp-2"}; !slices.Equal(taken, want) {
		t.Errorf("%q of %d", taken, n)
	}
	b = newInbox()
	for i := range laneSize {
		b.put(sent("oven", SaysFault, -7, true, false, i))
	}
	b.put(sent("oven", SaysSuccess, 0, false, false, laneSize)) // its turn would come before theirs
	for i, name := range takeAll(b) {
		if want := fmt.Sprint("oven ", i); name != want {
			t.Fatalf("%q, want %q", name, want)
		}
	}
}

func TestInboxFull(t *testing.T) {
	b := newInbox()
	b.put(sent("qos-1", SaysFault, -4, false, false, 0))
	for i := range inboxSize - 1 {
		if !b.put(sent(fmt.Sprint("lamp-", i%100), SaysFault, -4, false, true, i)) {
			t.Fatalf("full after %d", i)
		}
	}
	for _, c := range []struct {
		what string
		d    Delivery
		in   bool
	}{
		{"the same once more", sent("lamp-7", SaysFault, -4, false, true, 5000), true},
		{"and again", sent("lamp-7", SaysFault, -4, false, true, 5001), true},
		{"the same, but to be acknowledged", sent("lamp-7", SaysFault, -4, false, false, 5002), false},
		{"the same as one to be acknowledged", sent("qos-1", SaysFault, -4, false, true, 5007), false},
		{"another code", sent("lamp-7", SaysFault, -7, false, true, 5003), false},
		{"a success", sent("lamp-7", SaysSuccess, 0, false, true, 5004), false},
		{"another device", sent("new", SaysFault, -4, false, true, 5005), false},
		{"a critical fault of another device", sent("new", SaysFault, -4, true, true, 5006), true},
		{"a request", Delivery{Request: &Request{Verb: Forget}}, true},
	} {
		if got := b.put(c.d); got != c.in {
			t.Errorf("%s is taken: %v", c.what, got)
		}
	}
	got := takeAll(b)
	if len(got) != inboxSize+2 || got[0] != "new 5006" || !slices.Contains(got, "lamp-7 5001+2") {
		t.Errorf("%d taken, first %q, merged %v", len(got), got[0], slices.Contains(got, "lamp-7 5001+2"))
	}
	if len(b.waiting) > 0 {
		t.Errorf("an empty inbox remembers %v", b.waiting)
	}
}

// Whatever comes in whatever order: of each device, what comes out is what
// went in, in that order, with merged ones counted.
func TestInboxKeepsOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newInbox()
		b.normal.ring, b.first.ring = make([]parcel, 4), make([]parcel, 2)
		in, out := map[string][]int32{}, map[string][]int32{}
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			if rapid.IntRange(0, 3).Draw(t, "take") == 0 {
				if d, ok := b.take(); ok {
					o := d.Observation
					for range o.Repeats + 1 {
						out[o.Device] = append(out[o.Device], o.Key.Code)
					}
				}
				continue
			}
			device := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "device")
			code := rapid.SampledFrom([]int32{-1, -2}).Draw(t, "code")
			d := sent(device, SaysFault, code, rapid.Bool().Draw(t, "critical"), rapid.Bool().Draw(t, "droppable"), 0)
			if b.put(d) {
				in[device] = append(in[device], code)
			}
		}
		for d, ok := b.take(); ok; d, ok = b.take() {
			o := d.Observation
			for range o.Repeats + 1 {
				out[o.Device] = append(out[o.Device], o.Key.Code)
			}
		}
		for device := range in {
			if !slices.Equal(in[device], out[device]) {
				t.Fatalf("%s: in %v, out %v", device, in[device], out[device])
			}
		}
	})
}

// BenchmarkInbox: a delivery in and out.
func BenchmarkInbox(b *testing.B) {
	box := newInbox()
	names := make([]Delivery, 100)
	for i := range names {
		names[i] = sent(fmt.Sprint("lamp-", i), SaysFault, -4, false, false, i)
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		for range 64 {
			box.put(names[n%len(names)])
			n++
		}
		for range 64 {
			box.take()
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/delivery")
}
