package mqtt

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"fieldmedic/internal/diagnose"
	"fieldmedic/test/mosquitto"
)

const (
	stateTopic = "diagnostics/gw/state"
	eventTopic = "diagnostics/gw/event"
	infoTopic  = "diagnostics/gw/info"
	markTopic  = "diagnostics/gw/self/watermark"
)

// sequence of the events that an app saw, without repeats. Whole: a number
// must be the next one, or one that was seen already.
func (a *app) sequence(whole bool) (seqs []int64, repeats int) {
	a.t.Helper()
	var highest int64
	for _, body := range a.payloads(eventTopic) {
		var e struct{ Seq int64 }
		if err := json.Unmarshal([]byte(body), &e); err != nil {
			a.t.Fatal(err)
		}
		if whole && e.Seq > highest+1 {
			a.t.Errorf("event %d came before %d", e.Seq, highest+1)
		}
		if e.Seq <= highest {
			repeats++
			continue
		}
		highest = e.Seq
		seqs = append(seqs, e.Seq)
	}
	return seqs, repeats
}

func TestLiveEventsStayInOrderThroughBrokerKills(t *testing.T) {
	for _, keeps := range []bool{false, true} {
		t.Run(fmt.Sprintf("persistence %v", keeps), func(t *testing.T) {
			opts := mosquitto.Options{}
			if keeps {
				opts.Lines = []string{"persistence true", "autosave_on_changes true", "autosave_interval 1", "max_queued_messages 0"}
			}
			l := startLive(t, opts)
			l.app = newApp(t, l.broker.URL(), "app", eventTopic)
			l.connect(statusSource(t))
			const all, step = 600, 20
			for added := 0; added < all; added += step {
				l.outbox.add(step)
				l.out.Publish(diagnose.Publication{Seq: int64(added + step)})
				time.Sleep(5 * time.Millisecond)
				if added%200 == 100 {
					l.restart(func() error { return l.broker.Kill() })
				}
			}
			eventually(t, "all events are acknowledged", func() bool { return l.outbox.Cursor() == all })
			eventually(t, "the last one is seen", func() bool { return strings.Contains(l.app.last(eventTopic), fmt.Sprint(all)) })
			seqs, repeats := l.app.sequence(keeps)
			if keeps && len(seqs) != all || len(seqs) < all/4 {
				t.Errorf("%d of %d events arrived", len(seqs), all)
			}
			t.Logf("%d of %d events in order, %d repeats", len(seqs), all, repeats)
		})
	}
}

// restart ends the broker and runs it again, until the app is back.
func (l *live) restart(end func() error) {
	l.t.Helper()
	before := l.app.subscribed.Load()
	if err := end(); err != nil {
		l.t.Fatal(err)
	}
	if err := l.broker.Run(); err != nil {
		l.t.Fatal(err)
	}
	eventually(l.t, "the app is back", func() bool { return l.app.subscribed.Load() > before })
}

func TestLiveCursorWaitsForAcknowledgements(t *testing.T) {
	l := startLive(t, mosquitto.Options{})
	l.proxy = startProxy(t, l.broker.Address())
	l.app = newApp(t, l.broker.URL(), "app", eventTopic)
	var told int
	l.change = func(l *live) { l.opts.Published = func(diagnose.LogEntry) { told++ } }
	stop := l.connect(statusSource(t))
	l.proxy.mute(true)
	l.outbox.add(5)
	l.out.Publish(diagnose.Publication{Seq: 5})
	eventually(t, "five events are sent", func() bool { return len(l.app.payloads(eventTopic)) == 5 })
	time.Sleep(50 * time.Millisecond)
	if l.outbox.Cursor() != 0 {
		t.Errorf("the cursor moved to %d without an acknowledgement", l.outbox.Cursor())
	}
	l.proxy.mute(false)
	l.proxy.cut()
	eventually(t, "the cursor follows", func() bool { return l.outbox.Cursor() == 5 })
	if got := len(l.app.payloads(eventTopic)); got != 10 {
		t.Errorf("%d events seen, want five twice", got)
	}
	stop()
	if told != 5 {
		t.Errorf("told of %d events, want 5", told)
	}
}

