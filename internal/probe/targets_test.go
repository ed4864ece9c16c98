package probe

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
)

// onLAN gives this machine one address in the documentation network.
func onLAN(t *Targets) *Targets {
	t.interfaces = func() ([]net.Addr, error) {
		return []net.Addr{
			&net.IPNet{IP: net.IPv4(192, 0, 2, 5), Mask: net.CIDRMask(24, 32)},
			&net.IPNet{IP: net.IPv4(198, 51, 100, 1), Mask: net.CIDRMask(31, 32)},
			&net.IPNet{IP: net.ParseIP("2001:db8::5"), Mask: net.CIDRMask(64, 128)},
		}, nil
	}
	return t
}

func TestPermit(t *testing.T) {
	targets := onLAN(NewTargets("192.0.2.10", "cloud.example:8883", "Other.example.", "[2001:db8::10]:443", "127.0.0.53", "169.254.169.254", "printer"))
	for address, allowed := range map[string]bool{
		"192.0.2.10":            true,
		"192.0.2.10:80":         true,
		"192.0.2.10:22":         false, // no port that is usual or configured
		"::ffff:192.0.2.10":     true,
		"192.0.2.11":            false,
		"cloud.example":         true,
		"CLOUD.example.":        true,
		"cloud.example:8883":    true,
		"cloud.example:443":     true,
		"cloud.example:12345":   true,
		"cloud.example:25":      false,
		"other.example:443":     true,
		"other.example:8883":    false,
		"evil.cloud.example":    false,
		"2001:db8::10":          true,
		"[2001:db8::10]:443":    true,
		"[2001:db8::10]":        true,
		"2001:db8::11":          false,
		"127.0.0.53:53":         true,
		"127.0.0.1":             false,
		"::1":                   false,
		"169.254.169.254":       false, // configured, and still never
		"[fd00:ec2::254]:80":    false,
		"0.0.0.0":               false,
		"::":                    false,
		"224.0.0.251":           false,
		"ff02::1":               false,
		"255.255.255.255":       false,
		"printer":               true,
		"":                      false,
		"cloud.example:443/x":   false,
		"user@cloud.example":    false,
		"cloud.example:443:443": false,
	} {
		err := targets.Permit(address)
		if (err == nil) != allowed {
			t.Errorf("%q: %v, want allowed %v", address, err, allowed)
		}
		if err != nil && !errors.Is(err, ErrDenied) {
			t.Errorf("%q: %v is not ErrDenied", address, err)
		}
	}
}

func TestPermitByHand(t *testing.T) {
	targets := onLAN(AnyTarget())
	for address, allowed := range map[string]bool{
		"127.0.0.1:8080":     true,
		"fe80::1":            true,
		"anything.example:7": true,
		"192.0.2.77":         true,
		"192.0.2.255":        false, // the LAN's broadcast
		"192.0.2.254":        true,
		"198.51.100.1":       true, // a network of two has no broadcast
		"169.254.169.254:80": false,
		"239.255.255.250":    false,
		"255.255.255.255":    false,
		"0.0.0.0":            false,
		"not an address":     false,
	} {
		if err := targets.Permit(address); (err == nil) != allowed {
			t.Errorf("%q: %v, want allowed %v", address, err, allowed)
		}
	}
}

// TestControl: what a permitted name leads to is looked at again.
func TestControl(t *testing.T) {
	targets := onLAN(NewTargets("cloud.example", "127.0.0.2"))
	for address, allowed := range map[string]bool{
		"203.0.113.9:443":             true,
		"10.0.0.1:443":                true,
		"127.0.0.1:443":               false,
		"127.0.0.2:443":               true, // configured itself
		"[::1]:443":                   false,
		"[fe80::1%lan0]:443":          false,
		"169.254.7.7:443":             false,
		"169.254.169.254:80":          false,
		"[::ffff:169.254.169.254]:80": false,
		"192.0.2.255:443":             false,
		"cloud.example:443":           false, // no address yet
	} {
		if err := targets.Control("tcp", address, nil); (err == nil) != allowed {
			t.Errorf("%q: %v, want allowed %v", address, err, allowed)
		}
	}
}

func TestLearn(t *testing.T) {
	targets := onLAN(NewTargets())
	device := netip.MustParseAddr("192.0.2.30")
	if targets.Permit("192.0.2.30") == nil {
		t.Error("an address was allowed before its device was known")
	}
	if err := targets.Learn(netip.MustParseAddr("::ffff:192.0.2.30")); err != nil {
		t.Error(err)
	}
	if err := targets.Permit("192.0.2.30:80"); err != nil {
		t.Error(err)
	}
	if targets.Permit("192.0.2.30:22") == nil {
		t.Error("a port of no use was allowed")
	}
	targets.Forget(device)
	if targets.Permit("192.0.2.30") == nil {
		t.Error("an address stayed allowed after its device had gone")
	}
	for _, bad := range []string{"127.0.0.1", "::1", "169.254.1.1", "fe80::1", "224.0.0.1", "169.254.169.254", "192.0.2.255", "0.0.0.0"} {
		if err := targets.Learn(netip.MustParseAddr(bad)); !errors.Is(err, ErrDenied) {
			t.Errorf("%s was learned: %v", bad, err)
		}
	}
}

func TestSplitAddress(t *testing.T) {
	for address, want := range map[string]string{
		"a.example": "a.example|", "a.example:80": "a.example|80", "192.0.2.1": "192.0.2.1|", "192.0.2.1:53": "192.0.2.1|53",
		"::1": "::1|", "[::1]": "::1|", "[::1]:443": "::1|443", "fe80::1%lan0": "fe80::1%lan0|",
		"a:b:c": "|", "a b": "|", "http://a.example": "|", "": "|", "a:http": "|", "a:": "a|", "a:70000": "|", "me@a:80": "|",
	} {
		host, port := splitAddress(address)
		if got := host + "|" + port; got != want {
			t.Errorf("%q: %q, want %q", address, got, want)
		}
	}
	if got := withPort("::1", "53"); got != "[::1]:53" {
		t.Errorf("got %q", got)
	}
	if err := denied("x", "because"); !strings.Contains(err.Error(), "not aimed at: x: because") {
		t.Error(err)
	}
}
