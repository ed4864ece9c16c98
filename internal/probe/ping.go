package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	probing "github.com/prometheus-community/pro-bing"
)

// PingOptions of the ping probe.
type PingOptions struct {
	// Targets may be aimed at; nil: none.
	Targets *Targets
	// Resolver of devices' names; nil: the system's.
	Resolver *net.Resolver
	// Timeout of one of the three packets; 0: 1 s.
	Timeout time.Duration
}

// pings is how many packets one probe sends. The pause keeps them from falling
// into the same moment of a busy radio.
const (
	pings     = 3
	pingPause = 100 * time.Millisecond
)

type pingProbe struct {
	aim
	timeout time.Duration
	// way tells whether a packet to an address may leave this machine, once sends
	// it and says how long the answer took, 0 for none.
	way  func(ctx context.Context, a netip.Addr) error
	once func(ctx context.Context, a netip.Addr, timeout time.Duration) (time.Duration, error)
}

// NewPing sends three ICMP echo requests from an unprivileged socket, which the
// system must allow (net.ipv4.ping_group_range). Its answers:
//
//	answered  at least one came back
//	lost      none did; networks filter them, so this is weak evidence
//
// Where the system refuses, it cannot tell.
func NewPing(o PingOptions) Func {
	if o.Timeout <= 0 {
		o.Timeout = time.Second
	}
	way := func(ctx context.Context, a netip.Addr) error { return touch(ctx, a, false) }
	p := &pingProbe{aim: newAim(o.Targets, o.Resolver), timeout: o.Timeout, way: way, once: pingOnce}
	return p.probe
}

func (p *pingProbe) probe(ctx context.Context, t Target) Answer {
	ctx, cancel := context.WithTimeout(ctx, MaxProbe)
	defer cancel()
	if t.Address == "" {
		return doesNotApply(Ping, "device", "its address is not known")
	}
	a, err := p.address(ctx, t)
	if err != nil {
		return cannotTell(Ping, t.shown(), err.Error(), good(Ping))
	}
	var got pinged
	for got.sent < pings && ctx.Err() == nil {
		trip, err := p.send(ctx, a)
		if err != nil && got.back == 0 && ctx.Err() == nil {
			return cannotTell(Ping, t.shown(), whyNot(err), good(Ping))
		}
		if err != nil {
			break
		}
		got.add(trip)
		select {
		case <-ctx.Done():
		case <-time.After(pingPause):
		}
	}
	return got.answer(t)
}

// send asks the kernel for a way before each packet: the library tries for ever,
// and without heed of ctx, to send where the routes prohibit it (EACCES).
func (p *pingProbe) send(ctx context.Context, a netip.Addr) (time.Duration, error) {
	if err := p.way(ctx, a); err != nil {
		return 0, err
	}
	trip, err := p.once(ctx, a, p.timeout)
	if errors.Is(err, syscall.EHOSTUNREACH) {
		return 0, nil // nobody holds the address: the packet is lost
	}
	return trip, err
}

// pinged is what came of the packets so far.
type pinged struct {
	sent, back int
	quickest   time.Duration
}

func (g *pinged) add(trip time.Duration) {
	g.sent++
	if trip <= 0 {
		return
	}
	if g.back++; g.back == 1 || trip < g.quickest {
		g.quickest = trip
	}
}

func (g *pinged) answer(t Target) Answer {
	switch {
	case g.back > 0:
		seen := fmt.Sprintf("answered, %d of %d, %s", g.back, g.sent, g.quickest.Round(10*time.Microsecond))
		return found(Ping, t.shown(), "answered", seen, good(Ping))
	case g.sent < pings:
		return cannotTell(Ping, t.shown(), fmt.Sprintf("stopped after %d of %d packets", g.sent, pings), good(Ping))
	}
	return found(Ping, t.shown(), "lost", fmt.Sprintf("lost, %d packets", g.sent), good(Ping))
}

// pingOnce sends one request and waits for its answer.
func pingOnce(ctx context.Context, a netip.Addr, timeout time.Duration) (time.Duration, error) {
	p := probing.New("")
	p.SetLogger(probing.NoopLogger{})
	p.SetPrivileged(false)
	p.SetIPAddr(&net.IPAddr{IP: a.AsSlice(), Zone: a.Zone()})
	p.Count, p.Timeout, p.Interval = 1, timeout, timeout
	p.RecordRtts, p.RecordTTLs = false, false
	if err := p.RunWithContext(ctx); err != nil {
		return 0, fmt.Errorf("ping %s: %w", a, err)
	}
	s := p.Statistics()
	if s.PacketsRecv == 0 {
		return 0, nil
	}
	return max(s.MinRtt, 1), nil
}
