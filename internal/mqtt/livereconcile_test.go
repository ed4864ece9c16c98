package mqtt

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"fieldmedic/internal/diagnose"
	"fieldmedic/test/mosquitto"
)

const deviceTopics = "diagnostics/gw/device/"

// stateOf is a retained state.
func stateOf(state, epoch, clientID string, expires time.Time) string {
	body, err := json.Marshal(StateJSON{State: state, Epoch: epoch, ClientID: clientID, ExpiresAt: diagnose.Stamp{Time: expires}, TTL: 180})
	if err != nil {
		return err.Error()
	}
	return string(body)
}

func snapshotAt(device string, at time.Time) diagnose.Snapshot {
	return diagnose.Snapshot{Device: diagnose.DeviceID(device), UpdatedAt: at, Heard: true}
}

func TestLiveReconcilePublishesWhatDiffers(t *testing.T) {
	l := startLive(t, mosquitto.Options{})
	l.app = newApp(t, l.broker.URL(), "app", "diagnostics/#")
	born := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	l.shown = []diagnose.Snapshot{snapshotAt("", born), snapshotAt("same", born), snapshotAt("differs", born), snapshotAt("emptied", born)}
	l.connect(statusSource(t))()
	eventually(t, "offline is said", func() bool { return strings.Contains(l.app.last(stateTopic), "offline") })
	seen := l.app.topics()
	if !slices.Contains(seen, "diagnostics/gw/site") || !slices.Contains(seen, deviceTopics+"same") {
		t.Fatalf("first published: %q", seen)
	}

	open := diagnose.SnapshotJSON{Schema: diagnose.Schema, Gateway: "gw", Device: "gone", Health: diagnose.HealthFailed, Action: diagnose.ActRetry}
	open.Diagnoses = []diagnose.DiagnosisJSON{{Diagnosis: diagnose.Diagnosis{ID: "i", Condition: "c", Status: diagnose.Confirmed}}}
	body, err := json.Marshal(open)
	if err != nil {
		t.Fatal(err)
	}
	l.app.publish(deviceTopics+"gone", 1, true, string(body))
	l.app.publish(deviceTopics+"garbage", 1, true, `[1`)
	l.app.publish(deviceTopics+"large", 1, true, strings.Repeat("x", MaxPacket+1))
	l.app.publish(deviceTopics+"emptied", 1, true, "")
	eventually(t, "the app's own messages are back", func() bool { return len(l.app.topics()) == len(seen)+4 })
	l.app.forget()
	l.shown[2].UpdatedAt = born.Add(time.Second)
	l.shown = append(l.shown, snapshotAt("added", born))
	l.connect(statusSource(t))
	eventually(t, "online is said", func() bool { return strings.Contains(l.app.last(stateTopic), "online") })

	var topics []string
	for _, topic := range l.app.topics() {
		if !strings.HasPrefix(topic, "diagnostics/gw/self/") {
			topics = append(topics, strings.TrimPrefix(topic, "diagnostics/gw/"))
		}
	}
	want := []string{"device/differs", "device/emptied", "device/added", "device/garbage", "device/gone", "device/gone", "device/large", "device/large", "state"}
	if !slices.Equal(topics, want) {
		t.Errorf("published\n%q, want\n%q", topics, want)
	}
	gone := l.app.payloads(deviceTopics + "gone")
	var cleared diagnose.SnapshotJSON
	if err := json.Unmarshal([]byte(gone[0]), &cleared); err != nil {
		t.Fatal(err)
	}
	if d := cleared.Diagnoses[0]; d.Status != diagnose.Cleared || d.ClearedBy != diagnose.ByRetired || cleared.Health != diagnose.HealthOK || gone[1] != "" {
		t.Errorf("orphan: %q", gone)
	}
	if large := l.app.payloads(deviceTopics + "large"); !strings.Contains(large[0], `"device":"large","health":"ok"`) || large[1] != "" {
		t.Errorf("orphan that is too large: %q", large)
	}
}

