package probe

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"fieldmedic/internal/diagnose"
	"fieldmedic/test/vendordevice"
)

const (
	plugMAC  = "34:ea:34:00:00:01"
	otherMAC = "34:ea:34:00:00:02"
	// helloTry is one try's wait in tests.
	helloTry = 60 * time.Millisecond
)

func plug(t testing.TB, change func(s *vendordevice.State)) vendordevice.State {
	t.Helper()
	mac, err := net.ParseMAC(plugMAC)
	if err != nil {
		t.Fatal(err)
	}
	s := vendordevice.State{MAC: mac, Type: 0x2712, Name: "plug", IP: netip.MustParseAddr("127.0.0.1")}
	if change != nil {
		change(&s)
	}
	return s
}

func startPlug(t testing.TB, address string, change func(s *vendordevice.State)) *vendordevice.Device {
	t.Helper()
	d, err := vendordevice.Listen(address, plug(t, change))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// helloTo is a quick hello probe for a device's port.
func helloTo(d *vendordevice.Device, change func(o *HelloOptions)) *hello {
	o := HelloOptions{
		Targets: AnyTarget(), Port: d.Address().Port(), Interval: helloTry,
		Now: func() time.Time { return time.Unix(1_700_000_000, 0) },
	}
	if change != nil {
		change(&o)
	}
	return newHello(o)
}

// checkAnswer compares all but how it came about.
func checkAnswer(t *testing.T, got Answer, result, shown string) {
	t.Helper()
	want := diagnose.EvidenceVerdict("")
	if result == "" {
		want = diagnose.Inconclusive
	}
	if result == string(diagnose.NotApplicable) {
		result, want = "", diagnose.NotApplicable
	}
	if got.Result != result || got.Verdict != want || got.Observed != shown {
		t.Errorf("got  %q %q %s\nwant %q %q %s", got.Result, got.Verdict, got.Observed, result, want, shown)
	}
}

func TestHello(t *testing.T) {
	const about = plugMAC + `, type 0x2712, "plug"`
	tests := map[string]struct {
		device        func(s *vendordevice.State)
		mac           string
		result, shown string
	}{
		"locked": {
			func(s *vendordevice.State) { s.Locked = true }, plugMAC,
			"locked", "(locked, " + about + ") == unlocked",
		},
		"unlocked":    {nil, plugMAC, "unlocked", "(unlocked, " + about + ") == unlocked"},
		"mac unknown": {nil, "", "unlocked", "(unlocked, " + about + ") == unlocked"},
		"mac spelt in another way": {
			nil, "34EA34000001", "unlocked", "(unlocked, " + about + ") == unlocked",
		},
		"unknown flag": {
			func(s *vendordevice.State) { s.Flag = 9 }, plugMAC,
			"answered", "(answered, " + about + ") == unlocked",
		},
		"more behind": {
			func(s *vendordevice.State) { s.Extra, s.Locked = []byte("behind"), true }, plugMAC,
			"locked", "(locked, " + about + ") == unlocked",
		},
		"lost packets": {
			func(s *vendordevice.State) { s.Misses, s.Locked = 3, true }, plugMAC,
			"locked", "(locked, " + about + ") == unlocked",
		},
		"slow": {
			func(s *vendordevice.State) { s.Delay, s.Locked = 2*helloTry+helloTry/2, true }, plugMAC,
			"locked", "(locked, " + about + ") == unlocked",
		},
		"no name": {
			func(s *vendordevice.State) { s.Name = "\x1b<>" }, plugMAC,
			"unlocked", "(unlocked, " + plugMAC + ", type 0x2712) == unlocked",
		},
		"wrong mac": {nil, otherMAC, "wrong-mac", "(" + about + ") == " + otherMAC},
		"silent": {
			func(s *vendordevice.State) { s.Behaviour = vendordevice.Silent }, plugMAC,
			"silent", "(silent, 4 tries) == answered",
		},
		"garbage": {
			func(s *vendordevice.State) { s.Behaviour = vendordevice.Garbage }, plugMAC,
			"", "(no device's answer: hello reply: 28 bytes (128 or more)) == unlocked",
		},
		"cut": {
			func(s *vendordevice.State) { s.Behaviour = vendordevice.Cut }, plugMAC,
			"", "(no device's answer: hello reply: 64 bytes (128 or more)) == unlocked",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := startPlug(t, "127.0.0.1:0", test.device)
			got := helloTo(d, nil).probe(t.Context(), Target{Address: "127.0.0.1", MAC: test.mac})
			checkAnswer(t, got, test.result, "[hello 127.0.0.1] "+test.shown)
			checkOnlyHello(t, d, 4)
		})
	}
}

