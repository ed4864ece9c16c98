// Package vendordevice simulates one of the vendor's devices on the LAN: it
// answers the hello, and nothing else, as the protocol says (python-broadlink,
// protocol.md and broadlink/device.py). It is for tests and shares no code with
// the probe that it tests. It is not part of the product.
package vendordevice

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Behaviour is how a device answers a hello.
type Behaviour int

// The behaviours. A replaced device is one with another MAC, and one that moved
// listens on another address; both need no behaviour of their own.
const (
	Answers Behaviour = iota // as devices do
	Silent                   // not at all: off, or out of reach
	Garbage                  // with bytes that are no reply
	Damaged                  // with a reply whose checksum is wrong
	Cut                      // with the first half of a reply
)

// State of a device; a test may change it at any time.
type State struct {
	Behaviour Behaviour
	// Locked is the flag that lets only the vendor's app in; Flag, where it is
	// not 0, stands in its place.
	Locked bool
	Flag   byte
	// Delay before each answer: a slow device, or a slow network.
	Delay time.Duration
	// Misses is how many hellos are lost before one is answered.
	Misses int
	MAC    net.HardwareAddr
	// IP that the device believes to have.
	IP netip.Addr
	// Type is the vendor's number of the product, as 0x51e3.
	Type uint16
	// Name that its owner gave it, in at most 62 bytes that are not checked.
	Name string
	// Extra bytes behind the reply proper, as newer devices send them.
	Extra []byte
}

// Device is a running device.
type Device struct {
	conn net.PacketConn
	done sync.WaitGroup
	stop context.CancelFunc

	mu    sync.Mutex
	state State
	heard []Heard
}

// Heard is a packet that a device was sent.
type Heard struct {
	From    net.Addr
	Packet  []byte
	IsHello bool
}

// Listen starts a device on a UDP address, as "127.0.0.1:0".
func Listen(address string, s State) (*Device, error) {
	conn, err := net.ListenPacket("udp", address)
	if err != nil {
		return nil, fmt.Errorf("start a device: %w", err)
	}
	return Serve(conn, s), nil
}

// Serve starts a device on a socket that was opened elsewhere, as in another
// network namespace. Close closes the socket.
func Serve(conn net.PacketConn, s State) *Device {
	ctx, stop := context.WithCancel(context.Background())
	d := &Device{conn: conn, state: s, stop: stop}
	d.done.Go(func() { d.run(ctx) })
	return d
}

// Address that the device listens on.
func (d *Device) Address() netip.AddrPort {
	a := d.conn.LocalAddr().(*net.UDPAddr).AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// Set changes how the device is.
func (d *Device) Set(s State) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.state = s
}

// Heard lists all packets that the device was sent, whatever they were.
func (d *Device) Heard() []Heard {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.heard)
}

// Close ends the device.
func (d *Device) Close() error {
	d.stop()
	err := d.conn.Close()
	d.done.Wait()
	return err
}

func (d *Device) run(ctx context.Context) {
	packet := make([]byte, 2048)
	for {
		n, from, err := d.conn.ReadFrom(packet)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // what the network says of an earlier answer
		}
		if answer, delay := d.hear(from, packet[:n]); answer != nil {
			d.done.Go(func() { d.send(ctx, answer, from, delay) })
		}
	}
}

// hear notes a packet and makes the answer to it; nil: none.
func (d *Device) hear(from net.Addr, packet []byte) ([]byte, time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	is := isHello(packet)
	d.heard = append(d.heard, Heard{From: from, Packet: slices.Clone(packet), IsHello: is})
	if !is {
		return nil, 0
	}
	if d.state.Misses > 0 {
		d.state.Misses--
		return nil, 0
	}
	return d.state.reply(), d.state.Delay
}

func (d *Device) send(ctx context.Context, answer []byte, to net.Addr, delay time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(delay):
		// Whether it arrives is what the other side is tested for.
		_, _ = d.conn.WriteTo(answer, to)
	}
}
