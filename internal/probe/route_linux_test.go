package probe

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestRoute(t *testing.T) {
	t.Parallel()
	l := newLAN(t, plugMAC)
	probe := NewRoute(RouteOptions{})
	ask := func(result, shown string) {
		t.Helper()
		checkAnswer(t, l.ask(t, probe, Target{}), result, "[route default] "+shown+" == ok")
	}
	ask("none", "(no default route)")

	l.ip(t, l.gateway, "route add default via 192.0.2.10")
	ask("ok", "(v4 by 192.0.2.10 on lan0 is up, gateway not asked lately)")
	l.use(t, "198.51.100.1")
	ask("ok", "(v4 by 192.0.2.10 on lan0 gateway is there)")

	l.ip(t, l.gateway, "-6 route add default via 2001:db8::99")
	l.use(t, "2001:db8:1::1")
	ask("ok", "(v4 by 192.0.2.10 on lan0 gateway is there; v6 by 2001:db8::99 on lan0 gateway has not answered yet)")

	l.ip(t, l.gateway, "route del default")
	ask("none", "(v6 by 2001:db8::99 on lan0 gateway does not answer)")

	l.ip(t, l.gateway, "route add default via 192.0.2.10")
	l.ip(t, l.device, "link set eth0 down") // the carrier goes
	deadline := time.Now().Add(5 * time.Second)
	for l.ask(t, probe, Target{}).Result == "ok" && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond)
	}
	ask("none", "(v4 by 192.0.2.10 on lan0 is down; v6 by 2001:db8::99 on lan0 is down)")
}

// use sends something by a route, so that the kernel asks for the gateway.
func (l lan) use(t *testing.T, address string) {
	t.Helper()
	err := within(l.gateway, func() error { return touch(context.Background(), netip.MustParseAddr(address), true) })
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
}

// TestRouteShared: a default route over two gateways, one of them by IPv6, and
// routes that are no ways out.
func TestRouteShared(t *testing.T) {
	t.Parallel()
	l := newLAN(t, plugMAC)
	l.ip(t, l.gateway, "route add default nexthop via 192.0.2.98 dev lan0 nexthop via inet6 fe80::1 dev lan0 onlink")
	l.ip(t, l.gateway, "route add unreachable default metric 4000")
	l.ip(t, l.gateway, "-6 route add unreachable default metric 4000")
	l.ip(t, l.gateway, "neigh add 192.0.2.98 dev lan0 nud failed")
	got := l.ask(t, NewRoute(RouteOptions{}), Target{})
	checkAnswer(t, got, "ok", "[route default] (v4 by 192.0.2.98 on lan0 gateway does not answer; "+
		"v4 by fe80::1 on lan0 is up, gateway not asked lately) == ok")
}

// TestRouteStates goes through what the kernel may know of the only way out.
func TestRouteStates(t *testing.T) {
	gateway := netip.MustParseAddr("192.0.2.1")
	up := net.FlagUp | net.FlagRunning
	entry := func(n neighbour) []neighbour { n.addr, n.link = gateway, 1; return []neighbour{n} }
	tests := map[string]struct {
		hop           hop
		flags         net.Flags
		table         []neighbour
		failed        error
		result, shown string
	}{
		"ppp":             {hop{link: 1}, up, nil, nil, "ok", "(v4 on wan is up)"},
		"not up":          {hop{link: 1}, 0, nil, nil, "none", "(v4 on wan is down)"},
		"no carrier":      {hop{link: 1}, net.FlagUp, nil, nil, "none", "(v4 on wan is down)"},
		"dead":            {hop{link: 1, dead: true, v6: true}, up, nil, nil, "none", "(v6 on wan is down)"},
		"reachable":       {hop{link: 1, gateway: gateway}, up, entry(neighbour{state: stateReachable}), nil, "ok", "(v4 by 192.0.2.1 on wan gateway is there)"},
		"failed":          {hop{link: 1, gateway: gateway}, up, entry(neighbour{state: stateFailed, updated: time.Second}), nil, "none", "(v4 by 192.0.2.1 on wan gateway does not answer)"},
		"failed long ago": {hop{link: 1, gateway: gateway}, up, entry(neighbour{state: stateFailed, updated: time.Hour}), nil, "", "(v4 by 192.0.2.1 on wan gateway did not answer 1h0m0s ago)"},
		"asked for":       {hop{link: 1, gateway: gateway}, up, entry(neighbour{state: stateIncomplete}), nil, "", "(v4 by 192.0.2.1 on wan gateway has not answered yet)"},
		"another link's":  {hop{link: 2, gateway: gateway}, up, entry(neighbour{state: stateFailed}), nil, "ok", "(v4 by 192.0.2.1 on wan is up, gateway not asked lately)"},
		"table refused":   {hop{link: 1, gateway: gateway}, up, nil, unix.EPERM, "", "(v4 by 192.0.2.1 on wan refused: operation not permitted)"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := &routeProbe{
				limit:      20 * time.Millisecond,
				defaults:   func() ([]hop, error) { return []hop{test.hop}, nil },
				neighbours: func(netip.Addr) ([]neighbour, error) { return test.table, test.failed },
				link:       func(int) (*net.Interface, error) { return &net.Interface{Name: "wan", Flags: test.flags}, nil },
			}
			checkAnswer(t, p.probe(t.Context(), Target{}), test.result, "[route default] "+test.shown+" == ok")
		})
	}
}

// TestRouteRefused: routes that may not be read are not missing ones.
func TestRouteRefused(t *testing.T) {
	p := &routeProbe{limit: time.Second, defaults: func() ([]hop, error) { return nil, unix.EAFNOSUPPORT }}
	checkAnswer(t, p.probe(t.Context(), Target{}), "", "[route default] (address family not supported by protocol) == ok")
}

func TestParseDefaultsCut(t *testing.T) {
	head := []byte{unix.AF_INET, 0, 0, 0, 254, 0, 0, unix.RTN_UNICAST, 0, 0, 0, 0}
	for name, raw := range map[string][]byte{
		"header":    message(unix.RTM_NEWROUTE, head[:8]),
		"attribute": message(unix.RTM_NEWROUTE, head, []byte{200, 200, 1, 0}),
		"next hop":  message(unix.RTM_NEWROUTE, head, attr(unix.RTA_MULTIPATH, 99, 99, 0, 0, 1, 0, 0, 0)),
		"message":   message(unix.RTM_NEWROUTE, head)[:20],
	} {
		if got, err := parseDefaults(raw); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
