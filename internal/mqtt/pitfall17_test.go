package mqtt

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"fieldmedic/internal/diagnose"
	"fieldmedic/test/mosquitto"
)

// accessList is Mosquitto's, which can be changed while it runs.
type accessList struct {
	t    *testing.T
	file string
	l    *live
}

func startAccessList(t *testing.T) *accessList {
	t.Helper()
	a := &accessList{t: t, file: filepath.Join(t.TempDir(), "acl")}
	a.write("topic readwrite #")
	a.l = startLive(t, mosquitto.Options{Lines: []string{"acl_file " + a.file}})
	return a
}

func (a *accessList) write(lines ...string) {
	a.t.Helper()
	if err := os.WriteFile(a.file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// set changes the list while the broker runs.
func (a *accessList) set(lines ...string) {
	a.t.Helper()
	a.write(lines...)
	if err := a.l.broker.Signal(syscall.SIGHUP); err != nil {
		a.t.Fatal(err)
	}
}

// denied waits until the state names the topic.
func (a *accessList) denied(limit time.Duration, topic string) {
	a.t.Helper()
	within(a.t, limit, "the denial of "+topic+" is named", func() bool {
		s := a.l.out.State()
		return s.State == LinkDenied && strings.Contains(s.Detail, topic) && strings.Contains(s.Detail, "access list")
	})
}

var everything = "topic readwrite #"

// TestPitfall17 is Mosquitto, which acknowledges and drops what its access list
// forbids.
func TestPitfall17AtConnect(t *testing.T) {
	t.Parallel()
	for topic, list := range map[string][]string{
		"/device/a": {"topic readwrite diagnostics/gw/+", "topic readwrite diagnostics/gw/self/#", "topic read #"},
		"/event":    {"topic deny diagnostics/gw/event", everything},
		"/state":    {"topic deny diagnostics/gw/state", everything},
	} {
		t.Run(topic, func(t *testing.T) {
			t.Parallel()
			a := startAccessList(t)
			a.set(list...)
			time.Sleep(100 * time.Millisecond)
			a.l.shown = []diagnose.Snapshot{snapshotAt("a", time.Now())}
			a.l.tune = func(l *live) {
				l.out.testEvery, l.out.echoWait, l.out.markEvery = 200*time.Millisecond, 100*time.Millisecond, 10*time.Millisecond
			}
			a.l.run(statusSource(t))
			eventually(t, "it has connected", func() bool { return a.l.out.State().State != LinkConnecting })
			if topic != "/event" && a.l.out.State().State != LinkDenied {
				t.Errorf("%s before what was published is seen to get through", a.l.out.State().State)
			}
			a.l.publish(3)
			a.denied(3*time.Second, topic)
			seen := newApp(t, a.l.broker.URL(), "seen", "diagnostics/#")
			a.set(everything)
			eventually(t, "it recovers", func() bool { return a.l.out.State().State == LinkConnected })
			eventually(t, "what was dropped is out", func() bool {
				return len(seen.payloads(deviceTopics+"a")) > 0 && strings.Contains(seen.last(stateTopic), "online") &&
					(topic != "/event" || len(seen.payloads(eventTopic)) >= 3)
			})
			if topic == "/event" && a.l.outbox.Cursor() != 3 {
				t.Errorf("the cursor is at %d", a.l.outbox.Cursor())
			}
		})
	}
}

// TestPitfall17Live: the list is changed while the agent is connected, with the
// times as they are in operation.
func TestPitfall17Live(t *testing.T) {
	t.Parallel()
	a := startAccessList(t)
	a.l.shown = []diagnose.Snapshot{snapshotAt("a", time.Now())}
	seen := newApp(t, a.l.broker.URL(), "seen", "diagnostics/#")
	a.l.connect(statusSource(t))
	a.l.publish(2)
	eventually(t, "the first two are out", func() bool { return a.l.outbox.Cursor() == 2 && len(seen.payloads(eventTopic)) == 2 })
	a.set("topic read #")
	time.Sleep(100 * time.Millisecond)
	a.l.publish(3) // acknowledged, and dropped
	start := time.Now()
	a.denied(11*time.Second, "self/loopback")
	t.Logf("noticed after %s", time.Since(start).Round(100*time.Millisecond))
	a.l.publish(1)
	time.Sleep(100 * time.Millisecond)
	if n := a.l.outbox.Cursor(); n == 6 {
		t.Error("an event counts as published that a broker acknowledged which drops it")
	}
	a.set(everything)
	eventually(t, "it recovers", func() bool { return a.l.out.State().State == LinkConnected })
	eventually(t, "what was dropped is out", func() bool { return strings.Contains(seen.last(eventTopic), "6") })
	if seqs, _ := seen.sequence(true); len(seqs) != 6 {
		t.Errorf("seen %v", seqs)
	}
}

// TestPitfall17LiveDevice: only the devices' topics are denied, while connected.
func TestPitfall17LiveDevice(t *testing.T) {
	t.Parallel()
	a := startAccessList(t)
	a.l.tune = func(l *live) { l.out.testEvery, l.out.echoWait = 200*time.Millisecond, 100*time.Millisecond }
	a.l.connect(statusSource(t))
	a.set("topic readwrite diagnostics/gw/+", "topic readwrite diagnostics/gw/self/#", "topic read #")
	eventually(t, "the denial is named", func() bool { // the list is read a moment later
		late := []diagnose.Snapshot{snapshotAt("late", time.Now())}
		a.l.mu.Lock()
		a.l.shown = late
		a.l.mu.Unlock()
		a.l.out.Publish(diagnose.Publication{Snapshots: late})
		return a.l.out.State().State == LinkDenied
	})
	a.denied(3*time.Second, "/device/late")
	a.set(everything)
	eventually(t, "it recovers", func() bool { return a.l.out.State().State == LinkConnected })
}
