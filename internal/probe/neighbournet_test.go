package probe

import (
	"net"
	"net/netip"
	"strings"
	"testing"
)

func TestNetwork(t *testing.T) {
	ether := net.HardwareAddr{0x34, 0xea, 0x34, 0, 0, 1}
	tests := []struct {
		network    string
		link       net.Interface
		broadcast  string
		neighbours bool
	}{
		{"192.0.2.77/24", net.Interface{Flags: net.FlagBroadcast, HardwareAddr: ether}, "192.0.2.255", true},
		{"10.20.30.40/20", net.Interface{Flags: net.FlagBroadcast, HardwareAddr: ether}, "10.20.31.255", true},
		{"192.0.2.1/30", net.Interface{Flags: net.FlagBroadcast, HardwareAddr: ether}, "192.0.2.3", true},
		{"192.0.2.0/31", net.Interface{Flags: net.FlagBroadcast, HardwareAddr: ether}, "", true},
		{"2001:db8::1/64", net.Interface{Flags: net.FlagBroadcast, HardwareAddr: ether}, "", true},
		{"10.8.0.1/24", net.Interface{Flags: net.FlagPointToPoint}, "", false},
		{"10.8.0.1/24", net.Interface{Flags: net.FlagPointToPoint, HardwareAddr: ether}, "", false},
	}
	for _, test := range tests {
		p := netip.MustParsePrefix(test.network)
		n := network{link: test.link, own: p.Addr(), span: p.Masked()}
		broadcast := ""
		if a := n.broadcast(); a.IsValid() {
			broadcast = a.String()
		}
		if broadcast != test.broadcast || n.hasNeighbours() != test.neighbours {
			t.Errorf("%s: broadcast %q, neighbours %v, want %q, %v", test.network, broadcast, n.hasNeighbours(), test.broadcast, test.neighbours)
		}
	}
}

func TestNetworkHolds(t *testing.T) {
	n := network{link: net.Interface{Name: "eth0", Index: 3}, span: netip.MustParsePrefix("fe80::/64")}
	for a, want := range map[string]bool{
		"fe80::9": true, "fe80::9%eth0": true, "fe80::9%3": true, "fe80::9%eth1": false, "fe80:0:0:1::9": false,
	} {
		if got := n.holds(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s: %v", a, got)
		}
	}
	n.span = netip.MustParsePrefix("192.0.2.0/24")
	if !n.holds(netip.MustParseAddr("::ffff:192.0.2.9")) || n.holds(netip.MustParseAddr("192.0.3.9")) {
		t.Error("IPv4: wrong")
	}
}

// TestAimName: a name that leads nowhere, or where it must not, is no target.
func TestAimName(t *testing.T) {
	nobody := &net.Resolver{PreferGo: true, Dial: (&net.Dialer{Control: NewTargets().Control}).DialContext}
	m := newAim(NewTargets("plug.invalid"), nobody)
	if a, err := m.address(t.Context(), Target{Address: "plug.invalid"}); err == nil || !strings.HasPrefix(err.Error(), "look up plug.invalid: ") {
		t.Errorf("got %s, %v", a, err)
	}
	m = newAim(NewTargets("192.0.2.1"), nil)
	if a, err := m.address(t.Context(), Target{Address: "[::ffff:192.0.2.1]:80"}); err != nil || a != netip.MustParseAddr("192.0.2.1") {
		t.Errorf("got %s, %v", a, err)
	}
}