// checkOnlyHello: every byte that a device was sent is that of a hello, and
// there are not too many.
func checkOnlyHello(t *testing.T, d *vendordevice.Device, most int) {
	t.Helper()
	want := HelloRequest(time.Unix(1_700_000_000, 0))
	heard := d.Heard()
	if len(heard) == 0 || len(heard) > most {
		t.Errorf("%d packets were sent, want 1 to %d", len(heard), most)
	}
	for _, h := range heard {
		if !h.IsHello || !bytes.Equal(h.Packet, want) {
			t.Errorf("sent %x, want %x", h.Packet, want)
		}
	}
}

// TestHelloDamaged: a damaged answer is not silence, and its flag is not read.
func TestHelloDamaged(t *testing.T) {
	d := startPlug(t, "127.0.0.1:0", func(s *vendordevice.State) { s.Behaviour = vendordevice.Damaged })
	got := helloTo(d, nil).probe(t.Context(), Target{Address: "127.0.0.1", MAC: plugMAC})
	if got.Verdict != diagnose.Inconclusive || got.Result != "" || !strings.Contains(got.Observed, "hello reply: checksum 0x") {
		t.Errorf("got %+v", got)
	}
}

// TestHelloCannotAsk: nothing is sent where nothing may be, or where it makes
// no sense.
func TestHelloCannotAsk(t *testing.T) {
	d := startPlug(t, "127.0.0.1:0", nil)
	tests := map[string]struct {
		target        Target
		targets       *Targets
		result, shown string
	}{
		"not in the inventory": {
			Target{Address: "127.0.0.1"},
			NewTargets("192.0.2.1"), "",
			"[hello 127.0.0.1] (not aimed at: 127.0.0.1: it stands neither in the site profile nor in the inventory) == unlocked",
		},
		"no targets given": {
			Target{Address: "127.0.0.1"},
			nil, "",
			"[hello 127.0.0.1] (not aimed at: 127.0.0.1: it stands neither in the site profile nor in the inventory) == unlocked",
		},
		"broadcast": {
			Target{Address: "255.255.255.255"},
			AnyTarget(), "",
			"[hello 255.255.255.255] (not aimed at: 255.255.255.255: it is a broadcast address) == unlocked",
		},
		"IPv6": {
			Target{Address: "::1"},
			AnyTarget(), "not-applicable",
			"[hello ::1] (the vendor's hello is for IPv4) == unlocked",
		},
		"a MAC that is none": {
			Target{Address: "127.0.0.1", MAC: "plug"},
			AnyTarget(), "",
			`[hello 127.0.0.1] ("plug" is no MAC (as 34:ea:34:00:00:01)) == unlocked`,
		},
		"nothing known": {
			Target{},
			AnyTarget(), "not-applicable",
			"[hello device] (neither its address nor its MAC is known) == unlocked",
		},
		"no address, and no broadcast": {
			Target{MAC: plugMAC},
			AnyTarget(), "",
			"[hello " + plugMAC + "] (no address is known, and no broadcast was due) == unlocked",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			h := helloTo(d, func(o *HelloOptions) { o.Targets = test.targets })
			checkAnswer(t, h.probe(t.Context(), test.target), test.result, test.shown)
		})
	}
	if heard := d.Heard(); len(heard) != 0 {
		t.Errorf("sent %v", heard)
	}
}

