package mqtt

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fieldmedic/internal/diagnose"
	"fieldmedic/test/mosquitto"
)

// publish adds events and tells of them.
func (l *live) publish(n int) {
	l.outbox.add(n)
	l.out.Publish(diagnose.Publication{Seq: l.outbox.Seq()})
}

func TestLiveWatermark(t *testing.T) {
	l := startLive(t, mosquitto.Options{})
	l.app = newApp(t, l.broker.URL(), "app", "diagnostics/#")
	l.tune = func(l *live) { l.out.markEvery, l.out.settleTime = 10*time.Millisecond, 20*time.Millisecond }
	stop := l.connect(statusSource(t))
	l.publish(5)
	eventually(t, "the watermark follows the events", func() bool { return l.app.last(markTopic) == `{"epoch":"e1","seq":5}` })
	stop()

	for _, c := range []struct {
		found string
		again int
	}{
		{`{"epoch":"e1","seq":2}`, 3},
		{`{"epoch":"e1","seq":5}`, 0},
		{`{"epoch":"other","seq":2}`, 5}, // the broker has never heard of us
		{`garbage`, 5},
		{``, 5},
	} {
		l.app.publish(markTopic, 1, true, c.found)
		l.app.forget()
		stop := l.connect(statusSource(t))
		eventually(t, "the events came again", func() bool { return len(l.app.payloads(eventTopic)) >= c.again })
		eventually(t, "the watermark is ours", func() bool { m := l.app.last(markTopic); return c.again == 0 || m == `{"epoch":"e1","seq":5}` })
		stop()
		eventually(t, "offline", func() bool { return strings.Contains(l.app.last(stateTopic), "offline") })
		if got := len(l.app.payloads(eventTopic)); got != c.again {
			t.Errorf("watermark %s: %d events came again, want %d", c.found, got, c.again)
		}
	}
}

// TestLiveBlankBroker: a broker that keeps nothing is killed with events that it
// acknowledged and did not deliver. Its subscribers come back later than we.
func TestLiveBlankBroker(t *testing.T) {
	l := startLive(t, mosquitto.Options{})
	away := newApp(t, l.broker.URL(), "away", eventTopic)
	l.tune = func(l *live) { l.out.settleTime = time.Second }
	l.connect(statusSource(t))
	l.publish(3)
	eventually(t, "three events are seen", func() bool { return len(away.payloads(eventTopic)) == 3 })
	away.client.Disconnect(10) // its session waits at the broker
	l.publish(4)
	eventually(t, "the broker has the other four", func() bool { return l.outbox.Cursor() == 7 })
	time.Sleep(1200 * time.Millisecond) // the watermark is out
	if err := errors.Join(l.broker.Kill(), l.broker.Run()); err != nil {
		t.Fatal(err)
	}
	l.publish(1)
	eventually(t, "the agent is back", func() bool { return l.out.State().State == LinkConnected })
	time.Sleep(300 * time.Millisecond)
	if l.outbox.Cursor() != 7 {
		t.Error("an event was sent before subscribers could be back")
	}
	back := newApp(t, l.broker.URL(), "away", eventTopic)
	eventually(t, "all events since are seen", func() bool { return strings.Contains(back.last(eventTopic), "8") })
	if seqs, _ := back.sequence(false); fmt.Sprint(seqs) != "[1 2 3 4 5 6 7 8]" {
		t.Errorf("seen %v", seqs)
	}
}

// TestReplayStartsTenMinutesBefore: what is sent again to a blank broker.
func TestReplayStartsTenMinutesBefore(t *testing.T) {
	out := &memoryOutbox{}
	out.add(40_000)
	base := time.Now().Add(-24 * time.Hour)
	for i := range out.entries {
		out.entries[i].At = base.Add(time.Duration(i) * 600 * time.Millisecond) // a thousand in ten minutes
	}
	p := past{epoch: "e", start: 30_000}
	if got := p.before(context.Background(), out, 30_000); got != 28_999 {
		t.Errorf("after a start: behind %d, want ten minutes before the newest", got)
	}
	now := time.Now()
	for i := range 1200 { // twenty minutes, a hundred events in each second
		p.note(now.Add(time.Duration(i)*time.Second), 30_000+int64(i))
	}
	p.lost = now.Add(1199 * time.Second)
	if got := p.before(context.Background(), out, 31_199); got != 30_599 {
		t.Errorf("behind %d, want what was published ten minutes before the loss", got)
	}
	if n := len(p.points); n > 602 {
		t.Errorf("%d points are kept", n)
	}
	if got := p.before(context.Background(), out, 45_000); got != 35_000 {
		t.Errorf("behind %d: more than 10,000 are sent again", got)
	}
}

