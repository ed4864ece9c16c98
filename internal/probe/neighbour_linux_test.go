package probe

import (
	"encoding/binary"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"fieldmedic/internal/diagnose"

	"golang.org/x/sys/unix"
)

func TestNeighbour(t *testing.T) {
	t.Parallel()
	l := newLAN(t, plugMAC)
	l.ip(t, l.gateway, "neigh add 192.0.2.50 lladdr "+plugMAC+" nud permanent dev lan0")
	probe := NewNeighbour(NeighbourOptions{Targets: AnyTarget()})
	tests := map[string]struct {
		target        Target
		result, shown string
	}{
		"match":         {Target{"192.0.2.10", plugMAC}, "match", "(" + plugMAC + " on lan0, confirmed AGE ago) == " + plugMAC},
		"other mac":     {Target{"192.0.2.10", otherMAC}, "other-mac", "(" + plugMAC + " on lan0, confirmed AGE ago) == " + otherMAC},
		"mac not known": {Target{Address: "192.0.2.10"}, "", "(" + plugMAC + " on lan0, and no MAC is known to compare with) == match"},
		"absent":        {Target{"192.0.2.99", plugMAC}, "absent", "(nobody answers for it) == match"},
		"IPv6":          {Target{"2001:db8::10", plugMAC}, "match", "(" + plugMAC + " on lan0, confirmed AGE ago) == " + plugMAC},
		"IPv6, other":   {Target{"2001:db8::10", otherMAC}, "other-mac", "(" + plugMAC + " on lan0, confirmed AGE ago) == " + otherMAC},
		"IPv6, absent":  {Target{"2001:db8::99", plugMAC}, "absent", "(nobody answers for it) == match"},
		"set by hand":   {Target{"192.0.2.50", otherMAC}, "", "(" + plugMAC + " on lan0, set by hand) == match"},
		"own":           {Target{"192.0.2.1", plugMAC}, "not-applicable", "(it is this machine's own address) == match"},
		"elsewhere":     {Target{"198.51.100.1", plugMAC}, "not-applicable", "(it is on no directly connected network) == match"},
		"loopback":      {Target{"127.0.0.1", plugMAC}, "not-applicable", "(it is on no directly connected network) == match"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := l.ask(t, probe, test.target)
			got.Observed = age.ReplaceAllString(got.Observed, "confirmed AGE ago")
			checkAnswer(t, got, test.result, "[neighbour "+test.target.Address+"] "+test.shown)
		})
	}
}

// age differs by what the kernel did meanwhile.
var age = regexp.MustCompile(`confirmed \d+m?\d*s ago`)

// TestNeighbourTouch: what the probe sends is an empty datagram, and nothing
// where the kernel knows already.
func TestNeighbourTouch(t *testing.T) {
	t.Parallel()
	l := newLAN(t, plugMAC)
	probe := NewNeighbour(NeighbourOptions{Targets: AnyTarget()})
	end := l.capture(t)
	for range 2 {
		if got := l.ask(t, probe, Target{"192.0.2.10", plugMAC}); got.Result != "match" {
			t.Errorf("got %+v", got)
		}
	}
	time.Sleep(30 * time.Millisecond) // until the capture has read what came
	if sent := end(); len(sent) != 1 || len(sent[0]) != 0 {
		t.Errorf("sent %x, want one empty datagram", sent)
	}
}

// TestNeighbourComesBack: an address that nobody held is asked for again.
func TestNeighbourComesBack(t *testing.T) {
	t.Parallel()
	l := newLAN(t, plugMAC)
	probe := NewNeighbour(NeighbourOptions{Targets: AnyTarget()})
	if got := l.ask(t, probe, Target{"192.0.2.11", plugMAC}); got.Result != "absent" {
		t.Errorf("before: %+v", got)
	}
	l.ip(t, l.device, "addr add 192.0.2.11/24 dev eth0")
	if got := l.ask(t, probe, Target{"192.0.2.11", plugMAC}); got.Result != "match" {
		t.Errorf("after: %+v", got)
	}
}

// attr is one attribute as the kernel writes it.
func attr(kind uint16, value ...byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(value)))
	b = append(binary.NativeEndian.AppendUint16(b, kind), value...)
	return append(b, make([]byte, -len(b)&3)...)
}

