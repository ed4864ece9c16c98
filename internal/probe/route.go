package probe

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"
)

// RouteOptions of the route probe.
type RouteOptions struct {
	// Limit is how long the kernel is waited for while it asks for the gateway's
	// MAC; 0: 3.5 s.
	Limit time.Duration
}

// maxFailure is for how long it counts that a gateway did not answer: nobody
// may have asked for it since.
const maxFailure = time.Minute

// hop is one way out of this machine: a default route's next step.
type hop struct {
	v6 bool
	// gateway is invalid where the link itself is the way, as with PPP.
	gateway netip.Addr
	link    int
	// dead is what the kernel says of the route: its link is down.
	dead bool
}

type routeProbe struct {
	limit      time.Duration
	defaults   func() ([]hop, error)
	neighbours func(netip.Addr) ([]neighbour, error)
	link       func(index int) (*net.Interface, error)
}

// NewRoute looks whether there is a way out of this machine: a default route of
// IPv4 or IPv6 whose link is up and whose gateway is not known to be gone. It
// reads the kernel's tables and sends nothing. Its answers:
//
//	ok    there is at least one way out
//	none  there is no default route, or none of them leads anywhere
func NewRoute(o RouteOptions) Func {
	if o.Limit <= 0 {
		o.Limit = neighbourLimit
	}
	p := &routeProbe{limit: o.Limit, defaults: readDefaults, neighbours: readNeighbours, link: net.InterfaceByIndex}
	return p.probe
}

// routeTarget is what evidence calls the target of the probe, which has none.
const routeTarget = "default"

func (p *routeProbe) probe(ctx context.Context, _ Target) Answer {
	ctx, cancel := context.WithTimeout(ctx, min(p.limit, MaxProbe))
	defer cancel()
	for {
		a, wait := p.look()
		if !wait {
			return a
		}
		select {
		case <-ctx.Done():
			return a
		case <-time.After(neighbourPause):
		}
	}
}

// look judges all ways out as they are now; wait is true while the kernel is
// about to know more.
func (p *routeProbe) look() (a Answer, wait bool) {
	hops, err := p.defaults()
	if err != nil {
		return cannotTell(Route, routeTarget, whyNot(err), good(Route)), false
	}
	if len(hops) == 0 {
		return found(Route, routeTarget, "none", "no default route", good(Route)), false
	}
	var seen []string
	works, unsure := false, false
	for i := range hops {
		s := p.state(&hops[i])
		works = works || s.works
		unsure = unsure || s.unsure
		wait = wait || s.wait
		seen = append(seen, hops[i].via(s.link)+" "+s.why)
	}
	text := strings.Join(seen, "; ")
	switch {
	case works:
		return found(Route, routeTarget, "ok", text, good(Route)), false
	case unsure || wait:
		return cannotTell(Route, routeTarget, text, good(Route)), wait
	}
	return found(Route, routeTarget, "none", text, good(Route)), false
}

// hopState is what is known of one way out.
type hopState struct {
	link                string
	works, unsure, wait bool
	why                 string
}

func (p *routeProbe) state(h *hop) hopState {
	link, err := p.link(h.link)
	if err != nil {
		return hopState{link: fmt.Sprint("link ", h.link), why: "is gone"}
	}
	s := hopState{link: link.Name}
	if h.dead || link.Flags&net.FlagUp == 0 || link.Flags&net.FlagRunning == 0 {
		s.why = "is down"
		return s
	}
	if !h.gateway.IsValid() {
		s.works, s.why = true, "is up"
		return s
	}
	table, err := p.neighbours(h.gateway)
	if err != nil {
		s.unsure, s.why = true, whyNot(err)
		return s
	}
	for i := range table {
		if n := &table[i]; n.link == h.link && n.addr == h.gateway {
			return s.gateway(n)
		}
	}
	s.works, s.why = true, "is up, gateway not asked lately"
	return s
}

// gateway takes what the neighbour table knows of it.
func (s hopState) gateway(n *neighbour) hopState {
	switch {
	case asking(n):
		s.wait, s.why = true, "gateway has not answered yet"
	case n.state&stateFailed == 0:
		s.works, s.why = true, "gateway is there"
	case n.updated <= maxFailure:
		s.why = "gateway does not answer"
	default:
		s.unsure, s.why = true, fmt.Sprintf("gateway did not answer %s ago", n.updated.Round(time.Minute))
	}
	return s
}

// via names the way: "v4 by 192.0.2.1 on eth0".
func (h *hop) via(link string) string {
	name := "v4"
	if h.v6 {
		name = "v6"
	}
	if h.gateway.IsValid() {
		name += " by " + h.gateway.WithZone("").String()
	}
	return name + " on " + link
}
