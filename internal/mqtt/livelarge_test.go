package mqtt

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"fieldmedic/test/mosquitto"
)

const statusTopic = "devices/a/status"

// large checks that the next delivery is a packet that was read past, of size
// bytes or a few more.
func (l *live) large(size int) {
	l.t.Helper()
	d := l.next()
	if d.Refused == nil || d.Refused.Reason != RefusedTooLarge || d.Refused.Topic != statusTopic || d.Refused.Source != "status" ||
		d.Refused.Bytes < size || d.Refused.Bytes > size+100 || !strings.HasPrefix(d.Refused.Sample, `{"status":-1`) {
		l.t.Fatalf("too large: %+v", d.Refused)
	}
}

func (l *live) good(want int64) {
	l.t.Helper()
	d := l.next()
	if got := code(l.t, d); got != want {
		l.t.Fatalf("code %d, want %d", got, want)
	}
	if d.Ack != nil {
		d.Ack()
	}
}

func TestLiveTooLargeFromABroker(t *testing.T) {
	l := startLive(t, mosquitto.Options{})
	l.proxy = startProxy(t, l.broker.Address())
	l.connect(statusSource(t))
	device, _ := dialRaw(t, l.broker.Address(), 4, "", "")
	five, _ := dialRaw(t, l.broker.Address(), 5, "", "")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	n := int64(0)
	for _, size := range []int{1 << 20, 20 << 20} {
		for qos := range byte(3) {
			for _, r := range []*raw{device, five} {
				n++
				r.publish(qos, uint16(n), statusTopic, `{"status":-1`, size)
				l.large(size)
				r.publish(qos, uint16(n+100), statusTopic, fmt.Sprintf(`{"status":-%d}`, n), 0)
				l.good(-n)
			}
		}
	}
	runtime.ReadMemStats(&after)
	if used := (after.TotalAlloc - before.TotalAlloc) >> 20; used > 10 {
		t.Errorf("%d MiB were allocated for 126 MiB that are read past", used)
	}
	l.cut()
	l.nothing() // all of it was acknowledged
}

func TestLiveTooLargeFromADevice(t *testing.T) {
	l := newLive(t, nil)
	address := l.embedded("", "")
	l.connect(statusSource(t))
	n := int64(0)
	for _, version := range []byte{4, 5} {
		device, returned := dialRaw(t, address, version, "", "")
		if returned != 0 {
			t.Fatalf("refused with %d", returned)
		}
		for _, size := range []int{1 << 20, 20 << 20} {
			for qos := range byte(3) {
				n++
				device.publish(qos, uint16(n), statusTopic, `{"status":-1`, size)
				if version == 4 {
					l.large(size)
				} else if d := l.next(); d.Refused == nil || d.Refused.Reason != RefusedTooLarge {
					t.Fatalf("too large, MQTT 5: %+v", d)
				}
				device.publish(qos, uint16(n), statusTopic, fmt.Sprintf(`{"status":-%d}`, n), 0)
				l.good(-n)
			}
		}
	}
	if got := l.count(&l.received); got != 2*int(n) {
		t.Errorf("%d messages counted, want %d", got, 2*n)
	}
}

// embedded starts the broker in the process, and makes the agent use it.
func (l *live) embedded(user, password string) (address string) {
	l.t.Helper()
	open, err := Listen("127.0.0.1:0")
	if err != nil {
		l.t.Fatal(err)
	}
	address = open[0].Addr().String()
	b, err := StartBroker(BrokerOptions{
		Listeners: open, Username: user, Password: password, Log: slog.New(slog.DiscardHandler),
		Skipped: func(topic string, bytes int, head []byte) { l.in.TooLarge(topic, bytes, head) },
	})
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = b.Close() })
	l.change = func(l *live) {
		server := Server{URL: brokerURL(l.t, "mqtt://"+address), Username: user, Password: func() (string, error) { return password, nil }}
		l.opts.Server, l.inOpts.Server = server, server
	}
	return address
}

