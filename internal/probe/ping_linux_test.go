package probe

import (
	"context"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"fieldmedic/internal/diagnose"

	"golang.org/x/sys/unix"
)

var trip = regexp.MustCompile(`, [0-9.]+[µm]?s\) ==`)

func TestPing(t *testing.T) {
	t.Parallel()
	l := newLAN(t, plugMAC)
	probe := NewPing(PingOptions{Targets: AnyTarget(), Timeout: 300 * time.Millisecond})
	ask := func(address, result, shown string) {
		t.Helper()
		got := l.ask(t, probe, Target{Address: address})
		got.Observed = trip.ReplaceAllString(got.Observed, ", TIME) ==")
		checkAnswer(t, got, result, "[ping "+address+"] "+shown+" == answered")
	}
	// A new namespace lets no group ping, not even root's.
	got := l.ask(t, probe, Target{Address: "192.0.2.10"})
	if got.Result != "" || got.Verdict != diagnose.Inconclusive || !strings.Contains(got.Observed, "(refused: ") {
		t.Errorf("not permitted: %+v", got)
	}
	l.sysctl(t, l.gateway, "net/ipv4/ping_group_range", "0 2147483647")
	ask("192.0.2.10", "answered", "(answered, 3 of 3, TIME)")
	// The first question for an IPv6 neighbour goes unheard in a new namespace.
	l.ask(t, NewNeighbour(NeighbourOptions{Targets: AnyTarget()}), Target{Address: "2001:db8::10"})
	ask("2001:db8::10", "answered", "(answered, 3 of 3, TIME)")
	ask("192.0.2.99", "lost", "(lost, 3 packets)")
}

// TestPingWayOut: the library would send for ever where the routes prohibit it.
func TestPingWayOut(t *testing.T) {
	t.Parallel()
	l := newLAN(t, plugMAC)
	l.sysctl(t, l.gateway, "net/ipv4/ping_group_range", "0 2147483647")
	l.ip(t, l.gateway, "route add prohibit 198.51.100.0/24")
	l.ip(t, l.gateway, "route add unreachable 203.0.113.0/24")
	probe := NewPing(PingOptions{Targets: AnyTarget()})
	for address, why := range map[string]string{
		"198.51.100.1": "(refused: ", "203.0.113.1": "no route to host", "198.18.0.1": "(no route: ",
	} {
		start := time.Now()
		got := l.ask(t, probe, Target{Address: address})
		if got.Result != "" || got.Verdict != diagnose.Inconclusive || !strings.Contains(got.Observed, why) {
			t.Errorf("%s: %+v, want %s", address, got, why)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("%s: took %s", address, took)
		}
	}
}

// TestPingCounts: what comes back, what is lost, and what could not be sent.
func TestPingCounts(t *testing.T) {
	type packet struct {
		trip time.Duration
		err  error
	}
	ms := time.Millisecond
	tests := map[string]struct {
		packets       []packet
		result, shown string
	}{
		"all":           {[]packet{{3 * ms, nil}, {ms, nil}, {2 * ms, nil}}, "answered", "(answered, 3 of 3, 1ms)"},
		"some":          {[]packet{{0, nil}, {2 * ms, nil}, {0, nil}}, "answered", "(answered, 1 of 3, 2ms)"},
		"none":          {[]packet{{0, nil}, {0, nil}, {0, nil}}, "lost", "(lost, 3 packets)"},
		"nobody there":  {[]packet{{0, nil}, {0, unix.EHOSTUNREACH}, {0, unix.EHOSTUNREACH}}, "lost", "(lost, 3 packets)"},
		"refused":       {[]packet{{0, unix.EPERM}}, "", "(refused: operation not permitted)"},
		"refused later": {[]packet{{2 * ms, nil}, {0, unix.EPERM}}, "answered", "(answered, 1 of 1, 2ms)"},
		"other":         {[]packet{{0, nil}, {0, unix.ENOBUFS}}, "", "(no buffer space available)"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sent := 0
			p := &pingProbe{
				aim: newAim(AnyTarget(), nil),
				way: func(context.Context, netip.Addr) error { return nil },
				once: func(context.Context, netip.Addr, time.Duration) (time.Duration, error) {
					sent++
					return test.packets[sent-1].trip, test.packets[sent-1].err
				},
			}
			checkAnswer(t, p.probe(t.Context(), Target{Address: "192.0.2.1"}), test.result, "[ping 192.0.2.1] "+test.shown+" == answered")
		})
	}
}

// TestPingStopped: a probe without the time for all packets does not call them
// lost.
func TestPingStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := &pingProbe{
		aim: newAim(AnyTarget(), nil),
		way: func(context.Context, netip.Addr) error { return nil },
		once: func(context.Context, netip.Addr, time.Duration) (time.Duration, error) {
			cancel()
			return 0, nil
		},
	}
	got := p.probe(ctx, Target{Address: "192.0.2.1"})
	checkAnswer(t, got, "", "[ping 192.0.2.1] (stopped after 1 of 3 packets) == answered")
	if got = p.probe(t.Context(), Target{}); got.Verdict != diagnose.NotApplicable {
		t.Errorf("without an address: %+v", got)
	}
	p.aim = newAim(nil, nil)
	if got = p.probe(t.Context(), Target{Address: "192.0.2.1"}); got.Verdict != diagnose.Inconclusive || !strings.Contains(got.Observed, "not aimed at") {
		t.Errorf("outside the inventory: %+v", got)
	}
}
