package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// network is one that this machine is directly connected to: what is in it is
// reached without a router.
type network struct {
	link net.Interface
	own  netip.Addr
	span netip.Prefix
}

// connectedNetworks lists the networks of all links that are up, loopback
// excepted.
func connectedNetworks() ([]network, error) {
	links, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list the network links: %w", err)
	}
	var nets []network
	for _, link := range links {
		if link.Flags&net.FlagUp == 0 || link.Flags&net.FlagLoopback != 0 {
			continue
		}
		addrs, err := link.Addrs()
		if err != nil {
			continue // the link went away since it was listed
		}
		for _, a := range addrs {
			if span, err := netip.ParsePrefix(a.String()); err == nil {
				nets = append(nets, network{link: link, own: span.Addr(), span: span.Masked()})
			}
		}
	}
	return nets, nil
}

// holds tells whether an address is in the network. The zone of a link-local
// address, where there is one, names its link.
func (n *network) holds(a netip.Addr) bool {
	if zone := a.Zone(); zone != "" && zone != n.link.Name && zone != fmt.Sprint(n.link.Index) {
		return false
	}
	return n.span.Contains(plain(a))
}

// hasNeighbours is false for links without MAC addresses, such as tunnels.
func (n *network) hasNeighbours() bool {
	return len(n.link.HardwareAddr) == 6 && n.link.Flags&net.FlagPointToPoint == 0
}

// broadcast is the address that all hosts of the network hear; invalid where
// there is none (IPv6, and networks of one or two addresses).
func (n *network) broadcast() netip.Addr {
	if !n.span.Addr().Is4() || n.span.Bits() > 30 || n.link.Flags&net.FlagBroadcast == 0 {
		return netip.Addr{}
	}
	last := n.span.Addr().As4()
	for bit := n.span.Bits(); bit < 32; bit++ {
		last[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(last)
}

// aim is how the probes of devices get from a target to an address.
type aim struct {
	targets  *Targets
	resolver *net.Resolver
}

// newAim without targets permits nothing: who forgets them sends nothing.
func newAim(targets *Targets, resolver *net.Resolver) aim {
	if targets == nil {
		targets = NewTargets()
	}
	return aim{targets: targets, resolver: resolver}
}

// address is the target's one address. A name may lead to several: IPv4 is
// taken first, which is what the vendor's devices have.
func (m aim) address(ctx context.Context, t Target) (netip.Addr, error) {
	host, _ := splitAddress(t.Address)
	if err := m.targets.Permit(host); err != nil {
		return netip.Addr{}, err
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Unmap(), nil
	}
	addrs, err := m.resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("look up %s: %w", host, err)
	}
	var other netip.Addr
	for _, a := range addrs {
		if a = a.Unmap(); a.Is4() {
			return a, m.targets.permitResolved(plain(a))
		}
		other = a
	}
	if !other.IsValid() {
		return other, fmt.Errorf("look up %s: no address", host)
	}
	return other, m.targets.permitResolved(plain(other))
}

// discardPort takes what is sent to it and answers nothing (RFC 863); hardly
// anybody listens there.
const discardPort = 9

// touch sends an empty datagram, so that this machine has to find out who holds
// the address. Without send it only asks the kernel whether there is a way
// to it, and nothing is sent.
func touch(ctx context.Context, a netip.Addr, send bool) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "udp", netip.AddrPortFrom(a, discardPort).String())
	if err != nil {
		return fmt.Errorf("aim at %s: %w", a, err)
	}
	defer func() { _ = c.Close() }() // what was to be sent is sent
	if !send {
		return nil
	}
	if _, err := c.Write(nil); err != nil {
		return fmt.Errorf("send to %s: %w", a, err)
	}
	return nil
}

// whyNot puts the reason of a failed send or open into one plain word or two,
// where there is one.
func whyNot(err error) string {
	switch {
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return "refused: " + err.Error()
	case errors.Is(err, syscall.ENETUNREACH):
		return "no route: " + err.Error()
	}
	return err.Error()
}