// TestHelloName: a name that the profile has leads to a device.
func TestHelloName(t *testing.T) {
	d := startPlug(t, "127.0.0.1:0", nil)
	h := helloTo(d, func(o *HelloOptions) { o.Targets = NewTargets("localhost", "127.0.0.1") })
	if got := h.probe(t.Context(), Target{Address: "localhost", MAC: plugMAC}); got.Result != "unlocked" {
		t.Errorf("got %+v", got)
	}
	h = helloTo(d, func(o *HelloOptions) { o.Targets = NewTargets("localhost") })
	if got := h.probe(t.Context(), Target{Address: "localhost", MAC: plugMAC}); got.Result != "" {
		t.Errorf("a name led to this machine, and it was asked: %+v", got)
	}
}

// TestHelloStopped: a probe that had no time for three tries knows nothing, and
// ends with its context.
func TestHelloStopped(t *testing.T) {
	d := startPlug(t, "127.0.0.1:0", func(s *vendordevice.State) { s.Behaviour = vendordevice.Silent })
	h := helloTo(d, func(o *HelloOptions) { o.Interval = time.Second })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	got := h.probe(ctx, Target{Address: "127.0.0.1", MAC: plugMAC})
	checkAnswer(t, got, "", "[hello 127.0.0.1] (stopped in try 1) == unlocked")
	if took := time.Since(start); took > 500*time.Millisecond {
		t.Errorf("took %s after its context ended", took)
	}
}