// TestLiveStoreSetBack: the broker has seen more of our epoch than the store.
func TestLiveStoreSetBack(t *testing.T) {
	l := startLive(t, mosquitto.Options{})
	l.app = newApp(t, l.broker.URL(), "app", "diagnostics/#")
	l.outbox.add(3)
	l.outbox.cursor = 2
	l.app.publish(markTopic, 1, true, `{"epoch":"e1","seq":9}`)
	var epoch atomic.Pointer[string]
	first := "e1"
	epoch.Store(&first)
	var told, tries atomic.Int64
	l.change = func(l *live) {
		l.opts.Epoch = func() string { return *epoch.Load() }
		l.opts.Ahead = func(_ context.Context, seq int64) error {
			if tries.Add(1) == 1 {
				return errors.New("the disk is full")
			}
			told.Store(seq)
			next := "e2"
			epoch.Store(&next)
			return nil
		}
	}
	l.tune = func(l *live) { l.out.markEvery = 10 * time.Millisecond }
	l.connect(statusSource(t)) // although the store fails
	if len(l.app.payloads(eventTopic)) != 0 {
		t.Error("an event was sent under a number that was given already")
	}
	eventually(t, "the last event is out, under the new epoch", func() bool {
		return l.app.last(markTopic) == `{"epoch":"e2","seq":3}` && strings.Contains(l.app.last(stateTopic), `"online","epoch":"e2"`)
	})
	if got := l.app.payloads(eventTopic); told.Load() != 9 || len(got) != 1 {
		t.Errorf("told of %d, published %q", told.Load(), got)
	}
}

func TestLiveResend(t *testing.T) {
	l := startLive(t, mosquitto.Options{})
	l.proxy = startProxy(t, l.broker.Address())
	l.app = newApp(t, l.broker.URL(), "app", eventTopic, markTopic)
	l.tune = func(l *live) { l.out.markEvery = 10 * time.Millisecond }
	var told atomic.Int64
	l.change = func(l *live) { l.opts.Published = func(diagnose.LogEntry) { told.Add(1) } }
	l.connect(statusSource(t))
	l.publish(20)
	eventually(t, "all are seen", func() bool { return len(l.app.payloads(eventTopic)) == 20 })
	for from, want := range map[int64]string{0: "1 or more", -4: "1 or more", 21: "the newest is 20"} {
		if err := l.out.Resend(from); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("resend from %d: %v, want %q", from, err, want)
		}
	}
	l.app.forget()
	if err := l.out.Resend(8); err != nil {
		t.Fatal(err)
	}
	eventually(t, "13 came again", func() bool { return len(l.app.payloads(eventTopic)) == 13 })
	if seqs, _ := l.app.sequence(false); seqs[0] != 8 || seqs[12] != 20 {
		t.Errorf("sent again %v", seqs)
	}
	if err := l.out.Resend(8); err == nil || !strings.Contains(err.Error(), "less than a minute ago (try again in 60 s)") {
		t.Errorf("at once again: %v", err)
	}
	l.outbox.add(20_000)
	l.out.again.at = time.Now().Add(-resendEvery)
	if err := l.out.Resend(20); err == nil || !strings.Contains(err.Error(), "20001 events, and 10000 at most are sent again (from_seq 10021 or later)") {
		t.Errorf("too many: %v", err)
	}
	l.out.Publish(diagnose.Publication{Seq: 20_020})
	eventually(t, "the rest is out", func() bool { return l.app.last(markTopic) == `{"epoch":"e1","seq":20020}` })
	l.app.forget()
	l.proxy.mute(true) // nothing is acknowledged, so the next connection goes on with it
	if err := l.out.Resend(20_015); err != nil {
		t.Fatal(err)
	}
	eventually(t, "they came again", func() bool { return len(l.app.payloads(eventTopic)) == 6 })
	l.app.forget()
	l.proxy.mute(false)
	l.cut()
	eventually(t, "they came once more", func() bool { return len(l.app.payloads(eventTopic)) == 6 })
	if told.Load() != 20_020 {
		t.Errorf("told of %d events as published, want each once", told.Load())
	}
}