// message is one netlink message.
func message(kind uint16, parts ...[]byte) []byte {
	var body []byte
	for _, p := range parts {
		body = append(body, p...)
	}
	b := binary.NativeEndian.AppendUint32(nil, uint32(16+len(body)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, make([]byte, 10)...)
	return append(b, body...)
}

func u32(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }

func TestParseNeighbours(t *testing.T) {
	head := append(append([]byte{unix.AF_INET, 0, 0, 0}, u32(7)...), 0x04, 0, 0, 0)
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		head[8], head[9] = 0, 0x04
	}
	whole := message(unix.RTM_NEWNEIGH, head,
		attr(unix.NDA_DST, 192, 0, 2, 10), attr(unix.NDA_LLADDR, 0x34, 0xea, 0x34, 0, 0, 1),
		attr(unix.NDA_CACHEINFO, append(append(u32(200), u32(5)...), append(u32(300), u32(1)...)...)...))
	got, err := parseNeighbours(append(whole, message(unix.NLMSG_DONE, u32(0))...))
	if err != nil || len(got) != 1 {
		t.Fatalf("got %+v, %v", got, err)
	}
	n := got[0]
	if n.link != 7 || n.addr.String() != "192.0.2.10" || n.mac.String() != plugMAC || n.state != stateStale ||
		n.confirmed != 2*time.Second || n.updated != 3*time.Second {
		t.Errorf("got %+v", n)
	}
	for name, raw := range map[string][]byte{
		"cut header":    message(unix.RTM_NEWNEIGH, head[:8]),
		"cut attribute": message(unix.RTM_NEWNEIGH, head, []byte{200, 200, 1, 0}),
		"cut message":   whole[:20],
		"empty attr":    message(unix.RTM_NEWNEIGH, head, []byte{0, 0, 0, 0}),
	} {
		if got, err := parseNeighbours(raw); err == nil || !strings.Contains(err.Error(), "cut") && name != "cut message" {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// TestNeighbourVerdicts goes through what the kernel may say.
func TestNeighbourVerdicts(t *testing.T) {
	mac, _ := readMAC(plugMAC)
	tests := map[string]struct {
		entry         *neighbour
		asked, last   bool
		result, shown string // both empty: wait
	}{
		"missing":              {nil, false, false, "", ""},
		"missing at the end":   {nil, true, true, "", "(the kernel has no answer yet) == match"},
		"asked for":            {&neighbour{state: stateIncomplete}, true, false, "", ""},
		"asked for, the end":   {&neighbour{state: stateIncomplete}, true, true, "", "(the kernel has no answer yet) == match"},
		"failed earlier":       {&neighbour{state: stateFailed}, false, false, "", ""},
		"failed":               {&neighbour{state: stateFailed}, true, false, "absent", "(nobody answers for it) == match"},
		"stale, lately":        {&neighbour{state: stateStale, mac: mac, confirmed: 5 * time.Minute}, false, false, "match", "(" + plugMAC + " on lan, confirmed 5m0s ago) == " + plugMAC},
		"stale for long":       {&neighbour{state: stateStale, mac: mac, confirmed: time.Hour}, false, false, "", ""},
		"stale, asked":         {&neighbour{state: stateDelay, mac: mac, confirmed: time.Hour}, true, false, "", "(" + plugMAC + " on lan, confirmed 1h0m0s ago) == match"},
		"being confirmed":      {&neighbour{state: stateProbe, mac: mac, confirmed: time.Hour}, true, false, "", ""},
		"being confirmed, end": {&neighbour{state: stateProbe, mac: mac, confirmed: time.Hour}, true, true, "", "(" + plugMAC + " on lan, confirmed 1h0m0s ago) == match"},
		"reachable":            {&neighbour{state: stateReachable, mac: mac, confirmed: time.Hour}, false, false, "match", "(" + plugMAC + " on lan, confirmed 1h0m0s ago) == " + plugMAC},
		"a group's MAC":        {&neighbour{state: stateReachable, mac: []byte{1, 0, 0x5e, 0, 0, 1}}, true, false, "absent", "(nobody answers for it) == match"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			q := &question{target: "192.0.2.10", mac: mac, asked: test.asked, links: map[int]string{0: "lan"}}
			got := q.judge(test.entry, test.last)
			if got == nil {
				if test.shown != "" {
					t.Errorf("waits, want %s", test.shown)
				}
				return
			}
			if test.shown == "" {
				t.Fatalf("got %+v, want to wait", got)
			}
			checkAnswer(t, *got, test.result, "[neighbour 192.0.2.10] "+test.shown)
		})
	}
}

// TestNeighbourBest: the expected holder counts where several links hold the
// address, whichever comes first.
func TestNeighbourBest(t *testing.T) {
	right, _ := readMAC(plugMAC)
	wrong, _ := readMAC(otherMAC)
	a := netip.MustParseAddr("192.0.2.10")
	q := &question{addr: a, mac: right, links: map[int]string{1: "a", 2: "b"}}
	table := []neighbour{
		{link: 1, addr: a, state: stateFailed},
		{link: 1, addr: a, state: stateStale, mac: wrong},
		{link: 2, addr: a, state: stateStale, mac: right},
		{link: 3, addr: a, state: stateReachable, mac: wrong},
		{link: 1, addr: netip.MustParseAddr("192.0.2.11"), state: stateReachable, mac: right},
	}
	if best := q.best(table); best != &table[2] {
		t.Errorf("best %+v", best)
	}
	if best := q.best(table[:2]); best != &table[1] {
		t.Errorf("best %+v", best)
	}
	if best := q.best(table[3:]); best != nil {
		t.Errorf("best %+v", best)
	}
}

// TestNeighbourRefused: a table that may not be read tells nothing.
func TestNeighbourRefused(t *testing.T) {
	t.Parallel()
	l := newLAN(t, plugMAC)
	p := newNeighbour(NeighbourOptions{Targets: NewTargets("192.0.2.10")})
	got := l.ask(t, p.probe, Target{Address: "192.0.2.11"})
	checkAnswer(t, got, "", "[neighbour 192.0.2.11] (not aimed at: 192.0.2.11: it stands neither in the site profile nor in the inventory) == match")
	p.read = func(netip.Addr) ([]neighbour, error) { return nil, unix.EPERM }
	got = l.ask(t, p.probe, Target{Address: "192.0.2.10"})
	checkAnswer(t, got, "", "[neighbour 192.0.2.10] (refused: operation not permitted) == match")
	if got = l.ask(t, p.probe, Target{}); got.Verdict != diagnose.NotApplicable {
		t.Errorf("without an address: %+v", got)
	}
}
