package vendordevice

import (
	"bytes"
	"encoding/hex"
	"net"
	"net/netip"
	"testing"
	"time"
)

// seenRequest is a hello of python-broadlink, and seenReply the answer of a
// locked plug to it, as a user published them (home-assistant/core, issue
// 36735).
const (
	seenRequest = "0000000000000000faffffffe407111014010f0600000000c0a8016e23eb0000" +
		"c7c60000000006000000000000000000"
	seenReply = "5aa5aa555aa5aa55000000000000000000000000000000000000000000000000" +
		"c4d60000447507000000f3d66142f7c8000000004475c0a80130f3d66142f7c8" +
		"e699bae883bde68f92e5baa70000000000000000000000000000000000000000" +
		"0000000000000000000000000000000000000000000000000000000000000201"
)

func start(t *testing.T, s State) (*Device, net.Conn) {
	t.Helper()
	d, err := Listen("127.0.0.1:0", s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	c, err := net.Dial("udp", d.Address().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return d, c
}

func ask(t *testing.T, c net.Conn, packet []byte) []byte {
	t.Helper()
	if _, err := c.Write(packet); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 2048)
	n, err := c.Read(answer)
	if err != nil {
		return nil
	}
	return answer[:n]
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestLikeARealOne: the simulated plug answers what the real one did, but for
// the bytes at 0x2A, the MAC once more, which nobody reads, and the address,
// which that firmware writes first byte first.
func TestLikeARealOne(t *testing.T) {
	_, c := start(t, State{
		Locked: true, Type: 0x7544, Name: "智能插座", IP: netip.MustParseAddr("48.1.168.192"),
		MAC: net.HardwareAddr{0xc8, 0xf7, 0x42, 0x61, 0xd6, 0xf3},
	})
	got := ask(t, c, unhex(t, seenRequest))
	want := unhex(t, seenReply)
	copy(want[0x2A:0x30], make([]byte, 6))
	setSum(want)
	if !bytes.Equal(got, want) {
		t.Errorf("answer\n%x, want\n%x", got, want)
	}
}

// TestNothingButHello: what is no hello is noted as such and not answered.
func TestNothingButHello(t *testing.T) {
	d, c := start(t, State{MAC: net.HardwareAddr{0x34, 0xea, 0x34, 0, 0, 1}})
	reset := unhex(t, seenRequest)
	reset[0x26] = 0x77
	setSum(reset)
	flipped := unhex(t, seenRequest)
	flipped[0x20]++
	for _, packet := range [][]byte{reset, flipped, unhex(t, seenRequest)[:40], {}} {
		if got := ask(t, c, packet); got != nil {
			t.Errorf("%x is answered", packet)
		}
	}
	heard := d.Heard()
	if len(heard) != 4 {
		t.Fatalf("%d packets noted, want 4", len(heard))
	}
	for _, h := range heard {
		if h.IsHello {
			t.Errorf("%x is taken for a hello", h.Packet)
		}
	}
}

func TestBehaviours(t *testing.T) {
	d, c := start(t, State{Behaviour: Silent})
	if got := ask(t, c, unhex(t, seenRequest)); got != nil {
		t.Errorf("silent: answers %x", got)
	}
	tests := map[string]struct {
		state State
		size  int
		right bool
	}{
		"answers": {State{Name: "plug"}, 128, true},
		"extra":   {State{Extra: []byte("behind")}, 134, true},
		"cut":     {State{Behaviour: Cut}, 64, false},
		"damaged": {State{Behaviour: Damaged}, 128, false},
		"garbage": {State{Behaviour: Garbage}, 28, false},
		"slow":    {State{Delay: 20 * time.Millisecond}, 128, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			d.Set(test.state)
			got := ask(t, c, unhex(t, seenRequest))
			if len(got) != test.size || len(got) >= 0x80 && sumIsRight(got) != test.right {
				t.Errorf("%d bytes %x, want %d, checksum right: %v", len(got), got, test.size, test.right)
			}
		})
	}
	d.Set(State{Misses: 1})
	if got := ask(t, c, unhex(t, seenRequest)); got != nil {
		t.Errorf("the first hello is to be lost, and is answered: %x", got)
	}
	if got := ask(t, c, unhex(t, seenRequest)); got == nil {
		t.Error("the second hello is not answered")
	}
}
