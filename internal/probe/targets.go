package probe

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// ErrDenied is why a probe was not sent: the address may not be aimed at.
var ErrDenied = errors.New("not aimed at")

// Targets says which addresses probes may aim at: those of the site profile and
// of the inventory. An address that came in a message is neither. Safe for
// concurrent use.
type Targets struct {
	// anywhere: a person at the gateway chooses, and has seen what is typed.
	anywhere bool
	// interfaces are this machine's addresses, for directed broadcasts.
	interfaces func() ([]net.Addr, error)

	mu sync.RWMutex
	// hosts holds names and addresses in one spelling, with the ports that were
	// named beside the usual ones.
	hosts map[string]map[string]bool
	// learned are addresses of the inventory that nobody wrote down.
	learned map[netip.Addr]bool
}

// NewTargets allows what was written down: HOST or HOST:PORT, with IPv6 in
// brackets where a port follows. Loopback and link-local addresses are aimed at
// only where they stand here themselves; a name that leads to one is not enough.
func NewTargets(configured ...string) *Targets {
	t := &Targets{interfaces: net.InterfaceAddrs, hosts: map[string]map[string]bool{}, learned: map[netip.Addr]bool{}}
	for _, address := range configured {
		host, port := splitAddress(address)
		if host == "" {
			continue
		}
		host = spelling(host)
		if t.hosts[host] == nil {
			t.hosts[host] = map[string]bool{}
		}
		t.hosts[host][port] = true
	}
	return t
}

// AnyTarget allows what a person at the gateway types, but for what is never
// aimed at: multicast, broadcast, the unspecified and the metadata addresses.
func AnyTarget() *Targets {
	t := NewTargets()
	t.anywhere = true
	return t
}

// Learn allows the address of a device that answered from it on a directly
// connected network. Loopback, link-local and what is never aimed at are
// refused with ErrDenied.
func (t *Targets) Learn(a netip.Addr) error {
	a = plain(a)
	if why := t.never(a); why != "" {
		return denied(a.String(), why)
	}
	if why := local(a); why != "" {
		return denied(a.String(), why+", which is aimed at only where it is configured")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.learned[a] = true
	return nil
}

// Forget takes back what Learn allowed: the device is elsewhere now.
func (t *Targets) Forget(a netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.learned, plain(a))
}

