package mqtt

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"fieldmedic/internal/diagnose"
)

// app is somebody else at the broker: it publishes, and keeps what it sees.
type app struct {
	t      *testing.T
	client paho.Client
	mu     sync.Mutex
	seen   []paho.Message
	// subscribed counts the times that its filters were taken by the broker.
	subscribed atomic.Int64
}

// newApp connects with a persistent session, and comes back when the
// connection is lost.
func newApp(t *testing.T, broker, id string, filters ...string) *app {
	t.Helper()
	a := &app{t: t}
	opts := paho.NewClientOptions().AddBroker(broker).SetClientID(id).SetCleanSession(false).SetProtocolVersion(4).
		SetConnectRetry(true).SetConnectRetryInterval(100 * time.Millisecond).SetMaxReconnectInterval(100 * time.Millisecond).
		SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.seen = append(a.seen, m)
		}).
		SetOnConnectHandler(func(c paho.Client) {
			for _, f := range filters {
				c.Subscribe(f, 1, nil).Wait()
			}
			a.subscribed.Add(1)
		})
	a.client = paho.NewClient(opts)
	await(t, "app connects", a.client.Connect())
	t.Cleanup(func() { a.client.Disconnect(100) })
	eventually(t, "the app has subscribed", func() bool { return a.subscribed.Load() > 0 })
	return a
}

func await(t *testing.T, what string, token paho.Token) {
	t.Helper()
	if !token.WaitTimeout(5*time.Second) || token.Error() != nil {
		t.Fatal(what, token.Error())
	}
}

func (a *app) publish(topic string, qos byte, retained bool, payload string) {
	a.t.Helper()
	await(a.t, "publish on "+topic, a.client.Publish(topic, qos, retained, payload))
}

// payloads of a topic that the app saw, in order.
func (a *app) payloads(topic string) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var found []string
	for _, m := range a.seen {
		if m.Topic() == topic {
			found = append(found, string(m.Payload()))
		}
	}
	return found
}

// last is the last payload of a topic, or empty.
func (a *app) last(topic string) string {
	found := a.payloads(topic)
	if len(found) == 0 {
		return ""
	}
	return found[len(found)-1]
}

// topics of what the app saw, in order; forget makes it begin anew.
func (a *app) topics() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var found []string
	for _, m := range a.seen {
		found = append(found, m.Topic())
	}
	return found
}

func (a *app) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seen = nil
}

// proxy forwards TCP connections to a broker, and can cut them.
type proxy struct {
	listener net.Listener
	target   string
	mu       sync.Mutex
	conns    []net.Conn
	accepted int
	muted    bool // what the broker says is swallowed
	wg       sync.WaitGroup
}

func startProxy(t *testing.T, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, target: target}
	p.wg.Go(p.serve)
	t.Cleanup(func() {
		_ = l.Close()
		p.cut()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) url() string { return "mqtt://" + p.listener.Addr().String() }

func (p *proxy) serve() {
	for {
		near, err := p.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = near.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, near, far)
		p.accepted++
		p.mu.Unlock()
		p.wg.Go(func() { forward(far, near, func() bool { return false }) })
		p.wg.Go(func() { forward(near, far, p.isMuted) })
	}
}

func forward(to, from net.Conn, muted func() bool) {
	defer func() { _ = to.Close(); _ = from.Close() }()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		if muted() {
			continue
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (p *proxy) isMuted() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.muted
}

func (p *proxy) mute(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.muted = on
}

// cut closes all connections without a farewell, as a broken network does.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

func (p *proxy) connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted
}

func brokerURL(t *testing.T, address string) *url.URL {
	t.Helper()
	u, err := ParseServerURL(address)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// refusedDial is the error of a connection that nobody takes.
func refusedDial() error { return &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED} }

// memoryOutbox is a log in memory.
type memoryOutbox struct {
	mu      sync.Mutex
	entries []diagnose.LogEntry
	cursor  int64
}

func (o *memoryOutbox) After(_ context.Context, seq int64, limit int) ([]diagnose.LogEntry, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	from := min(max(0, seq), int64(len(o.entries)))
	return slices.Clone(o.entries[from:min(len(o.entries), int(from)+limit)]), nil
}

func (o *memoryOutbox) Seq() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return int64(len(o.entries))
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

// setAside puts a dropped event in the place of one.
func (o *memoryOutbox) setAside(_ context.Context, seq int64) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.entries[seq-1].Body = fmt.Appendf(nil, `{"seq":%d,"type":"dropped"}`, seq)
	return nil
}

func (o *memoryOutbox) add(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for range n {
		seq := int64(len(o.entries) + 1)
		o.entries = append(o.entries, diagnose.LogEntry{Seq: seq, At: time.Now(), Body: fmt.Appendf(nil, `{"seq":%d}`, seq)})
	}
}

type noWords struct{}

func (noWords) Title(*diagnose.Diagnosis) string                         { return "" }
func (noWords) Because(*diagnose.Diagnosis, diagnose.RankedCause) string { return "" }
func (noWords) Advice(*diagnose.Diagnosis) map[string]diagnose.Advice    { return nil }
func (noWords) AppendAdvice(b []byte, _ *diagnose.Diagnosis) []byte      { return b }