// TestHelloStranger: an answer from an address that was not asked counts for
// nothing, however right it looks.
func TestHelloStranger(t *testing.T) {
	d := startPlug(t, "127.0.0.1:0", func(s *vendordevice.State) { s.Behaviour = vendordevice.Silent })
	stranger, err := net.ListenPacket("udp4", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	sent := make(chan error, 1)
	go func() {
		for len(d.Heard()) == 0 {
			time.Sleep(time.Millisecond)
		}
		_, err := stranger.WriteTo(unhex(t, seenLocked), d.Heard()[0].From)
		sent <- err
	}()
	got := helloTo(d, nil).probe(t.Context(), Target{Address: "127.0.0.1"})
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	checkAnswer(t, got, "silent", "[hello 127.0.0.1] (silent, 4 tries) == answered")
}

func TestHelloTries(t *testing.T) {
	for tries, want := range map[int]int{0: 4, 1: 3, 3: 3, 5: 5, 100: 5} {
		d := startPlug(t, "127.0.0.1:0", func(s *vendordevice.State) { s.Behaviour = vendordevice.Silent })
		h := helloTo(d, func(o *HelloOptions) { o.Tries, o.Interval = tries, 5*time.Millisecond })
		if got := h.probe(t.Context(), Target{Address: "127.0.0.1"}); got.Result != "silent" || len(d.Heard()) != want {
			t.Errorf("tries %d: %d packets, %s, want %d", tries, len(d.Heard()), got.Observed, want)
		}
	}
}

// fakeLAN is a network on loopback: 127.0.0.8 to 127.0.0.15, where whoever
// listens on the last address hears broadcasts.
func fakeLAN() ([]network, error) {
	return []network{{
		link: net.Interface{Name: "lan", Flags: net.FlagUp | net.FlagBroadcast},
		own:  netip.MustParseAddr("127.0.0.9"), span: netip.MustParsePrefix("127.0.0.8/29"),
	}}, nil
}

// TestHelloMoved: the device does not answer where it was, and is found by one
// broadcast, which the caller allowed.
func TestHelloMoved(t *testing.T) {
	d := startPlug(t, "127.0.0.15:0", func(s *vendordevice.State) { s.Locked = true })
	var seen []Sighting
	asked := 0
	h := helloTo(d, func(o *HelloOptions) {
		o.Seen = func(s Sighting) { seen = append(seen, s) }
		o.MayBroadcast = func() bool { asked++; return asked == 1 }
	})
	h.networks = fakeLAN
	got := h.probe(t.Context(), Target{Address: "127.0.0.10", MAC: plugMAC})
	checkAnswer(t, got, "moved", "[hello 127.0.0.10] ("+plugMAC+" answers from 127.0.0.15) == there")
	checkOnlyHello(t, d, 1)
	if len(seen) != 1 || seen[0].Address.String() != "127.0.0.15" || !seen[0].Broadcast || seen[0].MAC.String() != plugMAC {
		t.Errorf("seen %+v", seen)
	}
	got = h.probe(t.Context(), Target{Address: "127.0.0.10", MAC: plugMAC})
	checkAnswer(t, got, "silent", "[hello 127.0.0.10] (silent, 4 tries) == answered")
	checkOnlyHello(t, d, 1)
}

// TestHelloNotMoved: another device that hears the broadcast is not the one
// that is looked for; where the MAC is not known nobody is.
func TestHelloNotMoved(t *testing.T) {
	d := startPlug(t, "127.0.0.15:0", nil)
	asked := 0
	h := helloTo(d, func(o *HelloOptions) { o.MayBroadcast = func() bool { asked++; return true } })
	h.networks = fakeLAN
	got := h.probe(t.Context(), Target{Address: "127.0.0.10", MAC: otherMAC})
	checkAnswer(t, got, "silent", "[hello 127.0.0.10] (silent, 4 tries) == answered")
	got = h.probe(t.Context(), Target{Address: "127.0.0.10"})
	checkAnswer(t, got, "silent", "[hello 127.0.0.10] (silent, 4 tries) == answered")
	if asked != 1 {
		t.Errorf("%d broadcasts, want 1", asked)
	}
}

// TestHelloSearch: a device of which only the MAC is known is found.
func TestHelloSearch(t *testing.T) {
	d := startPlug(t, "127.0.0.15:0", func(s *vendordevice.State) { s.Locked = true })
	h := helloTo(d, func(o *HelloOptions) { o.MayBroadcast = func() bool { return true } })
	h.networks = func() ([]network, error) {
		nets, err := fakeLAN()
		nets[0].own = netip.MustParseAddr("10.0.0.9") // a private network is the site's
		return nets, err
	}
	got := h.probe(t.Context(), Target{MAC: plugMAC})
	checkAnswer(t, got, "locked", "[hello "+plugMAC+"] (locked at 127.0.0.15, "+plugMAC+`, type 0x2712, "plug") == unlocked`)
	got = h.probe(t.Context(), Target{MAC: otherMAC})
	checkAnswer(t, got, "", "[hello "+otherMAC+"] (no address is known, and it did not answer a broadcast) == unlocked")
	checkOnlyHello(t, d, 2)
}

func TestBroadcastTo(t *testing.T) {
	lan := func(own string, flags net.Flags) network {
		p := netip.MustParsePrefix(own)
		return network{link: net.Interface{Flags: flags}, own: p.Addr(), span: p.Masked()}
	}
	nets := []network{
		lan("203.0.113.7/24", net.FlagBroadcast), // the provider's
		lan("10.1.0.1/16", net.FlagBroadcast),
		lan("192.168.1.1/24", net.FlagBroadcast),
		lan("192.168.1.2/24", net.FlagBroadcast), // the same once more
		lan("10.9.0.1/24", net.FlagPointToPoint),
		lan("10.8.0.1/31", net.FlagBroadcast),
		lan("fd00::1/64", net.FlagBroadcast),
	}
	tests := []struct {
		near    string
		packets int
		want    string
	}{
		{"", 5, "10.1.255.255 192.168.1.255"},
		{"192.168.1.9", 5, "192.168.1.255 10.1.255.255"},
		{"192.168.1.9", 1, "192.168.1.255"},
		{"203.0.113.9", 1, "203.0.113.255"},
		{"198.51.100.1", 1, "10.1.255.255"},
		{"192.168.1.9", 0, ""},
	}
	for _, test := range tests {
		near, _ := netip.ParseAddr(test.near)
		var got []string
		for _, a := range broadcastTo(nets, near, test.packets) {
			got = append(got, a.String())
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("near %s, %d packets: %v, want %s", test.near, test.packets, got, test.want)
		}
	}
}
