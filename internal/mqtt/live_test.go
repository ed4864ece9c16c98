package mqtt

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fieldmedic/internal/diagnose"
	"fieldmedic/test/mosquitto"
)

// TestMain fails when a goroutine is left after all tests. The client library
// may hold one for as long as a write may take, after a connection was lost.
func TestMain(m *testing.M) {
	code := m.Run()
	err := goleak.Find()
	for until := time.Now().Add(writeTimeout + 2*time.Second); err != nil && time.Now().Before(until); {
		time.Sleep(100 * time.Millisecond)
		err = goleak.Find()
	}
	if err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, "goroutines are left:", err)
		code = 1
	}
	os.Exit(code)
}

// live is a pair of connections at a real broker, with a loop's place taken by
// the test.
type live struct {
	t      *testing.T
	broker *mosquitto.Broker
	app    *app
	proxy  *proxy // between the agent and the broker; nil: none
	outbox *memoryOutbox
	in     *Inbound
	out    *Publisher
	got    chan diagnose.Delivery
	// change alters what the connections are made with, and tune what they are
	// before they run.
	change, tune func(*live)
	inOpts       InboundOptions
	opts         PublisherOptions

	mu         sync.Mutex
	shown      []diagnose.Snapshot
	remembered []string
	dropped    []string
	received   []string
}

// startBroker runs a Mosquitto that ends with the test.
func startBroker(t *testing.T, opts mosquitto.Options) *mosquitto.Broker {
	t.Helper()
	opts.Dir = t.TempDir()
	b, err := mosquitto.Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Kill() })
	return b
}

// startLive runs a broker; nobody is connected yet.
func startLive(t *testing.T, opts mosquitto.Options) *live {
	t.Helper()
	return newLive(t, startBroker(t, opts))
}

func newLive(t *testing.T, b *mosquitto.Broker) *live {
	return &live{t: t, broker: b, outbox: &memoryOutbox{}, got: make(chan diagnose.Delivery, 100)}
}

// options are those of an agent at the broker, or at the proxy before it.
func (l *live) options(sources []*Source) {
	address := "mqtt://127.0.0.1:1" // for those who change it
	switch {
	case l.proxy != nil:
		address = l.proxy.url()
	case l.broker != nil:
		address = l.broker.URL()
	}
	server := Server{URL: brokerURL(l.t, address)}
	log := slog.New(slog.DiscardHandler)
	l.opts = PublisherOptions{
		Server: server, ClientID: "agent", Base: "diagnostics", Gateway: "gw", Epoch: func() string { return "e1" }, Outbox: l.outbox, Log: log,
		Snapshots: func(_ context.Context, f func(diagnose.Snapshot) error) error {
			l.mu.Lock()
			shown := slices.Clone(l.shown)
			l.mu.Unlock()
			for _, s := range shown {
				if err := f(s); err != nil {
					return err
				}
			}
			return nil
		},
		Words: func() diagnose.Words { return noWords{} }, Published: func(diagnose.LogEntry) {},
	}
	l.inOpts = InboundOptions{
		Server: server, ClientID: "agent", Base: "diagnostics", Gateway: "gw", Sources: sources, Log: log,
		Requests: []diagnose.Verb{diagnose.Acknowledge}, Remembered: l.remembered,
		Deliver: func(d diagnose.Delivery) bool {
			select {
			case l.got <- d:
				return true
			default:
				return false
			}
		},
		Dropped:  func(source string) { l.note(&l.dropped, source) },
		Received: func(source string) { l.note(&l.received, source) },
		Remember: func(f []string) error { l.mu.Lock(); defer l.mu.Unlock(); l.remembered = f; return nil },
	}
	if l.change != nil {
		l.change(l)
	}
}

func (l *live) note(list *[]string, s string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	*list = append(*list, s)
}

func (l *live) count(list *[]string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(*list)
}

