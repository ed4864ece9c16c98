package probe

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// NeighbourOptions of the neighbour probe.
type NeighbourOptions struct {
	// Targets may be aimed at; nil: none.
	Targets *Targets
	// Resolver of devices' names; nil: the system's.
	Resolver *net.Resolver
	// Limit is how long the holder of an address is waited for; 0: 3.5 s, since
	// the kernel asks three times, a second apart.
	Limit time.Duration
}

// The ages and times of the neighbour table.
const (
	neighbourLimit = 3500 * time.Millisecond
	neighbourPause = 100 * time.Millisecond
	// maxNeighbourAge is how long ago the holder may have been confirmed. A
	// table that is hardly used keeps entries for hours, and an address may have
	// been given to somebody else since.
	maxNeighbourAge = 10 * time.Minute
)

// neighbour is one entry of the kernel's table of who holds which address on a
// link (ARP for IPv4, neighbour discovery for IPv6).
type neighbour struct {
	link int
	addr netip.Addr
	// mac is nil where the kernel has none.
	mac   net.HardwareAddr
	state neighbourState
	// confirmed is how long ago the holder was last proved to be there, updated
	// how long the state is what it is.
	confirmed, updated time.Duration
}

// neighbourState is what the kernel knows of an entry (linux/neighbour.h,
// NUD_*).
type neighbourState uint16

const (
	stateIncomplete neighbourState = 0x01 // being asked for
	stateReachable  neighbourState = 0x02 // confirmed just now
	stateStale      neighbourState = 0x04 // confirmed earlier
	stateDelay      neighbourState = 0x08 // used since; about to be confirmed
	stateProbe      neighbourState = 0x10 // being confirmed
	stateFailed     neighbourState = 0x20 // asked for in vain
	statePermanent  neighbourState = 0x80 // set by hand

	statesWithHolder = stateReachable | stateStale | stateDelay | stateProbe | statePermanent
)

// holdsMAC tells whether the entry names a holder.
func (n *neighbour) holdsMAC() bool {
	return n.state&statesWithHolder != 0 && n.mac != nil && !isNobody(n.mac)
}

type neighbourProbe struct {
	aim
	limit time.Duration
	read  func(netip.Addr) ([]neighbour, error)
	nets  func() ([]network, error)
	touch func(ctx context.Context, a netip.Addr, send bool) error
}

// NewNeighbour says who holds an address on a directly connected network, from
// the kernel's table; where that does not know, an empty datagram to the
// discard port makes the kernel ask. Its answers:
//
//	match      the expected MAC holds the address
//	other-mac  another one does
//	absent     nobody answered for it
//
// Behind a router it does not apply. An extender that answers for its devices
// shows its own MAC.
func NewNeighbour(o NeighbourOptions) Func {
	return newNeighbour(o).probe
}

func newNeighbour(o NeighbourOptions) *neighbourProbe {
	if o.Limit <= 0 {
		o.Limit = neighbourLimit
	}
	return &neighbourProbe{
		aim: newAim(o.Targets, o.Resolver), limit: o.Limit,
		read: readNeighbours, nets: connectedNetworks, touch: touch,
	}
}

func (p *neighbourProbe) probe(ctx context.Context, t Target) Answer {
	ctx, cancel := context.WithTimeout(ctx, MaxProbe)
	defer cancel()
	if t.Address == "" {
		return doesNotApply(Neighbour, "device", "its address is not known")
	}
	mac, err := readMAC(t.MAC)
	if err != nil {
		return cannotTell(Neighbour, t.shown(), err.Error(), good(Neighbour))
	}
	a, err := p.address(ctx, t)
	if err != nil {
		return cannotTell(Neighbour, t.shown(), err.Error(), good(Neighbour))
	}
	nets, err := p.nets()
	if err != nil {
		return cannotTell(Neighbour, t.shown(), whyNot(err), good(Neighbour))
	}
	links := map[int]string{}
	for _, n := range nets {
		switch {
		case n.own == plain(a):
			return doesNotApply(Neighbour, t.shown(), "it is this machine's own address")
		case n.holds(a) && n.hasNeighbours():
			links[n.link.Index] = n.link.Name
		}
	}
	if len(links) == 0 {
		return doesNotApply(Neighbour, t.shown(), "it is on no directly connected network")
	}
	return p.watch(ctx, &question{target: t.shown(), addr: a, mac: mac, links: links})
}