// Permit tells whether a probe may aim at HOST or HOST:PORT; the error is
// ErrDenied with the reason. A name is looked at again once it is an address:
// see Control.
func (t *Targets) Permit(address string) error {
	host, port := splitAddress(address)
	if host == "" {
		return denied(address, "it is no address")
	}
	a, err := netip.ParseAddr(host)
	isIP := err == nil
	if isIP {
		if why := t.never(plain(a)); why != "" {
			return denied(host, why)
		}
	}
	if t.anywhere {
		return nil
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	ports, ok := t.hosts[spelling(host)]
	if !ok && !(isIP && t.learned[plain(a)]) {
		return denied(host, "it stands neither in the site profile nor in the inventory")
	}
	if port != "" && !usualPort(port) && !ports[port] {
		return denied(net.JoinHostPort(host, port), "the port is not configured")
	}
	return nil
}

// Control is a net.Dialer's Control: it sees the address that a name led to,
// just before anything is sent. A name server must not make this machine knock
// at itself or at the metadata service.
func (t *Targets) Control(_, address string, _ syscall.RawConn) error {
	host, _ := splitAddress(address)
	a, err := netip.ParseAddr(host)
	if err != nil {
		return denied(address, "it is no address")
	}
	return t.permitResolved(plain(a))
}

// controlNamed is Control for what the profile or the system names as an
// address itself, as a resolver on loopback: only what is never aimed at is
// held back.
func (t *Targets) controlNamed(_, address string, _ syscall.RawConn) error {
	host, _ := splitAddress(address)
	a, err := netip.ParseAddr(host)
	if err != nil {
		return denied(address, "it is no address")
	}
	if why := t.never(plain(a)); why != "" {
		return denied(host, why)
	}
	return nil
}

// permitResolved judges an address that a permitted name led to.
func (t *Targets) permitResolved(a netip.Addr) error {
	if why := t.never(a); why != "" {
		return denied(a.String(), why)
	}
	why := local(a)
	if why == "" || t.anywhere {
		return nil
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	if _, ok := t.hosts[a.String()]; ok {
		return nil
	}
	return denied(a.String(), why+", which is aimed at only where it is configured")
}

// never says why an address is not aimed at, whoever asks; "" if it may be.
func (t *Targets) never(a netip.Addr) string {
	switch {
	case a.IsUnspecified():
		return "it is no host's address"
	case a.IsMulticast():
		return "it is a multicast address"
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) || t.directedBroadcast(a):
		return "it is a broadcast address"
	case isMetadata(a):
		return "it is the metadata service of a cloud machine"
	}
	return ""
}

// isMetadata knows the addresses under which cloud providers hand out a
// machine's credentials: 169.254.169.254 everywhere, fd00:ec2::254 for IPv6.
func isMetadata(a netip.Addr) bool {
	return a == netip.AddrFrom4([4]byte{169, 254, 169, 254}) || a == netip.AddrFrom16([16]byte{0: 0xfd, 2: 0x0e, 3: 0xc2, 14: 0x02, 15: 0x54})
}

// directedBroadcast knows the broadcast addresses of this machine's networks
// (RFC 919, 7). A network of one or two addresses has none (RFC 3021).
func (t *Targets) directedBroadcast(a netip.Addr) bool {
	if !a.Is4() {
		return false
	}
	addrs, err := t.interfaces()
	if err != nil {
		return false
	}
	for _, one := range addrs {
		n, ok := one.(*net.IPNet)
		if !ok || n.IP.To4() == nil || n.IP.IsLoopback() {
			continue
		}
		if bits, _ := n.Mask.Size(); bits == 0 || bits > 30 {
			continue
		}
		last := n.IP.Mask(n.Mask).To4()
		mask := n.Mask[len(n.Mask)-4:]
		for i := range last {
			last[i] |= ^mask[i]
		}
		if b, ok := netip.AddrFromSlice(last); ok && a == b {
			return true
		}
	}
	return false
}

// local says what keeps an address on this machine or link; "" for others.
func local(a netip.Addr) string {
	switch {
	case a.IsLoopback():
		return "it is a loopback address"
	case a.IsLinkLocalUnicast():
		return "it is a link-local address"
	}
	return ""
}

// usualPort lists the ports that a site's services and the vendor's have: name
// server, web, time, SDK login (vendor's FAQ appsdk_10: 12345).
func usualPort(port string) bool {
	switch port {
	case "53", "80", "123", "443", "12345":
		return true
	}
	return false
}

func denied(address, why string) error {
	return fmt.Errorf("%w: %s: %s", ErrDenied, address, why)
}

// plain is an address without the IPv4-in-IPv6 form and without a zone, which
// are other spellings of the same.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// spelling is the one form in which hosts are compared.
func spelling(host string) string {
	if a, err := netip.ParseAddr(host); err == nil {
		return plain(a).String()
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// splitAddress splits HOST or HOST:PORT; the port may be "". The host is "" for
// what is neither.
func splitAddress(address string) (host, port string) {
	if isAddr(address) {
		return address, ""
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host, port = address, ""
		if inner, ok := strings.CutPrefix(address, "["); ok {
			host = strings.TrimSuffix(inner, "]")
		}
	}
	if _, err := strconv.ParseUint(cmp.Or(port, "0"), 10, 16); err != nil ||
		strings.ContainsAny(host, "[]/@ ") || strings.Contains(host, ":") && !isAddr(host) {
		return "", ""
	}
	return host, port
}

func isAddr(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}

// withPort is an address to dial: the port is added where there is none.
func withPort(address, port string) string {
	host, own := splitAddress(address)
	if own != "" {
		port = own
	}
	return net.JoinHostPort(host, port)
}
