package diagnose

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// walk is a broker of QoS 1, a loop and a disk that fails at random.
type walk struct {
	*onDisk
	rt   *rapid.T
	sent []Observation // in order
	// acked counts those that were acknowledged, and last is what each device
	// said last. given counts deliveries, repeated ones included, by device and
	// what it said.
	acked int
	last  map[string]Saying
	given map[string]map[Saying]int
}

// deliver sends what is not acknowledged, as a broker does after a connection
// was cut.
func (w *walk) deliver() {
	for i := w.acked; i < len(w.sent); i++ {
		o := w.sent[i]
		o.At = time.Now()
		if w.given[o.Device] == nil {
			w.given[o.Device] = map[Saying]int{}
		}
		w.given[o.Device][o.Says]++
		w.Deliver(Delivery{Observation: &o, Ack: func() {
			if w.acked != i || w.disk.broken {
				w.rt.Fatalf("acknowledged %d, the next is %d; the last commit failed: %v", i, w.acked, w.disk.broken)
			}
			w.acked++
		}})
	}
	synctest.Wait()
}

func (w *walk) step() {
	switch rapid.IntRange(0, 5).Draw(w.rt, "what") {
	case 0:
		w.disk.fail = &JournalError{rapid.SampledFrom([]StorageFault{StorageFull, StorageFailed}).Draw(w.rt, "fault"), errNoSpace}
		w.disk.late = rapid.Bool().Draw(w.rt, "late")
	case 1:
		w.disk.fail, w.disk.late = nil, false
	case 2:
		w.sleep(rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second, 5 * time.Second}).Draw(w.rt, "wait"))
		if w.failure == nil {
			w.deliver()
		}
	default:
		device := rapid.SampledFrom([]string{"lamp", "plug"}).Draw(w.rt, "device")
		says := rapid.SampledFrom([]Saying{SaysFault, SaysFault, SaysSuccess, SaysSuccess, SaysRemoved}).Draw(w.rt, "says")
		o := say(device, says, 0)
		if says == SaysFault {
			o = say(device, says, -7)
		}
		w.last[device] = says
		w.sent = append(w.sent, o)
		if w.failure == nil && w.acked == len(w.sent)-1 {
			w.deliver()
		}
	}
}

// Whatever fails, before or after it is durable: what is acknowledged is in
// the journal, numbers grow by one (the disk sees to that), what the journal
// says in the end is what the devices' last words were, its events tell a story
// that was, and what is shown is what the journal has.
func TestLoopOnABadDisk(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			w := &walk{onDisk: startOn(t, newDisk()), rt: rt, last: map[string]Saying{}, given: map[string]map[Saying]int{}}
			for range rapid.IntRange(1, 30).Draw(rt, "steps") {
				w.step()
			}
			w.disk.fail, w.disk.late = nil, false
			w.sleep(2 * mostAgain)
			w.deliver()
			w.end()
			if w.acked != len(w.sent) {
				rt.Fatalf("%d of %d are acknowledged", w.acked, len(w.sent))
			}
			w.checkLast()
			w.checkEvents()
			w.checkShown()
		})
	})
}

func (w *walk) checkLast() {
	for device, says := range w.last {
		p, ok := w.disk.devices[device]["session-expired"]
		open := ok && p.Diagnosis.Open()
		if ok && p.Diagnosis.Flapping != nil {
			open = p.Faulty // a success does not end it
		}
		if _, known := w.disk.records[device]; known == (says == SaysRemoved) || open != (says == SaysFault) {
			w.rt.Fatalf("%s is known: %v, open: %v, its last word is %v; journal %q", device, known, open, says, w.disk.events(w.t))
		}
	}
	for _, fault := range []StorageFault{StorageFull, StorageFailed} {
		if p, ok := w.disk.devices[""][string(fault)]; ok && p.Diagnosis.Open() && p.Diagnosis.Flapping == nil {
			w.rt.Fatalf("%s is open", fault)
		}
	}
}

// checkEvents looks for events without a cause: of each problem they alternate,
// and there are no more of them than words that bring them about.
func (w *walk) checkEvents() {
	open, count := map[string]bool{}, map[string]int{}
	for _, ev := range w.disk.events(w.t) {
		f := strings.Split(ev, " ")
		device, what, condition := f[0], f[1], f[2]
		if what == string(Changed) {
			continue
		}
		if id := device + " " + condition; open[id] != (what == string(Cleaned)) {
			w.rt.Fatalf("%q out of order in %q", ev, w.disk.events(w.t))
		} else {
			open[id] = what == string(Raised)
		}
		count[device+" "+what]++
	}
	for device := range w.last {
		given := w.given[device]
		raised, ended := count[device+" "+string(Raised)], count[device+" "+string(Cleaned)]
		if raised > given[SaysFault] || ended > given[SaysSuccess]+given[SaysRemoved] {
			w.rt.Fatalf("%s: %v was said, raised %d, cleared %d", device, given, raised, ended)
		}
	}
}

func (w *walk) checkShown() {
	shown := atBroker(w.pubs)
	for id, what := range shown {
		var ds []Diagnosis
		for _, p := range w.disk.devices[id] {
			ds = append(ds, p.Diagnosis)
		}
		if _, ok := w.disk.records[id]; !ok || standing(ds) != what {
			w.rt.Fatalf("of %q the broker retains %q, the journal has %q (known: %v)", id, what, standing(ds), ok)
		}
	}
	for id := range w.disk.records {
		if _, ok := shown[id]; !ok {
			w.rt.Fatalf("%q was never shown", id)
		}
	}
}
