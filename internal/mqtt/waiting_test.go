package mqtt

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"fieldmedic/internal/diagnose"
	"fieldmedic/test/mosquitto"
)

// broken is a snapshot as that of a device with one fault.
func broken(i int) diagnose.Snapshot {
	s := snapshotAt(fmt.Sprintf("device-%05d", i), time.Now())
	s.Diagnoses = []diagnose.Diagnosis{{
		ID: fmt.Sprintf("01960000-0000-7000-8000-%012d", i), Condition: "control-key-invalid", Msg: strings.Repeat("m", 64),
		Causes: make([]diagnose.RankedCause, 3), Status: diagnose.Confirmed,
	}}
	return s
}

// heapOf is how much more memory is in use after f.
func heapOf(f func()) int64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f()
	runtime.GC()
	runtime.ReadMemStats(&after)
	return int64(after.HeapAlloc) - int64(before.HeapAlloc)
}

// TestWaitingSnapshotsAreSmall: a site of 10,000 devices that break while the
// broker takes nothing.
func TestWaitingSnapshotsAreSmall(t *testing.T) {
	fill := func(ask func(context.Context, string) (diagnose.Snapshot, bool, error)) (*Publisher, int64) {
		p := NewPublisher(PublisherOptions{Base: "d", Gateway: "g", Log: slog.New(slog.DiscardHandler), Snapshot: ask})
		p.waiting.open(newSession())
		return p, heapOf(func() {
			for range 3 {
				for i := range diagnose.MaxDevices {
					p.Publish(diagnose.Publication{Snapshots: []diagnose.Snapshot{broken(i)}})
				}
			}
		})
	}
	all, before := fill(nil)
	few, after := fill(func(context.Context, string) (diagnose.Snapshot, bool, error) { return diagnose.Snapshot{}, false, nil })
	t.Logf("%d KiB with copies, %d KiB with ids", before>>10, after>>10)
	if after*4 > before {
		t.Errorf("%d bytes with ids, %d with copies", after, before)
	}
	if few.waiting.copies != maxCopies || all.waiting.copies != diagnose.MaxDevices {
		t.Errorf("%d and %d copies are held", few.waiting.copies, all.waiting.copies)
	}
	few.Publish(diagnose.Publication{Snapshots: []diagnose.Snapshot{broken(9_999), snapshotAt("", time.Now())}, Removed: []string{"device-09999"}})
	held := map[diagnose.DeviceID]int{}
	for {
		batch := few.waiting.dequeue(100)
		if len(batch) == 0 {
			break
		}
		for _, o := range batch {
			if !o.bare && !o.empty {
				held[o.snapshot.Device]++
			}
		}
	}
	if held["device-09999"] != 1 || held[""] != 1 || len(held) != maxCopies+2 || few.waiting.copies != 0 {
		t.Errorf("what the store does not have is not held: %d held, %d counted", len(held), few.waiting.copies)
	}
}

// TestLiveSnapshotsOfTheStore: those that were not held are read when they are
// sent.
func TestLiveSnapshotsOfTheStore(t *testing.T) {
	l := startLive(t, mosquitto.Options{Lines: []string{"max_queued_messages 0"}})
	l.app = newApp(t, l.broker.URL(), "app", deviceTopics+"+")
	l.change = func(l *live) {
		l.opts.Snapshot = func(_ context.Context, id string) (diagnose.Snapshot, bool, error) {
			return diagnose.Snapshot{Device: diagnose.DeviceID(id), Heard: true, UpdatedAt: time.Unix(7, 0)}, id != "device-01500", nil
		}
	}
	l.connect(statusSource(t))
	const all = 2000
	var pub diagnose.Publication
	for i := range all {
		pub.Snapshots = append(pub.Snapshots, broken(i))
	}
	l.out.Publish(pub)
	eventually(t, "all but the one that is gone are out", func() bool { return len(l.app.topics()) == all-1 })
	if strings.Contains(l.app.last(deviceTopics+"device-00003"), "00:07") || !strings.Contains(l.app.last(deviceTopics+"device-01999"), "1970-01-01T00:00:07") {
		t.Error("the first are copies, and the last as the store has them")
	}
}