// run starts the agent's two connections; they end with the test or stop.
func (l *live) run(sources ...*Source) (stop func()) {
	l.t.Helper()
	l.options(sources)
	l.out = NewPublisher(l.opts)
	l.inOpts.Respond = l.out.Respond
	l.in = NewInbound(l.inOpts)
	if l.tune != nil {
		l.tune(l)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, run := range []func(context.Context) error{l.in.Run, l.out.Run} {
		wg.Go(func() { _ = run(ctx) })
	}
	stop = func() { cancel(); wg.Wait() }
	l.t.Cleanup(stop)
	return stop
}

// connect is run, and waits until both connections stand.
func (l *live) connect(sources ...*Source) (stop func()) {
	l.t.Helper()
	stop = l.run(sources...)
	l.standing()
	return stop
}

func (l *live) standing() {
	l.t.Helper()
	l.t.Cleanup(func() {
		if l.t.Failed() {
			l.t.Logf("inbound %+v, publishing %+v", l.in.State(), l.out.State())
		}
	})
	eventually(l.t, "both connections stand", func() bool {
		return l.in.State().State == LinkConnected && l.out.State().State == LinkConnected
	})
}

// cut breaks both connections, when what was sent had time to arrive, and
// waits until they stand again.
func (l *live) cut() {
	l.t.Helper()
	time.Sleep(100 * time.Millisecond)
	before := l.proxy.connections()
	l.proxy.cut()
	eventually(l.t, "both connect again", func() bool { return l.proxy.connections() == before+2 })
	l.standing()
}

// next is the next delivery.
func (l *live) next() diagnose.Delivery {
	l.t.Helper()
	select {
	case d := <-l.got:
		return d
	case <-time.After(5 * time.Second):
		l.t.Fatal("no delivery within 5 s")
		return diagnose.Delivery{}
	}
}

// nothing checks that nothing more is delivered for a moment.
func (l *live) nothing() {
	l.t.Helper()
	select {
	case d := <-l.got:
		l.t.Fatalf("an unexpected delivery: %+v", d)
	case <-time.After(150 * time.Millisecond):
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	within(t, 10*time.Second, what, ok)
}

func within(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", limit, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func statusSource(t *testing.T) *Source { return newSource(t, "status", "devices/{device}/status") }

func newSource(t *testing.T, name, topic string) *Source {
	t.Helper()
	s, err := NewSource(name, topic, FormatDNA, 0)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestLiveWayInAndOut(t *testing.T) {
	l := startLive(t, mosquitto.Options{})
	l.app = newApp(t, l.broker.URL(), "app", "diagnostics/#")
	l.shown = []diagnose.Snapshot{{Device: "ac 7", Heard: true}}
	stop := l.connect(statusSource(t))

	var state StateJSON
	eventually(t, "state online and the device's snapshot are retained", func() bool {
		states := l.app.payloads("diagnostics/gw/state")
		return len(states) > 0 && json.Unmarshal([]byte(states[0]), &state) == nil &&
			len(l.app.payloads("diagnostics/gw/device/ac%207")) == 1
	})
	if left := time.Until(state.ExpiresAt.Time); state.State != "online" || state.TTL != 180 || left < 170*time.Second || left > 180*time.Second {
		t.Errorf("state %+v, expires in %v", state, left)
	}

	l.app.publish("devices/ac-7/status", 1, false, `{"status":-4013}`)
	d := l.next()
	if d.Observation == nil || d.Observation.Device != "ac-7" || d.Observation.Key.Code != -4013 || d.Ack == nil {
		t.Fatalf("delivery %+v", d)
	}
	d.Ack()

	l.outbox.add(2)
	l.out.Publish(diagnose.Publication{Seq: 2, Snapshots: []diagnose.Snapshot{{Device: "x", Heard: true}}, Removed: []string{"x"}})
	eventually(t, "two events, a snapshot and its end", func() bool {
		x := l.app.payloads("diagnostics/gw/device/x")
		return len(l.app.payloads("diagnostics/gw/event")) == 2 && len(x) == 2 && x[1] == "" && strings.HasPrefix(x[0], "{")
	})
	eventually(t, "the cursor follows the acknowledgements", func() bool { return l.outbox.Cursor() == 2 })

	stop()
	eventually(t, "offline is said at a clean stop", func() bool {
		last := l.app.last("diagnostics/gw/state")
		return strings.Contains(last, `"offline"`) && strings.Contains(last, `"expires_at":null`)
	})
}
