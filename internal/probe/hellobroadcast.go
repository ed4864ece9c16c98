package probe

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
)

// maxSightings bounds how many answers to one broadcast are told: a network has
// no more devices, but anybody on it can make them up.
const maxSightings = 256

// errNotBroadcast is why a device could not be looked for.
var errNotBroadcast = errors.New("no broadcast was due")

// search finds a device of which nothing but the MAC is known.
func (h *hello) search(ctx context.Context, t Target, mac net.HardwareAddr) Answer {
	if mac == nil {
		return doesNotApply(Hello, "device", "neither its address nor its MAC is known")
	}
	conn, done, err := openHello(ctx)
	if err != nil {
		return cannotTell(Hello, t.shown(), whyNot(err), good(Hello))
	}
	defer done()
	s, err := h.broadcast(ctx, conn, netip.Addr{}, mac, helloPackets)
	if err != nil {
		return cannotTell(Hello, t.shown(), "no address is known, and "+whyNot(err), good(Hello))
	}
	if s == nil {
		// A locked device need not answer a broadcast: this is not silence.
		return cannotTell(Hello, t.shown(), "no address is known, and it did not answer a broadcast", good(Hello))
	}
	result := s.result()
	return found(Hello, t.shown(), result, result+" at "+s.Address.String()+", "+s.String(), good(Hello))
}

// broadcast says hello once to the networks where the device may be, and
// returns it when its MAC answers. Answers count only from this machine's own
// networks; near is where the device was, if that is known.
func (h *hello) broadcast(ctx context.Context, conn *net.UDPConn, near netip.Addr, mac net.HardwareAddr, packets int) (*Sighting, error) {
	nets, err := h.networks()
	if err != nil {
		return nil, err
	}
	to := broadcastTo(nets, near, packets)
	if len(to) == 0 || ctx.Err() != nil || h.MayBroadcast == nil || !h.MayBroadcast() {
		return nil, errNotBroadcast
	}
	sent := 0
	for _, a := range to {
		if _, err = conn.WriteToUDPAddrPort(HelloRequest(h.Now()), netip.AddrPortFrom(a, h.Port)); err == nil {
			sent++
		}
	}
	if sent == 0 {
		return nil, err
	}
	var device *Sighting
	told := 0
	// Less than a try: four of them and this fit into MaxProbe.
	err = h.listen(ctx, conn, h.Interval*4/5, func(from netip.Addr, packet []byte) bool {
		if !slices.ContainsFunc(nets, func(n network) bool { return n.holds(from) && n.own != from }) {
			return false
		}
		reply, err := ParseHello(packet)
		if err != nil {
			return false
		}
		s := Sighting{HelloReply: reply, Address: from, Broadcast: true}
		if told++; told <= maxSightings {
			h.tell(s)
		}
		if reply.MAC.String() == mac.String() {
			device = &s
		}
		return device != nil
	})
	return device, err
}

// broadcastTo chooses whom to ask: the network where the device was, and then
// private ones (RFC 1918); a provider's network is none of the site's.
func broadcastTo(nets []network, near netip.Addr, packets int) []netip.Addr {
	var first, others []netip.Addr
	for _, n := range nets {
		a := n.broadcast()
		switch {
		case !a.IsValid() || slices.Contains(first, a) || slices.Contains(others, a):
		case near.IsValid() && n.holds(near):
			first = append(first, a)
		case n.own.IsPrivate():
			others = append(others, a)
		}
	}
	all := slices.Concat(first, others)
	return all[:min(len(all), max(packets, 0))]
}
