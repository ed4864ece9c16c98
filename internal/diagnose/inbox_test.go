package diagnose

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// parcel is a delivery that can be told from others.
func parcel(device string, says Saying, code int32, critical, droppable bool, n int) Delivery {
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
	b.put(parcel("lamp", SaysFault, -4, false, false, 1))
	b.put(parcel("plug", SaysFault, -4, false, false, 2))
	b.put(parcel("oven", SaysFault, -7, true, false, 3)) // overtakes
	b.put(parcel("lamp", SaysFault, -7, true, false, 4)) // must not overtake what lamp said before
	b.put(parcel("oven", SaysSuccess, 0, false, false, 5))
	b.put(Delivery{Request: &Request{Verb: Forget}})
	want := []string{"oven 3", "request", "lamp 1", "plug 2", "lamp 4", "oven 5"}
	if got := takeAll(b); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestInboxFull(t *testing.T) {
	b := newInbox()
	for i := range inboxSize {
		if !b.put(parcel(fmt.Sprint("lamp-", i%100), SaysFault, -4, false, true, i)) {
			t.Fatalf("full after %d", i)
		}
	}
	for _, c := range []struct {
		what string
		d    Delivery
		in   bool
	}{
		{"the same once more", parcel("lamp-7", SaysFault, -4, false, true, 5000), true},
		{"and again", parcel("lamp-7", SaysFault, -4, false, true, 5001), true},
		{"the same, but to be acknowledged", parcel("lamp-7", SaysFault, -4, false, false, 5002), false},
		{"another code", parcel("lamp-7", SaysFault, -7, false, true, 5003), false},
		{"a success", parcel("lamp-7", SaysSuccess, 0, false, true, 5004), false},
		{"another device", parcel("new", SaysFault, -4, false, true, 5005), false},
		{"a critical fault of another device", parcel("new", SaysFault, -4, true, true, 5006), true},
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
		b.normal.ring, b.first.ring = make([]Delivery, 4), make([]Delivery, 2)
		in, out := map[string][]int32{}, map[string][]int32{}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
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
			d := parcel(device, SaysFault, code, rapid.Bool().Draw(t, "critical"), rapid.Bool().Draw(t, "droppable"), 0)
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
