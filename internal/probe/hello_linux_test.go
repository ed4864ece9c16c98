package probe

import (
	"bytes"
	"testing"
	"time"

	"fieldmedic/test/vendordevice"
)

// TestHelloOnTheWire: in a network of its own, with the real port, a device is
// found where it was, and after it moved; whatever reached its machine by UDP
// was a hello.
func TestHelloOnTheWire(t *testing.T) {
	t.Parallel()
	l := newLAN(t, plugMAC)
	l.ip(t, l.device, "addr add 192.0.2.11/24 dev eth0")
	conn := l.listen(t, "0.0.0.0:80") // hears broadcasts as well
	d := vendordevice.Serve(conn, plug(t, func(s *vendordevice.State) { s.Locked = true }))
	t.Cleanup(func() { d.Close() })
	end := l.capture(t)

	var seen []Sighting
	at := time.Unix(1_700_000_000, 0)
	probe := NewHello(HelloOptions{
		Targets: NewTargets("192.0.2.10", "192.0.2.98"), Interval: helloTry, MayBroadcast: func() bool { return true },
		Seen: func(s Sighting) { seen = append(seen, s) }, Now: func() time.Time { return at },
	})
	got := l.ask(t, probe, Target{Address: "192.0.2.10", MAC: plugMAC})
	checkAnswer(t, got, "locked", `[hello 192.0.2.10] (locked, `+plugMAC+`, type 0x2712, "plug") == unlocked`)

	// Nobody has 192.0.2.98; the device answers the broadcast from its first address.
	got = l.ask(t, probe, Target{Address: "192.0.2.98", MAC: plugMAC})
	checkAnswer(t, got, "moved", "[hello 192.0.2.98] ("+plugMAC+" answers from 192.0.2.10) == there")
	if len(seen) != 2 || seen[0].Broadcast || !seen[1].Broadcast {
		t.Errorf("seen %+v", seen)
	}
	got = l.ask(t, probe, Target{Address: "192.0.2.98", MAC: otherMAC})
	checkAnswer(t, got, "silent", "[hello 192.0.2.98] (silent, 4 tries) == answered")

	time.Sleep(30 * time.Millisecond) // until the capture has read what came
	sent := end()
	if len(sent) != 3 {
		t.Errorf("%d datagrams reached the device, want one asked and two broadcasts", len(sent))
	}
	for _, payload := range sent {
		if !bytes.Equal(payload, HelloRequest(at)) {
			t.Errorf("sent %x", payload)
		}
	}
}

// TestHelloWayOut: what keeps a hello from leaving this machine is no silence
// of the device.
func TestHelloWayOut(t *testing.T) {
	t.Parallel()
	l := newLAN(t, plugMAC)
	probe := NewHello(HelloOptions{Targets: AnyTarget(), Interval: helloTry})
	got := l.ask(t, probe, Target{Address: "198.51.100.9", MAC: plugMAC})
	if got.Result != "" || got.Verdict != "inconclusive" {
		t.Errorf("no route: %+v", got)
	}
	l.ip(t, l.gateway, "route add prohibit 198.51.100.0/24")
	got = l.ask(t, probe, Target{Address: "198.51.100.9", MAC: plugMAC})
	if got.Result != "" || got.Verdict != "inconclusive" {
		t.Errorf("prohibited: %+v", got)
	}
}
