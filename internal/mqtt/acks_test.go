package mqtt

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"fieldmedic/internal/diagnose"
)

// TestAckOrder: whatever order messages are decided in, acknowledgements leave
// in the order of the messages, and none before its message is decided.
func TestAckOrder(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 7))
		o := newAckOrder()
		var want, got []uint16
		var open []*ticket
		var id uint16
		handed := int64(0)
		decided := map[uint16]bool{}
		take := func() {
			for b := o.release(nil); len(b) > 0; b = b[4:] {
				got = append(got, uint16(b[2])<<8|uint16(b[3]))
			}
			o.written()
		}
		for range 300 {
			switch random.IntN(4) {
			case 0: // a packet that is read past, while two before it are on their way to us
				first, second := id+1, id+2
				id += 3
				want = append(want, first, second, id)
				decided[id] = true
				o.pass(handed+2, 1, id)
				open = append(open, o.take(1, first), o.take(1, second))
				handed += 2
			case 1:
				id++
				want = append(want, id)
				open = append(open, o.take(1, id))
				handed++
			case 2:
				if len(open) > 0 {
					i := random.IntN(len(open))
					decided[open[i].id] = true
					o.decide(open[i])
					o.decide(open[i]) // twice is once
					open = slices.Delete(open, i, i+1)
				}
			default:
				take()
			}
			for _, id := range got {
				if !decided[id] {
					t.Fatalf("seed %d: %d is acknowledged and not decided", seed, id)
				}
			}
		}
		for _, one := range open {
			decided[one.id] = true
			o.decide(one)
		}
		for o.open() > 0 {
			take()
		}
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d: %v, want %v", seed, got, want)
		}
	}
}

// TestLiveAckOrder: the loop acknowledges backwards, and a packet that is too
// large stands between.
func TestLiveAckOrder(t *testing.T) {
	var inbound atomic.Int64
	p := startPuppet(t, func(c *puppetConn, f frame) bool {
		if f.first>>4 != 8 || !slices.Contains(f.filters(), "devices/+/status") {
			return false
		}
		inbound.Store(int64(c.number))
		c.answer(f)
		for id := range uint16(6) {
			size := 0
			if id == 3 {
				size = MaxPacket
			}
			body := publishBody(1, id+11, statusTopic, 0)
			body = fmt.Appendf(body, `{"status":-%d}`, id+11)
			c.send(packet(0x32, append(body, make([]byte, size)...)...))
		}
		return true
	})
	l := p.at()
	l.run(statusSource(t))
	got := map[int64]diagnose.Delivery{} // by code; 0 is the large one
	for len(got) < 6 {
		d := l.next()
		if d.Droppable != (d.Refused != nil) { // which was acknowledged already, as far as the loop is concerned
			t.Errorf("droppable %v: %+v", d.Droppable, d)
		}
		if d.Refused != nil {
			got[0] = d
			continue
		}
		got[code(t, d)] = d
	}
	acks := func() (ids []uint16) {
		for _, f := range p.kinds(4) {
			if int64(f.conn) == inbound.Load() { // they may come several in one write
				ids = append(ids, uint16(f.body[0])<<8|uint16(f.body[1]))
			}
		}
		return ids
	}
	for _, code := range []int64{-16, -13, -15, -12} {
		got[code].Ack()
	}
	time.Sleep(100 * time.Millisecond)
	if ids := acks(); len(ids) > 0 {
		t.Fatalf("%v are acknowledged before the first message is decided", ids)
	}
	got[-11].Ack()
	eventually(t, "all are acknowledged", func() bool { return len(acks()) == 6 })
	if ids := acks(); !slices.Equal(ids, []uint16{11, 12, 13, 14, 15, 16}) {
		t.Errorf("acknowledged %v", ids)
	}
	got[-12].Ack() // once more
	time.Sleep(50 * time.Millisecond)
	if n := len(acks()); n != 6 {
		t.Errorf("%d acknowledgements", n)
	}
}
