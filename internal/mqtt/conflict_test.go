package mqtt

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"fieldmedic/test/mosquitto"
)

// rival connects under a client id, and at once again whenever it is given up.
type rival struct {
	stop context.CancelFunc
	wg   sync.WaitGroup
}

func startRival(t *testing.T, address, id string) *rival {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &rival{stop: func() { cancel() }}
	r.wg.Go(func() {
		for ctx.Err() == nil {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				sleep(ctx, 50*time.Millisecond)
				continue
			}
			end := context.AfterFunc(ctx, func() { _ = conn.Close() })
			body := append([]byte("\x00\x04MQTT\x04\x02\x00\x00\x00"), byte(len(id)))
			_, _ = conn.Write(packet(0x10, append(body, id...)...))
			buffer := make([]byte, 100)
			for err == nil {
				_, err = conn.Read(buffer)
			}
			end()
			_ = conn.Close()
			sleep(ctx, 50*time.Millisecond)
		}
	})
	t.Cleanup(r.end)
	return r
}

func (r *rival) end() { r.stop(); r.wg.Wait() }

// hasty makes a fight short.
func hasty(links ...*link) {
	for _, l := range links {
		l.pace.calm, l.pace.early, l.pace.taken = 200*time.Millisecond, 2*time.Second, 2*time.Second
	}
}

// TestPitfall23 is another client on the client id of the inbound connection.
func TestPitfall23Rival(t *testing.T) {
	t.Parallel()
	l := startLive(t, mosquitto.Options{})
	l.proxy = startProxy(t, l.broker.Address())
	log := &logged{}
	l.change = func(l *live) { l.inOpts.Log = slog.New(log) }
	l.tune = func(l *live) {
		hasty(&l.in.link)
		l.in.link.pace.taken = 4 * time.Second
	}
	l.connect(statusSource(t))
	before := l.proxy.connections()
	r := startRival(t, l.broker.Address(), "agent")
	within(t, 20*time.Second, "it is named", func() bool { return l.in.State().State == LinkClientConflict })
	took := l.proxy.connections() - before
	if most := 6 + proofs*probeCount; took > most {
		t.Errorf("%d connections before it was named, want %d at most, probes among them", took, most)
	}
	if d := l.in.State().Detail; !strings.Contains(d, "client id") || !strings.Contains(d, "mqtt.client_id") {
		t.Errorf("it says %q", d)
	}
	time.Sleep(time.Second)
	if more := l.proxy.connections() - before - took; more > 0 {
		t.Errorf("%d connections more in a second", more)
	}
	if s := l.out.State().State; s != LinkConnected {
		t.Errorf("the publishing connection: %s", s)
	}
	eventually(t, "it tries again", func() bool { return l.proxy.connections() > before+took })
	time.Sleep(500 * time.Millisecond)
	if s := l.in.State().State; s != LinkClientConflict {
		t.Errorf("after another try: %s", s)
	}
	if n := log.count("client-id-conflict"); n != 1 {
		t.Errorf("logged %d times", n)
	}
	r.end()
	within(t, 20*time.Second, "it ends by itself", func() bool { return l.in.State().State == LinkConnected })
}

// TestPitfall23TwoAgents: one of two names it and falls silent, and the other
// one serves.
func TestPitfall23TwoAgents(t *testing.T) {
	t.Parallel()
	l := startLive(t, mosquitto.Options{})
	other := newLive(t, l.broker)
	for _, one := range []*live{l, other} {
		one.tune = func(l *live) {
			hasty(&l.in.link, &l.out.link)
			l.in.link.pace.taken, l.out.link.pace.taken = time.Minute, time.Minute
		}
	}
	other.change = func(l *live) { l.inOpts.Gateway, l.opts.Gateway = "another", "another" }
	l.run(statusSource(t))
	other.run(statusSource(t))
	for what, links := range map[string][2]*link{
		"inbound": {&l.in.link, &other.in.link}, "publishing": {&l.out.link, &other.out.link},
	} {
		within(t, 30*time.Second, what+": one names it, the other stands", func() bool {
			a, b := links[0].state().State, links[1].state().State
			return a == LinkClientConflict && b == LinkConnected || b == LinkClientConflict && a == LinkConnected
		})
	}
}

// neverNamed runs for a while with trouble that is no conflict.
func neverNamed(t *testing.T, l *live, trouble func()) {
	t.Helper()
	log := &logged{}
	change := l.change
	l.change = func(l *live) {
		if change != nil {
			change(l)
		}
		l.inOpts.Log, l.opts.Log = slog.New(log), slog.New(log)
	}
	l.tune = func(l *live) {
		for _, one := range []*link{&l.in.link, &l.out.link} {
			one.pace.broken = 50 * time.Millisecond // or there would be too few
		}
	}
	stop := l.run(statusSource(t))
	trouble()
	stop()
	if n := log.count("client-id-conflict"); n > 0 {
		t.Errorf("named %d times", n)
	}
}

// TestPitfall23CutTogether: a link that breaks again and again takes all
// connections with it.
func TestPitfall23CutTogether(t *testing.T) {
	t.Parallel()
	l := startLive(t, mosquitto.Options{})
	l.proxy = startProxy(t, l.broker.Address())
	neverNamed(t, l, func() {
		for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
			time.Sleep(time.Duration(rand.IntN(500)) * time.Millisecond)
			l.proxy.cut()
		}
	})
	if n := l.proxy.connections(); n < 15 {
		t.Errorf("only %d connections", n)
	}
}

// TestPitfall23CutSingly: a middlebox that drops connections at random, each for
// itself.
func TestPitfall23CutSingly(t *testing.T) {
	t.Parallel()
	l := startLive(t, mosquitto.Options{})
	l.proxy = startProxy(t, l.broker.Address())
	neverNamed(t, l, func() {
		for end := time.Now().Add(6 * time.Second); time.Now().Before(end); {
			time.Sleep(10 * time.Millisecond)
			l.proxy.cutSome(0.05) // each holds 0.2 s in the mean
		}
	})
	if n := l.proxy.connections(); n < 15 {
		t.Errorf("only %d connections", n)
	}
}

// cutSome closes each connection with a probability.
func (p *proxy) cutSome(probability float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var kept []net.Conn
	for i := 0; i+1 < len(p.conns); i += 2 { // both halves of one
		if rand.Float64() < probability {
			_, _ = p.conns[i].Close(), p.conns[i+1].Close()
		} else {
			kept = append(kept, p.conns[i], p.conns[i+1])
		}
	}
	p.conns = kept
}

// TestPitfall23BrokerKilled: a broker that is killed each second, and is back at
// once.
func TestPitfall23BrokerKilled(t *testing.T) {
	t.Parallel()
	l := startLive(t, mosquitto.Options{})
	neverNamed(t, l, func() {
		for range 8 {
			time.Sleep(600 * time.Millisecond)
			if err := l.broker.Kill(); err != nil {
				t.Error(err)
			}
			if err := l.broker.Run(); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestPitfall23Choosy: a broker that closes the connection on what it is told.
// The connection that says nothing holds, so it is no rival.
func TestPitfall23Choosy(t *testing.T) {
	t.Parallel()
	p := startPuppet(t, func(c *puppetConn, f frame) bool {
		if f.first>>4 == 8 {
			_ = c.Close()
			return true
		}
		return false
	})
	neverNamed(t, p.at(), func() {
		within(t, 10*time.Second, "many are lost", func() bool { return p.connections() > 30 })
	})
}