func TestEmbeddedBrokerOutlivesGarbage(t *testing.T) {
	l := newLive(t, nil)
	address := l.embedded("", "")
	l.connect(statusSource(t))
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 50 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		junk := make([]byte, 1+random.IntN(300))
		for i := range junk {
			junk[i] = byte(random.Uint32())
		}
		if i%2 == 0 { // a packet that is whole, and wrong inside
			junk = packet(byte(1+random.IntN(15))<<4, junk...)
		}
		_, _ = conn.Write(junk)
		_ = conn.Close()
	}
	r, _ := dialRaw(t, address, 4, "", "")
	r.send([]byte{0x36, 0xff, 0xff, 0xff, 0x7f}) // after a proper start: QoS 3, 256 MiB
	r.send(make([]byte, 1000))
	if _, err := io.ReadAll(r.conn); errors.Is(err, syscall.EAGAIN) {
		t.Errorf("a device that sends garbage is not cut off: %v", err)
	}
	device, _ := dialRaw(t, address, 4, "", "")
	device.publish(1, 1, statusTopic, `{"status":-7}`, 0)
	l.good(-7)
	if l.in.State().State != LinkConnected || l.out.State().State != LinkConnected {
		t.Errorf("inbound %+v, publishing %+v", l.in.State(), l.out.State())
	}
}

func TestEmbeddedBrokerPassword(t *testing.T) {
	l := newLive(t, nil)
	address := l.embedded("site*", "se*ret")
	l.connect(statusSource(t))
	for _, c := range []struct {
		user, password string
		in             bool
	}{
		{"site*", "se*ret", true},
		{"site*", "seXret", false},
		{"siteX", "se*ret", false},
		{"site*", "*", false},
		{"site*", "se*re", false},
		{"site*", "", false},
		{"", "", false},
	} {
		for _, version := range []byte{4, 5} {
			if _, returned := dialRaw(t, address, version, c.user, c.password); (returned == 0) != c.in {
				t.Errorf("MQTT %d, %q with %q: returned %d", version, c.user, c.password, returned)
			}
		}
	}
}

func TestListen(t *testing.T) {
	open, err := Listen("localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	if len(open) != 2 {
		t.Fatalf("%d listeners of localhost, want one of each family", len(open))
	}
	_, port, _ := net.SplitHostPort(open[0].Addr().String())
	if got := open[1].Addr().String(); got != "[::1]:"+port {
		t.Errorf("second listener at %s, the first at %s", got, open[0].Addr())
	}
	for _, taken := range []string{"127.0.0.1:" + port, "[::1]:" + port, "localhost:" + port} {
		if _, err := Listen(taken); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("listen on %s, which is taken: %v", taken, err)
		}
	}
	if err := open[0].Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen("localhost:" + port); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("half of localhost is taken: %v", err)
	}
	if _, err := Listen("nonsense"); err == nil {
		t.Error("no address")
	}
	b, err := StartBroker(BrokerOptions{Listeners: open[1:], Skipped: func(string, int, []byte) {}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if _, returned := dialRaw(t, open[1].Addr().String(), 4, "", ""); returned != 0 {
		t.Errorf("over IPv6: returned %d", returned)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

// TestHostileBroker answers a subscription with more codes than were asked for.
// The client library would panic over it.
func TestHostileBroker(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r := &raw{t: t, conn: conn}
			_ = conn.SetDeadline(time.Now().Add(time.Second))
			buffer := make([]byte, 4096)
			_, _ = conn.Read(buffer)
			r.send(packet(0x20, 0, 0))
			for {
				n, err := conn.Read(buffer)
				if err != nil {
					break
				}
				if i := slices.Index(buffer[:n], 0x82); i >= 0 {
					_, _ = conn.Write(packet(0x90, append([]byte{buffer[i+2], buffer[i+3]}, make([]byte, 50)...)...))
				}
			}
			_ = conn.Close()
		}
	})
	t.Cleanup(wg.Wait)
	t.Cleanup(func() { _ = l.Close() })
	agent := newLive(t, nil)
	agent.change = func(a *live) {
		a.inOpts.Server = Server{URL: brokerURL(t, "mqtt://"+l.Addr().String())}
		a.opts.Server = a.inOpts.Server
	}
	agent.run(statusSource(t))
	eventually(t, "it is told", func() bool { return strings.Contains(agent.in.State().Detail, errFraming.Error()) })
}
