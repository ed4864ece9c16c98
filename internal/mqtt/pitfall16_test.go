package mqtt

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	broker "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"fieldmedic/internal/diagnose"
	"fieldmedic/test/mosquitto"
)

// choosy is a broker's hook that closes the connection on some messages.
type choosy struct {
	gate
	hates  func(packets.Packet) bool
	closed atomic.Int64
}

func (c *choosy) OnPublish(cl *broker.Client, pk packets.Packet) (packets.Packet, error) {
	if cl.ID == "agent"+outSuffix && c.hates(pk) {
		c.closed.Add(1)
		cl.Stop(errors.New("I do not like it"))
		return pk, packets.ErrRejectPacket
	}
	return pk, nil
}

// startChoosy runs a broker and an agent at it.
func startChoosy(t *testing.T, hates func(packets.Packet) bool) (*live, *choosy) {
	t.Helper()
	server := broker.New(&broker.Options{Logger: slog.New(slog.DiscardHandler)})
	c := &choosy{gate: gate{clients: server.Clients, log: slog.New(slog.DiscardHandler)}, hates: hates}
	open, err := net.Listen("tcp", "127.0.0.1:0")
	if err := errors.Join(err, server.AddHook(c, nil), server.AddListener(listeners.NewNet("choosy", open)), server.Serve()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	l := newLive(t, nil)
	address := "mqtt://" + open.Addr().String()
	l.app = newApp(t, address, "app", "diagnostics/#")
	l.change = func(l *live) {
		l.opts.Server = Server{URL: brokerURL(t, address)}
		l.inOpts.Server = l.opts.Server
		l.opts.SetAside = l.outbox.setAside
	}
	l.tune = func(l *live) {
		l.out.link.pace.broken, l.out.link.pace.calm = 100*time.Millisecond, 10*time.Millisecond
	}
	return l, c
}

// TestPitfall16 is a message that the broker closes the connection on, each
// time it is sent again.
func TestPitfall16PoisonEvent(t *testing.T) {
	l, c := startChoosy(t, func(pk packets.Packet) bool { return bytes.Equal(pk.Payload, []byte(`{"seq":30}`)) })
	l.connect(statusSource(t))
	l.publish(60)
	within(t, 10*time.Second, "the events behind it flow", func() bool { return l.outbox.Cursor() == 60 })
	eventually(t, "the last is seen", func() bool { return strings.Contains(l.app.last(eventTopic), "60") })
	if n := c.closed.Load(); n != 2*poisonLosses {
		t.Errorf("%d connections were lost, want 3, and 3 to find out", n)
	}
	if seqs, _ := l.app.sequence(true); len(seqs) != 60 {
		t.Errorf("%d of 60 numbers are seen", len(seqs))
	}
	eventually(t, "the store knows", func() bool { return strings.Contains(string(l.outbox.body(30)), "dropped") })
	if !strings.Contains(strings.Join(l.app.payloads(eventTopic), " "), `"type":"dropped"`) || len(l.app.payloads(eventTopic)) > 60+3*windowSize {
		t.Error("what became of it was not said")
	}
}

// TestPitfall16EveryEvent: a broker that closes the connection on what its
// access list forbids takes no event at all. None is given up for that.
func TestPitfall16EveryEvent(t *testing.T) {
	var hates atomic.Bool
	hates.Store(true)
	l, _ := startChoosy(t, func(pk packets.Packet) bool { return hates.Load() && strings.HasSuffix(pk.TopicName, "/event") })
	l.connect(statusSource(t))
	l.publish(3)
	eventually(t, "it is left alone", func() bool {
		s := l.out.State()
		return s.State == LinkDenied && strings.Contains(s.Detail, eventTopic)
	})
	if l.outbox.Cursor() != 0 || strings.Contains(string(l.outbox.body(1)), "dropped") {
		t.Error("an event was given up")
	}
}

func TestPitfall16PoisonSnapshot(t *testing.T) {
	l, c := startChoosy(t, func(pk packets.Packet) bool { return strings.HasSuffix(pk.TopicName, "/bad") && len(pk.Payload) > 200 })
	large := snapshotAt("bad", time.Now())
	large.Diagnoses = []diagnose.Diagnosis{{ID: "x", Msg: strings.Repeat("m", 300)}}
	l.shown = []diagnose.Snapshot{snapshotAt("a", time.Now()), large, snapshotAt("z", time.Now())}
	l.connect(statusSource(t))
	if n := c.closed.Load(); n != 2*poisonLosses {
		t.Errorf("%d connections were lost, want 3, and 3 to find out", n)
	}
	eventually(t, "the others are there", func() bool {
		return len(l.app.payloads(deviceTopics+"a")) == 1 && len(l.app.payloads(deviceTopics+"z")) == 1
	})
	large.UpdatedAt = large.UpdatedAt.Add(time.Second)
	l.mu.Lock()
	l.shown[1] = large
	l.mu.Unlock()
	l.out.Publish(diagnose.Publication{Snapshots: []diagnose.Snapshot{large}})
	eventually(t, "a changed one is tried", func() bool { return c.closed.Load() == 4*poisonLosses })
	l.mu.Lock()
	l.shown[1] = snapshotAt("bad", time.Now())
	l.mu.Unlock()
	l.out.Publish(diagnose.Publication{Snapshots: l.shown[1:2]})
	eventually(t, "a small one is out", func() bool { return len(l.app.payloads(deviceTopics+"bad")) > 0 })
	if n := c.closed.Load(); n != 4*poisonLosses {
		t.Errorf("%d connections were lost", n)
	}
}

// TestPitfall16ManySnapshots: a broker that takes no large packets is not asked
// about each device.
func TestPitfall16ManySnapshots(t *testing.T) {
	l, c := startChoosy(t, func(pk packets.Packet) bool {
		return strings.Contains(pk.TopicName, "/device/") && len(pk.Payload) > 500
	})
	for i := range 50 {
		s := snapshotAt(fmt.Sprintf("d%02d", i), time.Now())
		if i%2 == 0 {
			s.Diagnoses = []diagnose.Diagnosis{{ID: "x", Msg: strings.Repeat("m", 500)}}
		}
		l.shown = append(l.shown, s)
	}
	l.connect(statusSource(t))
	eventually(t, "the small ones are out", func() bool { return len(l.app.payloads(deviceTopics+"d49")) == 1 })
	if n := c.closed.Load(); n != manyBarred*2*poisonLosses {
		t.Errorf("%d connections were lost", n)
	}
}

// TestPitfall16MaxPacketSize is the same with Mosquitto, which closes on a
// packet larger than max_packet_size.
func TestPitfall16MaxPacketSize(t *testing.T) {
	l := startLive(t, mosquitto.Options{Lines: []string{"max_packet_size 1000"}})
	l.app = newApp(t, l.broker.URL(), "app", eventTopic)
	l.change = func(l *live) { l.opts.SetAside = l.outbox.setAside }
	l.outbox.add(9)
	l.outbox.entries[4].Body = fmt.Appendf(nil, `{"seq":5,"more":%q}`, strings.Repeat("x", 2000))
	l.run(statusSource(t))
	within(t, 10*time.Second, "the events behind it flow", func() bool { return l.outbox.Cursor() == 9 })
	eventually(t, "the last is seen", func() bool { return strings.Contains(l.app.last(eventTopic), "9") })
	if seqs, _ := l.app.sequence(true); len(seqs) != 9 {
		t.Errorf("seen %v", seqs)
	}
}

func (o *memoryOutbox) body(seq int64) []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.entries[seq-1].Body
}
