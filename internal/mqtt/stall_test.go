package mqtt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"fieldmedic/internal/diagnose"
	"fieldmedic/test/mosquitto"
)

// logged keeps what a link logs.
type logged struct {
	mu    sync.Mutex
	lines []string
}

func (l *logged) Enabled(context.Context, slog.Level) bool { return true }
func (l *logged) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *logged) WithGroup(string) slog.Handler            { return l }
func (l *logged) Handle(_ context.Context, r slog.Record) error {
	line := r.Message
	r.Attrs(func(a slog.Attr) bool { line += " " + a.String(); return true })
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
	return nil
}

// count is how many lines hold all of these.
func (l *logged) count(parts ...string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		has := true
		for _, p := range parts {
			has = has && strings.Contains(line, p)
		}
		if has {
			n++
		}
	}
	return n
}

func quick(l *live) {
	l.in.link.profile.patience, l.out.link.profile.patience = quickPatience(), quickPatience()
}

// TestPitfall14StoppedBroker is a Mosquitto that is stopped and goes on: its
// system takes what we send, and nothing comes.
func TestPitfall14StoppedBroker(t *testing.T) {
	l := startLive(t, mosquitto.Options{})
	l.app = newApp(t, l.broker.URL(), "app", eventTopic)
	l.tune = func(l *live) {
		quick(l)
		l.out.stateEvery = 50 * time.Millisecond // what goes out is no sign of life
	}
	log := &logged{}
	l.change = func(l *live) { l.inOpts.Log, l.opts.Log = slog.New(log), slog.New(log) }
	l.connect(statusSource(t))
	l.publish(3)
	eventually(t, "three events are out", func() bool { return l.outbox.Cursor() == 3 })
	if err := l.broker.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.broker.Signal(syscall.SIGCONT) })
	l.publish(2)
	eventually(t, "both connections name it", func() bool {
		return l.in.State().State == LinkStalled && l.out.State().State == LinkStalled
	})
	if d := l.in.State().Detail; !strings.Contains(d, "does not answer") || !strings.Contains(d, "must run") {
		t.Errorf("it says %q", d)
	}
	if err := l.broker.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	within(t, 20*time.Second, "both stand again", func() bool {
		return l.in.State().State == LinkConnected && l.out.State().State == LinkConnected
	})
	eventually(t, "all events are out", func() bool { return l.outbox.Cursor() == 5 })
	if n := log.count("connection=inbound", "broker-stalled"); n != 1 {
		t.Errorf("logged %d times", n)
	}
}

// TestStallHalfOpen is a link on which nothing comes back any more, while
// nothing is sent: no FIN, no RST.
func TestStallHalfOpen(t *testing.T) {
	l := startLive(t, mosquitto.Options{})
	l.proxy = startProxy(t, l.broker.Address())
	l.tune = func(l *live) { l.in.link.profile.patience = quickPatience() }
	l.connect(statusSource(t))
	time.Sleep(time.Second) // longer than both times together: pings are answered
	if s := l.in.State().State; s != LinkConnected || l.proxy.connections() != 2 {
		t.Fatalf("a live link: %s, %d connections", s, l.proxy.connections())
	}
	l.proxy.mute(true)
	eventually(t, "it is named", func() bool { return l.in.State().State == LinkStalled })
	l.proxy.mute(false)
	l.proxy.cut()
	within(t, 20*time.Second, "it stands again", func() bool { return l.in.State().State == LinkConnected })
}

// TestStallTimes: what is promised of the times as they are in operation.
func TestStallTimes(t *testing.T) {
	p := defaultPatience()
	tick := p.answer / looks
	if idle := p.idle + p.answer + 3*tick; idle > keepAlive+10*time.Second || idle > 40*time.Second {
		t.Errorf("idle: noticed after %s", idle)
	}
	if busy := p.answer + 3*tick; busy > 12*time.Second || p.write > 10*time.Second {
		t.Errorf("while sending: noticed after %s, or a write of %s", busy, p.write)
	}
}

