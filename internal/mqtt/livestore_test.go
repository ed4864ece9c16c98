package mqtt

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fieldmedic/internal/diagnose"
	"fieldmedic/test/mosquitto"
)

func TestSetFaults(t *testing.T) {
	l := startLive(t, mosquitto.Options{})
	l.app = newApp(t, l.broker.URL(), "app", stateTopic)
	l.tune = func(l *live) { l.out.markEvery, l.out.testEvery = time.Hour, time.Hour } // nothing else wakes it
	l.connect(statusSource(t))
	l.out.SetFaults([]string{"storage-full", "clock-suspect"})
	eventually(t, "the faults are said at once", func() bool {
		return strings.Contains(l.app.last(stateTopic), `"faults":["storage-full","clock-suspect"]`)
	})
	l.out.SetFaults(nil)
	eventually(t, "an empty list", func() bool {
		return strings.Contains(l.app.last(stateTopic), `"online"`) && strings.Contains(l.app.last(stateTopic), `"faults":[]`)
	})
}

// TestLiveStoreThatFails: a store that cannot be read takes the connection not
// down, and what it could not tell is published when it can.
func TestLiveStoreThatFails(t *testing.T) {
	l := startLive(t, mosquitto.Options{})
	l.app = newApp(t, l.broker.URL(), "app", "diagnostics/#")
	l.app.publish(deviceTopics+"stray", 1, true, `{"schema":"1"}`)
	var fails atomic.Bool
	fails.Store(true)
	l.shown = []diagnose.Snapshot{snapshotAt("a", time.Now())}
	l.change = func(l *live) {
		list := l.opts.Snapshots
		l.opts.Snapshots = func(ctx context.Context, f func(diagnose.Snapshot) error) error {
			if fails.Load() {
				return errors.New("input/output error")
			}
			return list(ctx, f)
		}
		l.opts.Outbox = failingOutbox{l.outbox, &fails}
	}
	l.connect(statusSource(t))
	l.out.SetFaults([]string{"storage-failed"})
	l.publish(1)
	site := snapshotAt("", time.Now())
	l.out.Publish(diagnose.Publication{Snapshots: []diagnose.Snapshot{site}})
	eventually(t, "it says what is wrong", func() bool {
		return strings.Contains(l.app.last(stateTopic), "storage-failed") && l.app.last("diagnostics/gw/site") != ""
	})
	if l.app.last(deviceTopics+"stray") == "" {
		t.Error("a topic was retracted that was compared with nothing")
	}
	fails.Store(false)
	eventually(t, "everything is made up for", func() bool {
		return l.app.last(deviceTopics+"a") != "" && l.app.last(deviceTopics+"stray") == "" && l.outbox.Cursor() == 1
	})
	if l.out.link.state().State != LinkConnected || strings.Contains(strings.Join(l.app.payloads(stateTopic), ""), "offline") {
		t.Error("the connection was given up")
	}
}

type failingOutbox struct {
	*memoryOutbox
	fails *atomic.Bool
}

func (o failingOutbox) After(ctx context.Context, seq int64, limit int) ([]diagnose.LogEntry, error) {
	if o.fails.Load() {
		return nil, errors.New("input/output error")
	}
	return o.memoryOutbox.After(ctx, seq, limit)
}
