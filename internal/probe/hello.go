package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"
)

// HelloOptions of the hello probe; the zero value of each part is usual.
type HelloOptions struct {
	// Targets may be aimed at; nil: none.
	Targets *Targets
	// Resolver of devices' names; nil: the system's.
	Resolver *net.Resolver
	// Port of the device, 80.
	Port uint16
	// Tries before a device counts as silent, 3 to 5; 0: 4.
	Tries int
	// Interval is how long one try waits; 0: 1 s. An answer to an earlier try
	// counts as well.
	Interval time.Duration
	// MayBroadcast is asked before a hello is broadcast for a device that did not
	// answer at its address: it keeps the rate. nil: never.
	MayBroadcast func() bool
	// Seen is told of every device that answered, before the probe answers. It
	// must not block.
	Seen func(Sighting)
	// Now is this machine's clock; nil: time.Now.
	Now func() time.Time
}

// Sighting is a device that answered a hello.
type Sighting struct {
	HelloReply
	// Address that the answer came from: the one that was asked or, after a
	// broadcast, one on a directly connected network.
	Address netip.Addr
	// Broadcast: nobody had asked this address by itself.
	Broadcast bool
}

// The packets of one hello probe (contract section 2: a check is at most five).
const (
	helloPackets  = 5
	minHelloTries = 3
)

type hello struct {
	HelloOptions
	aim

	// networks are those that a broadcast goes to.
	networks func() ([]network, error)
}

// NewHello says hello to a device, the vendor's way: unicast first, since a
// locked device may not answer a broadcast, and then, where the device is known
// by its MAC, one broadcast to find it elsewhere. Its answers:
//
//	locked, unlocked  the device answered, and this is its lock flag
//	answered          it answered; its lock flag is none that is known
//	wrong-mac         another device of the vendor answers there
//	moved             its MAC answers from another address
//	silent            three tries or more, and no answer; weak evidence, since
//	                  separated networks and busy devices are silent too
//
// Nothing but the hello request is ever sent: other packets of that protocol
// reset a device or change its network.
func NewHello(o HelloOptions) Func {
	return newHello(o).probe
}

func newHello(o HelloOptions) *hello {
	if o.Port == 0 {
		o.Port = helloPort
	}
	if o.Tries == 0 {
		o.Tries = helloPackets - 1
	}
	o.Tries = min(max(o.Tries, minHelloTries), helloPackets)
	if o.Interval <= 0 {
		o.Interval = time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &hello{HelloOptions: o, aim: newAim(o.Targets, o.Resolver), networks: connectedNetworks}
}

func (h *hello) probe(ctx context.Context, t Target) Answer {
	ctx, cancel := context.WithTimeout(ctx, MaxProbe)
	defer cancel()
	mac, err := readMAC(t.MAC)
	if err != nil {
		return cannotTell(Hello, t.shown(), err.Error(), good(Hello))
	}
	if t.Address == "" {
		return h.search(ctx, t, mac)
	}
	a, err := h.address(ctx, t)
	if err != nil {
		return cannotTell(Hello, t.shown(), err.Error(), good(Hello))
	}
	if !a.Is4() {
		return doesNotApply(Hello, t.shown(), "the vendor's hello is for IPv4")
	}
	conn, done, err := openHello(ctx)
	if err != nil {
		return cannotTell(Hello, t.shown(), whyNot(err), good(Hello))
	}
	defer done()
	heard := h.ask(ctx, conn, a)
	if !heard.is(mac) && mac != nil {
		if s, _ := h.broadcast(ctx, conn, a, mac, helloPackets-heard.sent); s != nil {
			if s.Address != a {
				seen := fmt.Sprintf("%s answers from %s", s.MAC, s.Address)
				return found(Hello, t.shown(), "moved", seen, "there")
			}
			heard.reply = &s.HelloReply
		}
	}
	return heard.answer(t, mac)
}

// openHello opens a socket whose reads end with ctx. It is not connected to the
// device: a broadcast may go out of it, too.
func openHello(ctx context.Context) (*net.UDPConn, func(), error) {
	conn, err := net.ListenUDP("udp4", nil)
	if err != nil {
		return nil, nil, fmt.Errorf("open a socket: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	return conn, func() {
		stop()
		_ = conn.Close()
	}, nil
}

// heard is what came of asking one address.
type heard struct {
	reply *HelloReply
	// odd is what else came from the address, an answer that is no hello.
	odd error
	// sent are the packets, waited the tries that were waited for to the end.
	sent, waited int
	// failed is why nothing more could be sent.
	failed error
}

// is tells whether the device with this MAC answered, or any where none is
// expected.
func (h *heard) is(mac net.HardwareAddr) bool {
	return h.reply != nil && (mac == nil || h.reply.MAC.String() == mac.String())
}

func (h *heard) answer(t Target, mac net.HardwareAddr) Answer {
	target := t.shown()
	switch {
	case h.is(mac):
		result := h.reply.result()
		return found(Hello, target, result, result+", "+h.reply.String(), good(Hello))
	case h.reply != nil:
		return found(Hello, target, "wrong-mac", h.reply.String(), mac.String())
	case h.odd != nil:
		return cannotTell(Hello, target, "no device's answer: "+h.odd.Error(), good(Hello))
	case h.failed != nil:
		return cannotTell(Hello, target, whyNot(h.failed), good(Hello))
	case h.waited < minHelloTries:
		return cannotTell(Hello, target, fmt.Sprintf("stopped in try %d", h.sent), good(Hello))
	}
	return found(Hello, target, "silent", fmt.Sprintf("silent, %d tries", h.sent), "answered")
}

// ask sends the request to one address until it is answered.
func (h *hello) ask(ctx context.Context, conn *net.UDPConn, a netip.Addr) heard {
	var got heard
	to := netip.AddrPortFrom(a, h.Port)
	for got.sent < h.Tries && ctx.Err() == nil {
		if _, err := conn.WriteToUDPAddrPort(HelloRequest(h.Now()), to); err != nil {
			got.failed = err
			return got
		}
		got.sent++
		err := h.listen(ctx, conn, h.Interval, func(from netip.Addr, packet []byte) bool {
			if from != a {
				return false // nobody else was asked
			}
			reply, err := ParseHello(packet)
			if err != nil {
				got.odd = err
				return false
			}
			got.reply = &reply
			h.tell(Sighting{HelloReply: reply, Address: from})
			return true
		})
		if err != nil {
			got.failed = err
		}
		if err != nil || got.reply != nil {
			return got
		}
		if ctx.Err() == nil {
			got.waited++
		}
	}
	return got
}

// listen hands packets to take until it has what it waits for, or the time is
// over.
func (h *hello) listen(ctx context.Context, conn *net.UDPConn, wait time.Duration, take func(netip.Addr, []byte) bool) error {
	if err := conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return err
	}
	packet := make([]byte, 2048) // a device's answer has 128 to 200
	for ctx.Err() == nil {
		n, from, err := conn.ReadFromUDPAddrPort(packet)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			return err
		}
		if take(from.Addr().Unmap(), packet[:n]) {
			return nil
		}
	}
	return nil
}

func (h *hello) tell(s Sighting) {
	if h.Seen != nil {
		h.Seen(s)
	}
}

// shown is the target as evidence names it.
func (t Target) shown() string {
	if t.Address == "" {
		return t.MAC
	}
	return t.Address
}
