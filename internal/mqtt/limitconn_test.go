package mqtt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// byteConn reads from a reader and keeps what is written.
type byteConn struct {
	net.Conn
	r io.Reader
	w bytes.Buffer
}

func (c *byteConn) Read(p []byte) (int, error)       { return c.r.Read(p) }
func (c *byteConn) Write(p []byte) (int, error)      { return c.w.Write(p) }
func (c *byteConn) SetWriteDeadline(time.Time) error { return nil }
func (c *byteConn) SetReadDeadline(time.Time) error  { return nil }

// packet is a control packet with a remaining length as it is encoded.
func packet(first byte, body ...byte) []byte {
	p := []byte{first}
	n := len(body)
	for {
		b := byte(n & 0x7f)
		if n >>= 7; n > 0 {
			p = append(p, b|0x80)
			continue
		}
		return append(append(p, b), body...)
	}
}

// publishBody is that of a PUBLISH with a payload of size bytes.
func publishBody(qos byte, id uint16, topic string, size int) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(len(topic)))
	b = append(b, topic...)
	if qos > 0 {
		b = binary.BigEndian.AppendUint16(b, id)
	}
	return append(b, bytes.Repeat([]byte{'p'}, size)...)
}

func TestLimitConn(t *testing.T) {
	small := packet(0x32, publishBody(1, 7, "a/b", 10)...)
	ping := packet(0xd0)
	largest := packet(0x30, make([]byte, MaxPacket)...)
	large := func(first byte, id uint16) []byte {
		return packet(first, publishBody(first>>1&3, id, "a/large", MaxPacket)...)
	}
	for name, c := range map[string]struct {
		in, out []byte
		acks    string
		skipped int
		fails   bool
	}{
		"nothing":                    {},
		"small packets":              {in: join(small, ping, small), out: join(small, ping, small)},
		"the largest":                {in: join(largest, ping), out: join(largest, ping)},
		"QoS 0":                      {in: join(small, large(0x30, 0), ping), out: join(small, ping), skipped: 1},
		"QoS 1":                      {in: join(large(0x32, 0x1234), ping), out: ping, acks: "\x40\x02\x12\x34", skipped: 1},
		"QoS 2":                      {in: join(large(0x34, 5), ping), out: ping, acks: "\x50\x02\x00\x05", skipped: 1},
		"again and retained":         {in: join(large(0x3b, 6), small), out: small, acks: "\x40\x02\x00\x06", skipped: 1},
		"two":                        {in: join(large(0x32, 1), large(0x32, 2), ping), out: ping, acks: "\x40\x02\x00\x01\x40\x02\x00\x02", skipped: 2},
		"QoS 3":                      {in: join(ping, large(0x36, 1)), out: ping, fails: true},
		"packet identifier 0":        {in: join(ping, large(0x32, 0)), out: ping, fails: true},
		"a length of five bytes":     {in: join(ping, []byte{0x30, 0xff, 0xff, 0xff, 0xff, 0x01}), out: ping, fails: true},
		"a large CONNECT":            {in: packet(0x10, make([]byte, MaxPacket+1)...), fails: true},
		"a SUBACK of too many codes": {in: packet(0x90, 0, 1, 1, 1, 1), fails: true},
		"a SUBACK":                   {in: packet(0x90, 0, 1, 1, 1), out: packet(0x90, 0, 1, 1, 1)},
	} {
		for _, r := range []io.Reader{bytes.NewReader(c.in), iotest.HalfReader(bytes.NewReader(c.in))} {
			var skipped []tooLarge
			under := &byteConn{r: r}
			conn := newLimitConn(under, func(l tooLarge) { skipped = append(skipped, l) })
			conn.subacks.Store(2)
			out, err := io.ReadAll(conn)
			if !bytes.Equal(out, c.out) || under.w.String() != c.acks || len(skipped) != c.skipped || errors.Is(err, errFraming) != c.fails || !c.fails && err != nil {
				t.Errorf("%s: %d bytes, acks %q, %d skipped, %v; want %d bytes, %q, %d", name, len(out), under.w.String(), len(skipped), err, len(c.out), c.acks, c.skipped)
			}
			for _, l := range skipped {
				if l.topic != "a/large" || l.bytes <= MaxPacket || string(l.head) != strings.Repeat("p", sampleOfTooLong) {
					t.Errorf("%s: %+v", name, l)
				}
			}
		}
	}
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestLimitConnEndsInsideALargePacket(t *testing.T) {
	whole := packet(0x32, publishBody(1, 7, "a/large", MaxPacket)...)
	for _, n := range []int{1, 2, 4, 5, 6, 10, 13, 14, 100, 300, len(whole) - 1} {
		conn := newLimitConn(&byteConn{r: bytes.NewReader(whole[:n])}, func(tooLarge) { t.Errorf("cut after %d bytes: skipped", n) })
		if got, err := io.ReadAll(conn); len(got) > 0 || err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut after %d bytes: %d bytes, %v", n, len(got), err)
		}
	}
}