func TestLiveSnapshotsCoalesce(t *testing.T) {
	l := startLive(t, mosquitto.Options{})
	l.app = newApp(t, l.broker.URL(), "app", "diagnostics/gw/device/+")
	l.connect(statusSource(t))
	const all = 3000
	born := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for i := range all {
		l.out.Publish(diagnose.Publication{Snapshots: []diagnose.Snapshot{{Device: "x", Heard: true, UpdatedAt: born.Add(time.Duration(i) * time.Second)}}})
	}
	topic := "diagnostics/gw/device/x"
	last := diagnose.Stamp{Time: born.Add((all - 1) * time.Second)}.String()
	eventually(t, "the last snapshot is out", func() bool { return strings.Contains(l.app.last(topic), last) })
	before := ""
	for _, body := range l.app.payloads(topic) {
		var s diagnose.SnapshotJSON
		if err := json.Unmarshal([]byte(body), &s); err != nil {
			t.Fatal(err)
		}
		if at := s.UpdatedAt.String(); at <= before {
			t.Fatalf("%s after %s", at, before)
		} else {
			before = at
		}
	}
	if n := len(l.app.payloads(topic)); n == all {
		t.Errorf("all %d snapshots were sent", n)
	}
}

func TestWaitingSnapshotsCoalesce(t *testing.T) {
	p := NewPublisher(PublisherOptions{Base: "d", Gateway: "g", Server: Server{}})
	at := func(n int) diagnose.Snapshot {
		return diagnose.Snapshot{Device: "x", UpdatedAt: time.Unix(int64(n), 0)}
	}
	p.Publish(diagnose.Publication{Snapshots: []diagnose.Snapshot{at(0)}})
	if p.waiting.more() {
		t.Error("a snapshot is kept while there is no session")
	}
	p.waiting.open(newSession())
	p.Publish(diagnose.Publication{Snapshots: []diagnose.Snapshot{at(1)}})
	p.Publish(diagnose.Publication{Snapshots: []diagnose.Snapshot{at(2)}, Removed: []string{"x"}})
	p.Publish(diagnose.Publication{Snapshots: []diagnose.Snapshot{at(3)}})
	taken := p.waiting.dequeue(2)
	p.Publish(diagnose.Publication{Snapshots: []diagnose.Snapshot{at(4)}})
	p.waiting.putBack(taken[1:])
	got := fmt.Sprint(taken[0].snapshot.UpdatedAt.Unix())
	for _, o := range p.waiting.dequeue(9) {
		got += fmt.Sprint(" ", o.snapshot.UpdatedAt.Unix(), o.empty)
	}
	if want := fmt.Sprint("2 ", time.Time{}.Unix(), " true 4 false"); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	p.waiting.open(nil)
	if p.waiting.more() || len(p.waiting.latest) != 0 {
		t.Error("snapshots are kept for a session that is gone")
	}
}

func TestLiveWillAndState(t *testing.T) {
	l := startLive(t, mosquitto.Options{})
	l.proxy = startProxy(t, l.broker.Address())
	l.app = newApp(t, l.broker.URL(), "app", stateTopic)
	l.tune = func(l *live) { l.out.stateEvery = 20 * time.Millisecond }
	stop := l.connect(statusSource(t))
	eventually(t, "the state is renewed", func() bool { return len(l.app.payloads(stateTopic)) > 3 })
	states := l.app.payloads(stateTopic)
	if states[1] == states[2] || strings.Contains(strings.Join(states, ""), "offline") {
		t.Errorf("renewed states %q", states)
	}
	l.app.forget()
	l.proxy.cut()
	eventually(t, "the will speaks, then online again", func() bool {
		states := strings.Join(l.app.payloads(stateTopic), " ")
		will := strings.Index(states, `{"state":"offline","epoch":"e1","client_id":"agent","expires_at":null,"ttl_s":180,"faults":[]}`)
		return will >= 0 && strings.LastIndex(states, "online") > will
	})
	stop()
	eventually(t, "offline is said", func() bool { return strings.Contains(l.app.last(stateTopic), "offline") })
	n := strings.Count(strings.Join(l.app.payloads(stateTopic), " "), "offline")
	time.Sleep(50 * time.Millisecond)
	if later := strings.Count(strings.Join(l.app.payloads(stateTopic), " "), "offline"); n != 2 || later != n {
		t.Errorf("offline was said %d times, then %d: the will spoke after a clean stop", n, later)
	}
}

func TestLiveInfo(t *testing.T) {
	l := startLive(t, mosquitto.Options{})
	l.proxy = startProxy(t, l.broker.Address())
	l.app = newApp(t, l.broker.URL(), "app", infoTopic)
	set := func(version int) {
		if err := l.out.SetInfo(map[string]int{"version": version}); err != nil {
			t.Fatal(err)
		}
	}
	l.tune = func(*live) { set(1) }
	l.connect(statusSource(t))
	eventually(t, "info is out", func() bool { return len(l.app.payloads(infoTopic)) == 1 })
	set(1)
	l.cut()
	set(2)
	eventually(t, "info is out again", func() bool { return l.app.last(infoTopic) == `{"version":2}` })
	if got := l.app.payloads(infoTopic); len(got) != 2 {
		t.Errorf("info was published %d times: %q", len(got), got)
	}
}