// TestPitfall14StopsReading is a broker that reads nothing more: the socket
// fills.
func TestPitfall14StopsReading(t *testing.T) {
	hang, release := make(chan struct{}), sync.Once{}
	free := func() { release.Do(func() { close(hang) }) }
	p := startPuppet(t, func(c *puppetConn, f frame) bool {
		if c.number == 0 && f.first>>4 == packetPublish {
			<-hang
			return true
		}
		return false
	})
	t.Cleanup(free)
	prof := p.profile()
	prof.patience = quickPatience()
	prof.patience.answer = time.Hour // only the write tells
	s := p.session(prof)
	w := newWindow(s)
	t.Cleanup(w.close)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for {
		m := message{topic: "t", payload: make([]byte, 64<<10)}
		if err := w.send(ctx, m, func() { t.Error("acknowledged") }); err != nil {
			if !stalled(err) || classify(err) != LinkStalled || ctx.Err() != nil {
				t.Errorf("%v is %s", err, classify(err))
			}
			break
		}
	}
}

// TestPitfall15WriteTimesOut: a write that was broken off says nothing about its
// message. It is sent again, and counts only then.
func TestPitfall15WriteTimesOut(t *testing.T) {
	const all = 60
	hang, release := make(chan struct{}), sync.Once{}
	free := func() { release.Do(func() { close(hang) }) }
	var mu sync.Mutex
	first := -1
	answered := map[string]bool{}
	p := startPuppet(t, func(c *puppetConn, f frame) bool {
		if f.first>>4 != packetPublish || f.topic() != eventTopic {
			return false
		}
		mu.Lock()
		if first < 0 {
			first = c.number
		}
		hangs := c.number == first
		if seq, _, _ := strings.Cut(f.payload(), ","); !hangs {
			answered[seq] = true
		}
		mu.Unlock()
		if hangs {
			<-hang
		}
		return hangs
	})
	t.Cleanup(free)
	l := p.at()
	l.outbox.add(all)
	for i := range l.outbox.entries {
		l.outbox.entries[i].Body = fmt.Appendf(nil, `{"seq":%d,"more":%q}`, i+1, strings.Repeat("x", 200<<10))
	}
	l.tune = func(l *live) {
		l.out.link.profile.patience = patience{idle: time.Hour, answer: time.Hour, write: 300 * time.Millisecond}
		l.out.readBackTimeout, l.out.settleTime = 50*time.Millisecond, time.Millisecond
	}
	l.run(statusSource(t))
	within(t, 20*time.Second, "all count as published", func() bool { return l.outbox.Cursor() == all })
	mu.Lock()
	defer mu.Unlock()
	if len(answered) != all {
		t.Errorf("%d of %d were acknowledged", len(answered), all)
	}
}

// TestStallSlowLink: a backlog that gets shorter is progress, although nothing
// comes back.
func TestStallSlowLink(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = far.Close() }()
	const size = 1 << 20
	if err := errors.Join(near.(*net.TCPConn).SetWriteBuffer(size), far.(*net.TCPConn).SetReadBuffer(4096)); err != nil {
		t.Fatal(err)
	}
	s := newSession()
	s.conn = newLimitConn(near, func(tooLarge) {})
	defer func() { _ = near.Close() }()
	go s.watch(patience{idle: time.Hour, answer: 400 * time.Millisecond})
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = s.conn.Write(packet(0x32, make([]byte, size/2)...)) }) // it owes a PUBACK
	start := time.Now()
	for time.Since(start) < 1500*time.Millisecond { // much longer than an answer may take
		if _, err := io.CopyN(io.Discard, far, 16<<10); err != nil {
			t.Fatal(err)
		}
		time.Sleep(60 * time.Millisecond)
	}
	if s.isLost() {
		t.Fatalf("a slow link was given up: %v", s.cause)
	}
	eventually(t, "one that stands still is", s.isLost)
	_ = near.Close()
	wg.Wait()
}

// TestLiveStallLosesNothing: messages that were delivered when the broker stood
// still come again.
func TestLiveStallLosesNothing(t *testing.T) {
	l := startLive(t, mosquitto.Options{})
	l.app = newApp(t, l.broker.URL(), "app")
	l.tune = quick
	l.connect(statusSource(t))
	l.app.publish(statusTopic, 1, false, `{"status":-1}`)
	first := l.next()
	if err := l.broker.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is named", func() bool { return l.in.State().State == LinkStalled })
	first.Ack() // too late
	if err := l.broker.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	var again diagnose.Delivery
	within(t, 20*time.Second, "it comes again", func() bool {
		select {
		case again = <-l.got:
			return true
		default:
			return false
		}
	})
	if code(t, again) != -1 {
		t.Errorf("%+v", again.Observation)
	}
	again.Ack()
}
