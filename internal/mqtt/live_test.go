package mqtt

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"fieldmedic/internal/diagnose"
	"fieldmedic/test/mosquitto"
)

// live is a pair of connections at a real Mosquitto, with a loop's place taken
// by the test.
type live struct {
	t          *testing.T
	broker     *mosquitto.Broker
	app        paho.Client
	mu         sync.Mutex
	seen       []paho.Message
	outbox     *memoryOutbox
	shown      []diagnose.Snapshot
	in         *Inbound
	out        *Publisher
	got        chan diagnose.Delivery
	remembered []string
}

// memoryOutbox is a log in memory.
type memoryOutbox struct {
	mu      sync.Mutex
	entries []diagnose.LogEntry
	cursor  int64
}

func (o *memoryOutbox) After(_ context.Context, seq int64, limit int) ([]diagnose.LogEntry, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var found []diagnose.LogEntry
	for _, e := range o.entries {
		if e.Seq > seq && len(found) < limit {
			found = append(found, e)
		}
	}
	return found, nil
}

func (o *memoryOutbox) Cursor() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.cursor
}

func (o *memoryOutbox) Published(seq int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.cursor = seq
}

func (o *memoryOutbox) add(body string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.entries = append(o.entries, diagnose.LogEntry{Seq: int64(len(o.entries) + 1), At: time.Now(), Body: []byte(body)})
}

type noWords struct{}

func (noWords) Title(*diagnose.Diagnosis) string                         { return "" }
func (noWords) Because(*diagnose.Diagnosis, diagnose.RankedCause) string { return "" }
func (noWords) Advice(*diagnose.Diagnosis) map[string]diagnose.Advice    { return nil }

func startLive(t *testing.T, opts mosquitto.Options) *live {
	t.Helper()
	opts.Dir = t.TempDir()
	b, err := mosquitto.Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	l := &live{t: t, broker: b, outbox: &memoryOutbox{}, got: make(chan diagnose.Delivery, 100)}
	t.Cleanup(func() { _ = b.Kill() })
	return l
}

// connect makes the agent's two connections; they end with the test or stop.
func (l *live) connect(sources ...*Source) (stop func()) {
	l.t.Helper()
	u, err := ParseServerURL(l.broker.URL())
	if err != nil {
		l.t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	l.out = NewPublisher(PublisherOptions{
		Server: Server{URL: u}, ClientID: "agent", Base: "diagnostics", Gateway: "gw", Epoch: "e1", Outbox: l.outbox,
		Snapshots: func(_ context.Context, f func(diagnose.Snapshot) error) error {
			for _, s := range l.shown {
				if err := f(s); err != nil {
					return err
				}
			}
			return nil
		},
		Words: func() diagnose.Words { return noWords{} }, Published: func(diagnose.LogEntry) {}, Log: log,
	})
	l.in = NewInbound(InboundOptions{
		Server: Server{URL: u}, ClientID: "agent", Base: "diagnostics", Gateway: "gw", Sources: sources,
		Requests: []diagnose.Verb{diagnose.Acknowledge},
		Deliver:  func(d diagnose.Delivery) bool { l.got <- d; return true },
		Respond:  l.out.Respond, Dropped: func(string) {}, Received: func(string) {},
		Remembered: l.remembered, Remember: func(f []string) error { l.remembered = f; return nil }, Log: log,
	})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, run := range []func(context.Context) error{l.in.Run, l.out.Run} {
		wg.Add(1)
		go func() { defer wg.Done(); _ = run(ctx) }()
	}
	stop = func() { cancel(); wg.Wait() }
	l.t.Cleanup(stop)
	eventually(l.t, "both connections stand", func() bool {
		return l.in.State().State == LinkConnected && l.out.State().State == LinkConnected
	})
	return stop
}

func (l *live) watch(filter string) {
	l.t.Helper()
	l.app = paho.NewClient(paho.NewClientOptions().AddBroker(l.broker.URL()).SetClientID("app").SetAutoReconnect(false))
	if token := l.app.Connect(); !token.WaitTimeout(5*time.Second) || token.Error() != nil {
		l.t.Fatal("app cannot connect", token.Error())
	}
	l.t.Cleanup(func() { l.app.Disconnect(10) })
	token := l.app.Subscribe(filter, 1, func(_ paho.Client, m paho.Message) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.seen = append(l.seen, m)
	})
	if !token.WaitTimeout(5*time.Second) || token.Error() != nil {
		l.t.Fatal("app cannot subscribe", token.Error())
	}
}

func (l *live) publish(topic string, qos byte, retained bool, payload string) {
	l.t.Helper()
	if token := l.app.Publish(topic, qos, retained, payload); !token.WaitTimeout(5*time.Second) || token.Error() != nil {
		l.t.Fatal("publish", token.Error())
	}
}

// payloads of a topic that the app saw, in order.
func (l *live) payloads(topic string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []string
	for _, m := range l.seen {
		if m.Topic() == topic {
			found = append(found, string(m.Payload()))
		}
	}
	return found
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func statusSource(t *testing.T) *Source {
	t.Helper()
	s, err := NewSource("status", "devices/{device}/status", FormatDNA, 0)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestLiveWayInAndOut(t *testing.T) {
	l := startLive(t, mosquitto.Options{})
	l.watch("diagnostics/#")
	l.shown = []diagnose.Snapshot{{Device: "ac 7", Heard: true}}
	stop := l.connect(statusSource(t))

	var state StateJSON
	eventually(t, "state online and the device's snapshot are retained", func() bool {
		states := l.payloads("diagnostics/gw/state")
		return len(states) > 0 && json.Unmarshal([]byte(states[0]), &state) == nil &&
			len(l.payloads("diagnostics/gw/device/ac%207")) == 1
	})
	if left := time.Until(state.ExpiresAt.Time); state.State != "online" || state.TTL != 180 || left < 170*time.Second || left > 180*time.Second {
		t.Errorf("state %+v, expires in %v", state, left)
	}

	l.publish("devices/ac-7/status", 1, false, `{"status":-4013}`)
	d := <-l.got
	if d.Observation == nil || d.Observation.Device != "ac-7" || d.Observation.Key.Code != -4013 || d.Ack == nil {
		t.Fatalf("delivery %+v", d)
	}
	d.Ack()

	l.outbox.add(`{"seq":1}`)
	l.outbox.add(`{"seq":2}`)
	l.out.Publish(diagnose.Publication{Seq: 2, Snapshots: []diagnose.Snapshot{{Device: "x", Heard: true}}, Removed: []string{"x"}})
	eventually(t, "two events, a snapshot and its end", func() bool {
		x := l.payloads("diagnostics/gw/device/x")
		return len(l.payloads("diagnostics/gw/event")) == 2 && len(x) == 2 && x[1] == "" && strings.HasPrefix(x[0], "{")
	})
	eventually(t, "the cursor follows the acknowledgements", func() bool { return l.outbox.Cursor() == 2 })

	stop()
	eventually(t, "offline is said at a clean stop", func() bool {
		states := l.payloads("diagnostics/gw/state")
		last := states[len(states)-1]
		return strings.Contains(last, `"offline"`) && strings.Contains(last, `"expires_at":null`)
	})
}