// question is one look for the holder of an address.
type question struct {
	target string
	addr   netip.Addr
	mac    net.HardwareAddr // expected; nil: not known
	links  map[int]string   // where the address may be: index and name
	asked  bool             // the kernel was brought to ask, or did so already
}

// watch reads the table until it tells, helping the kernel to ask once.
func (p *neighbourProbe) watch(ctx context.Context, q *question) Answer {
	end := time.NewTimer(p.limit)
	defer end.Stop()
	for last := false; ; {
		table, err := p.read(q.addr)
		if err != nil {
			return cannotTell(Neighbour, q.target, whyNot(err), good(Neighbour))
		}
		best := q.best(table)
		if a := q.judge(best, last); a != nil {
			return *a
		}
		if !q.asked && !asking(best) {
			if err := p.touch(ctx, q.addr, true); err != nil {
				return cannotTell(Neighbour, q.target, whyNot(err), good(Neighbour))
			}
		}
		q.asked = true
		select {
		case <-ctx.Done():
			return cannotTell(Neighbour, q.target, "stopped before the kernel knew", good(Neighbour))
		case <-end.C:
			last = true
		case <-time.After(neighbourPause):
		}
	}
}

// best is the entry that says most: the expected holder before another one, and
// any holder before none.
func (q *question) best(table []neighbour) *neighbour {
	var best *neighbour
	for i := range table {
		n := &table[i]
		if _, ok := q.links[n.link]; !ok || n.addr.WithZone("") != plain(q.addr) {
			continue
		}
		if best == nil || q.worth(n) > q.worth(best) {
			best = n
		}
	}
	return best
}

func (q *question) worth(n *neighbour) int {
	switch {
	case n.holdsMAC() && q.mac != nil && n.mac.String() == q.mac.String():
		return 3
	case n.holdsMAC():
		return 2
	case asking(n):
		return 1
	}
	return 0
}

// asking tells whether the kernel is asking for the holder, having none.
func asking(n *neighbour) bool { return n != nil && n.state&stateIncomplete != 0 }

// judge answers once the entry tells; nil: wait. After the last look it always
// answers.
func (q *question) judge(n *neighbour, last bool) *Answer {
	var a Answer
	switch {
	case n == nil || asking(n):
		if !last {
			return nil
		}
		a = cannotTell(Neighbour, q.target, "the kernel has no answer yet", good(Neighbour))
	case !n.holdsMAC():
		if !q.asked {
			return nil
		}
		a = found(Neighbour, q.target, "absent", "nobody answers for it", good(Neighbour))
	case n.state&statePermanent != 0:
		a = q.unsure(n, "set by hand")
	case n.state&stateReachable != 0 || n.confirmed <= maxNeighbourAge:
		a = q.compare(n)
	case !q.asked || n.state&stateProbe != 0 && !last:
		return nil
	default:
		// The kernel was told to confirm it, which takes longer than a probe may:
		// it waits five seconds before it asks.
		a = q.unsure(n, "confirmed "+n.confirmed.Round(time.Minute).String()+" ago")
	}
	return &a
}

func (q *question) compare(n *neighbour) Answer {
	switch {
	case q.mac == nil:
		return q.unsure(n, "and no MAC is known to compare with")
	case n.mac.String() == q.mac.String():
		return found(Neighbour, q.target, "match", q.seen(n), q.mac.String())
	}
	return found(Neighbour, q.target, "other-mac", q.seen(n), q.mac.String())
}

func (q *question) seen(n *neighbour) string {
	return fmt.Sprintf("%s on %s, confirmed %s ago", n.mac, q.links[n.link], n.confirmed.Round(time.Second))
}

func (q *question) unsure(n *neighbour, why string) Answer {
	return cannotTell(Neighbour, q.target, fmt.Sprintf("%s on %s, %s", n.mac, q.links[n.link], why), good(Neighbour))
}