// TestLiveReconnectSetsNothing: what did not change is not published again, so
// that the queue of an app that is away does not overflow.
func TestLiveReconnectSetsNothing(t *testing.T) {
	l := startLive(t, mosquitto.Options{Lines: []string{"max_queued_messages 100"}})
	l.proxy = startProxy(t, l.broker.Address())
	for i := range 500 {
		l.shown = append(l.shown, snapshotAt(fmt.Sprintf("d%03d", i), time.Now()))
	}
	l.connect(statusSource(t))
	l.app = newApp(t, l.broker.URL(), "app", "diagnostics/#")
	time.Sleep(200 * time.Millisecond) // what is retained comes first
	l.app.forget()
	for range 3 {
		l.cut()
	}
	time.Sleep(100 * time.Millisecond)
	for _, topic := range l.app.topics() {
		if topic != stateTopic && !strings.HasPrefix(topic, "diagnostics/gw/self/") {
			t.Errorf("published again on %s", topic)
		}
	}
}

// TestLiveAdopt: what the broker retains is offered to a store that lost it,
// before it is retracted.
func TestLiveAdopt(t *testing.T) {
	l := startLive(t, mosquitto.Options{Lines: []string{"max_queued_messages 0"}})
	l.app = newApp(t, l.broker.URL(), "app", deviceTopics+"+")
	large := strings.Repeat("x", 60<<10)
	const all = 90
	for i := range all { // more than is kept at once
		l.app.publish(fmt.Sprint(deviceTopics, "lost%20", i), 1, true, fmt.Sprintf(`{"schema":"1","n":%d,"x":%q}`, i, large))
	}
	eventually(t, "they are retained", func() bool { return len(l.app.topics()) == all })
	l.app.forget()
	offered := map[string]string{}
	l.change = func(l *live) {
		l.opts.Adopt = func(_ context.Context, device string, body []byte) bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			if _, again := offered[device]; !again {
				l.shown = append(l.shown, snapshotAt(device, time.Unix(int64(len(offered)), 0)))
			}
			offered[device] = string(body)
			return true
		}
	}
	l.connect(statusSource(t))
	if len(offered) != all || !strings.HasPrefix(offered["lost 7"], `{"schema":"1","n":7,`) {
		t.Errorf("%d of %d were offered", len(offered), all)
	}
	eventually(t, "each is published as it is now", func() bool { return len(l.app.topics()) == all })
	if last := l.app.last(deviceTopics + "lost%2089"); !strings.Contains(last, `"device":"lost 89"`) {
		t.Errorf("an adopted one: %.80s", last)
	}
}

// TestLiveFormerTopics: what lies under a base topic or gateway id of an earlier
// run is retracted, once, and only when it is ours.
func TestLiveFormerTopics(t *testing.T) {
	l := startLive(t, mosquitto.Options{})
	l.app = newApp(t, l.broker.URL(), "app", "#")
	soon := time.Now().Add(time.Minute)
	roots := map[string]string{
		"old/gw/":         stateOf("online", "e0", "agent", soon),
		"diagnostics/g0/": stateOf("offline", "e1", "agent-of-g0", time.Time{}),
		"their/gw/":       stateOf("online", "e9", "another", soon),
		"left/gw/":        stateOf("offline", "e9", "another", time.Time{}),
	}
	sent := 0
	for root, state := range roots {
		for topic, body := range map[string]string{
			"state": state, "info": `{"version":"1"}`, "self/watermark": `{"epoch":"e0","seq":1}`,
			"site": `{"schema":"1"}`, "device/state": `{"schema":"1","device":"state"}`, "device/a%20b": `{"schema":"1"}`,
		} {
			l.app.publish(root+topic, 1, true, body)
			sent++
		}
	}
	eventually(t, "all are retained", func() bool { return len(l.app.topics()) == sent })
	var cleaned []string
	l.change = func(l *live) {
		l.opts.Former = []string{"nothing/here/", "old/gw/", "diagnostics/g0/", "their/gw/", "left/gw/", "diagnostics/gw/"}
		l.opts.Cleaned = func(root string) { cleaned = append(cleaned, root) }
	}
	l.connect(statusSource(t))
	if len(cleaned) != 6 {
		t.Errorf("cleaned: %q", cleaned)
	}
	left := newApp(t, l.broker.URL(), "left", "#")
	time.Sleep(200 * time.Millisecond)
	var topics []string
	for _, topic := range left.topics() {
		if !strings.HasPrefix(topic, "diagnostics/gw/") {
			topics = append(topics, topic)
		}
	}
	if len(topics) != 12 || strings.Contains(strings.Join(topics, " "), "old/") || strings.Contains(strings.Join(topics, " "), "g0/") {
		t.Errorf("left: %q", topics)
	}
	device := l.app.payloads("old/gw/device/state")
	if n := len(device); n != 3 || !strings.Contains(device[1], `"health":"ok"`) || device[2] != "" {
		t.Errorf("a device's topic went as %q", device)
	}
}
