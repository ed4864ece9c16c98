package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// This file is as much of MQTT 3.1.1 as the harness speaks. It has no client
// library: what counts here is which acknowledgement came on which connection,
// and that must be nobody's word but the wire's.

// Packet types (MQTT 3.1.1, 2.2.1).
const (
	packetConnect   = 1
	packetConnack   = 2
	packetPublish   = 3
	packetPuback    = 4
	packetSubscribe = 8
	packetSuback    = 9
)

// maxFrame is larger than anything that either side of the harness sends.
const maxFrame = 1 << 20

// frame is one packet as it travels.
type frame struct {
	kind byte // the packet's type
	raw  []byte
	body []byte // raw without the fixed header
}

// readFrame reads one packet whole.
func readFrame(r *bufio.Reader) (frame, error) {
	first, err := r.ReadByte()
	if err != nil {
		return frame{}, err
	}
	head := []byte{first}
	length, shift := 0, 0
	for {
		b, err := r.ReadByte()
		if err != nil {
			return frame{}, err
		}
		head = append(head, b)
		length |= int(b&0x7f) << shift
		if shift += 7; b < 0x80 {
			break
		}
		if shift > 21 {
			return frame{}, errors.New("a packet's length has more than four bytes")
		}
	}
	if length > maxFrame {
		return frame{}, fmt.Errorf("a packet of %d bytes (nothing here sends more than %d)", length, maxFrame)
	}
	raw := make([]byte, len(head)+length)
	copy(raw, head)
	if _, err := io.ReadFull(r, raw[len(head):]); err != nil {
		return frame{}, err
	}
	return frame{kind: first >> 4, raw: raw, body: raw[len(head):]}, nil
}

// text reads a string with its length before it, and what is behind it.
func text(b []byte) (string, []byte, bool) {
	if len(b) < 2 {
		return "", nil, false
	}
	n := int(binary.BigEndian.Uint16(b))
	if len(b) < 2+n {
		return "", nil, false
	}
	return string(b[2 : 2+n]), b[2+n:], true
}

// publication is what a PUBLISH says; id is 0 at QoS 0.
type publication struct {
	topic   string
	id      uint16
	payload []byte
}

func (f frame) publication() (publication, bool) {
	topic, rest, ok := text(f.body)
	if f.kind != packetPublish || !ok {
		return publication{}, false
	}
	p := publication{topic: topic, payload: rest}
	if f.raw[0]&0x06 != 0 {
		if len(rest) < 2 {
			return p, false
		}
		p.id, p.payload = binary.BigEndian.Uint16(rest), rest[2:]
	}
	return p, true
}

// packetID is that of an acknowledgement.
func (f frame) packetID() uint16 {
	if len(f.body) < 2 {
		return 0
	}
	return binary.BigEndian.Uint16(f.body)
}

// clientID is that of a CONNECT, or empty.
func (f frame) clientID() string {
	_, rest, ok := text(f.body) // the protocol's name
	if f.kind != packetConnect || !ok || len(rest) < 4 {
		return ""
	}
	id, _, _ := text(rest[4:]) // behind level, flags and keep alive
	return id
}

// encode makes a packet of a first byte and a body.
func encode(first byte, body []byte) []byte {
	out := []byte{first}
	for n := len(body); ; {
		b := byte(n & 0x7f)
		if n >>= 7; n > 0 {
			out = append(out, b|0x80)
			continue
		}
		return append(append(out, b), body...)
	}
}

func appendText(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(s))) //nolint:gosec // the harness's own short names
	return append(b, s...)
}

// client is one connection to the broker, without a keep alive: only the
// broker's end ends it.
type client struct {
	conn net.Conn
	r    *bufio.Reader
}

// answerTime is how long a broker may take to answer, and a write to be taken.
const answerTime = 5 * time.Second

// dial connects; clean: the broker keeps no session.
func dial(address, id string, clean bool) (*client, error) {
	conn, err := net.DialTimeout("tcp", address, answerTime)
	if err != nil {
		return nil, err
	}
	c := &client{conn: conn, r: bufio.NewReader(conn)}
	body := appendText(nil, "MQTT")
	flags := byte(0)
	if clean {
		flags = 2
	}
	body = appendText(append(body, 4, flags, 0, 0), id)
	if err := c.write(encode(packetConnect<<4, body)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if err := c.expect(packetConnack); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return c, nil
}

// expect reads the answer of this type, which is to be the next packet.
func (c *client) expect(kind byte) error {
	if err := c.conn.SetReadDeadline(time.Now().Add(answerTime)); err != nil {
		return err
	}
	f, err := readFrame(c.r)
	if err != nil {
		return err
	}
	if f.kind != kind || (kind == packetConnack && f.packetID()&0xff != 0) {
		return fmt.Errorf("the broker answers %x", f.raw)
	}
	return c.conn.SetReadDeadline(time.Time{})
}

func (c *client) write(b []byte) error {
	if err := c.conn.SetWriteDeadline(time.Now().Add(answerTime)); err != nil {
		return err
	}
	_, err := c.conn.Write(b)
	return err
}

func (c *client) subscribe(filter string) error {
	body := append(appendText([]byte{0, 1}, filter), 1)
	return c.write(encode(packetSubscribe<<4|2, body))
}

func (c *client) puback(id uint16) error {
	return c.write(encode(packetPuback<<4, binary.BigEndian.AppendUint16(nil, id)))
}

// publish sends at QoS 1; again: it was sent before.
func (c *client) publish(topic string, payload []byte, id uint16, again bool) error {
	first := byte(packetPublish<<4 | 2)
	if again {
		first |= 8
	}
	body := binary.BigEndian.AppendUint16(appendText(nil, topic), id)
	return c.write(encode(first, append(body, payload...)))
}