func TestLiveReconcileOfManyDevices(t *testing.T) {
	const devices = 10_000 // far above what a broker queues
	l := startLive(t, mosquitto.Options{})
	at := time.Now()
	for i := range devices {
		s := snapshotAt(fmt.Sprintf("device-with-a-name-%05d", i), at)
		s.Diagnoses = []diagnose.Diagnosis{{ID: "x", Msg: strings.Repeat("m", 3000)}}
		l.shown = append(l.shown, s)
	}
	start := time.Now()
	l.connect(statusSource(t))()
	t.Logf("published in %v", time.Since(start).Round(time.Millisecond))
	l.app = newApp(t, l.broker.URL(), "app", deviceTopics+"+")
	time.Sleep(200 * time.Millisecond) // what is retained comes first
	l.app.forget()
	l.shown = l.shown[1:] // one is gone
	start = time.Now()
	l.connect(statusSource(t))
	t.Logf("compared in %v", time.Since(start).Round(time.Millisecond))
	time.Sleep(100 * time.Millisecond)
	if again := len(l.app.topics()); again != 2 {
		t.Errorf("%d messages on device topics, want the two that end one topic", again)
	}
}

func TestLiveGatewayConflict(t *testing.T) {
	l := startLive(t, mosquitto.Options{})
	l.app = newApp(t, l.broker.URL(), "app", "diagnostics/#")
	other := stateOf("online", "e2", "other", time.Now().Add(time.Minute))
	l.app.publish(stateTopic, 1, true, other)
	l.app.publish(deviceTopics+"theirs", 1, true, `{"schema":"1"}`)
	eventually(t, "the app's own messages are back", func() bool { return len(l.app.topics()) == 2 })
	l.app.forget()
	l.shown = []diagnose.Snapshot{snapshotAt("a", time.Now())}
	l.outbox.add(1)
	l.tune = func(l *live) { l.out.link.pace.conflict = 20 * time.Millisecond }
	l.run(statusSource(t))
	eventually(t, "the conflict is named", func() bool { return l.out.State().State == LinkGatewayConflict })
	time.Sleep(150 * time.Millisecond) // some more tries
	for _, topic := range l.app.topics() {
		if topic != "diagnostics/gw/self/loopback" {
			t.Errorf("published on %s beside another agent: %s", topic, l.app.last(topic))
		}
	}
	l.app.publish(stateTopic, 1, true, stateOf("offline", "e2", "other", time.Time{}))
	eventually(t, "it takes over when the other has gone", func() bool { return l.out.State().State == LinkConnected })

	l.app.publish(stateTopic, 1, true, other)
	eventually(t, "an agent that comes up beside it is seen", func() bool { return l.out.State().State == LinkGatewayConflict })
	time.Sleep(50 * time.Millisecond)
	if got := l.app.last(stateTopic); got != other {
		t.Errorf("the other's state was overwritten: %s", got)
	}
}

func TestLiveStateOfNobodyElseIsTakenOver(t *testing.T) {
	l := startLive(t, mosquitto.Options{})
	l.app = newApp(t, l.broker.URL(), "app", "diagnostics/#")
	soon := time.Now().Add(time.Minute)
	for name, body := range map[string]string{
		"expired":        stateOf("online", "e2", "other", time.Now().Add(-time.Second)),
		"same client id": stateOf("online", "e2", "agent", soon),
		"same epoch":     stateOf("online", "e1", "other", soon),
		"offline":        stateOf("offline", "e2", "other", soon),
		"no expiry":      stateOf("online", "e2", "other", time.Time{}),
		"garbage":        "online",
	} {
		l.app.publish(stateTopic, 1, true, body)
		stop := l.run(statusSource(t))
		within(t, 2*time.Second, name+" is taken over", func() bool {
			return l.out.State().State == LinkConnected && strings.Contains(l.app.last(stateTopic), `"online","epoch":"e1","client_id":"agent"`)
		})
		stop()
	}
}

func TestLiveTwoAgentsAtOnce(t *testing.T) {
	l := startLive(t, mosquitto.Options{})
	for range 3 {
		first, second := newLive(t, l.broker), newLive(t, l.broker)
		second.change = func(l *live) {
			l.opts.ClientID, l.inOpts.ClientID = "agent-2", "agent-2"
			l.opts.Epoch = func() string { return "e2" }
			l.opts.Log = slog.New(slog.DiscardHandler)
		}
		for _, l := range []*live{first, second} {
			l.tune = func(l *live) { l.out.link.pace.conflict = 100 * time.Millisecond }
		}
		stops := []func(){first.run(), second.run()}
		stands := func(l *live) bool { return l.out.State().State == LinkConnected }
		yields := func(l *live) bool { return l.out.State().State == LinkGatewayConflict }
		since := time.Now()
		eventually(t, "one of the two holds the gateway's id", func() bool {
			if stands(first) && yields(second) || stands(second) && yields(first) {
				return time.Since(since) > 300*time.Millisecond
			}
			since = time.Now()
			return false
		})
		stops[0]()
		stops[1]()
	}
}