func TestLimitConnNeedsNoMemory(t *testing.T) {
	const size = 100 << 20
	header := packet(0x32)[:1]
	for n := size; ; {
		b := byte(n & 0x7f)
		if n >>= 7; n == 0 {
			header = append(header, b)
			break
		}
		header = append(header, b|0x80)
	}
	header = append(header, 0, 1, 'a', 0, 7)
	body := io.LimitReader(endless{}, size-5)
	conn := newLimitConn(&byteConn{r: io.MultiReader(bytes.NewReader(header), body, bytes.NewReader(packet(0xd0)))}, func(tooLarge) {})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	out, err := io.ReadAll(conn)
	runtime.ReadMemStats(&after)
	if !bytes.Equal(out, packet(0xd0)) || err != nil {
		t.Errorf("%q, %v", out, err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 64<<10 {
		t.Errorf("%d bytes were allocated for a packet of %d", used, size)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// handedOn is what a limitConn lets through of a stream, packet by packet.
func handedOn(stream []byte) []byte {
	var out []byte
	for at := 0; at < len(stream); {
		length, width := 0, 0
		for width < maxLengthBytes && at+1+width < len(stream) {
			b := stream[at+1+width]
			length |= int(b&0x7f) << (7 * width)
			if width++; b < 0x80 {
				break
			}
		}
		if width == 0 || stream[at+width] >= 0x80 {
			return out // the header is broken or not complete
		}
		end := at + 1 + width + length
		switch {
		case length <= MaxPacket:
			out = append(out, stream[at:min(end, len(stream))]...)
		case stream[at]>>4 != packetPublish || stream[at]&0x06 == 0x06 || end > len(stream):
			return out
		case stream[at]&0x06 != 0:
			id := at + 1 + width + 2 + int(binary.BigEndian.Uint16(stream[at+1+width:]))
			if stream[id] == 0 && stream[id+1] == 0 {
				return out
			}
		}
		at = end
	}
	return out
}

// FuzzLimitConn: what is small goes through as it came, byte for byte, whatever
// stands before or after it; what is broken ends it.
func FuzzLimitConn(f *testing.F) {
	small := packet(0x32, publishBody(1, 7, "a/b", 10)...)
	f.Add(join(small, packet(0xd0), small), uint16(3))
	f.Add(join(small, packet(0x34, publishBody(2, 7, "a/b", MaxPacket)...), small), uint16(1000))
	f.Add(join(packet(0x32, publishBody(1, 0, "a/b", MaxPacket)...), small), uint16(5000))
	f.Add([]byte{0x30, 0xff, 0xff, 0xff, 0xff, 0x7f}, uint16(1))
	f.Add([]byte{0x30, 0xff, 0xff, 0xff, 0x7f, 0, 1, 'a', 'b'}, uint16(1))
	f.Add(packet(0x10, make([]byte, MaxPacket+1)...), uint16(9))
	f.Fuzz(func(t *testing.T, stream []byte, chunk uint16) {
		under := &byteConn{r: bytes.NewReader(stream)}
		conn := newLimitConn(under, func(l tooLarge) {
			if l.bytes <= MaxPacket || len(l.head) > sampleOfTooLong {
				t.Errorf("skipped %+v", l)
			}
		})
		var out []byte
		p := make([]byte, int(chunk)+1)
		for {
			n, err := conn.Read(p)
			out = append(out, p[:n]...)
			if err != nil {
				break
			}
		}
		if want := handedOn(stream); !bytes.Equal(out, want) {
			t.Errorf("%d bytes, want %d", len(out), len(want))
		}
		if under.w.Len()%4 != 0 {
			t.Errorf("acknowledgements %x", under.w.Bytes())
		}
	})
}
