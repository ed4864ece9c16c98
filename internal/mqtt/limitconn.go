package mqtt

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// MaxPacket is the largest packet that is taken, in bytes of its remaining
// length (MQTT 3.1.1, 2.2.3). A larger PUBLISH is read past, acknowledged and
// counted; to close the connection would have the broker send it again for
// ever.
const MaxPacket = 256 << 10

// writeTimeout bounds one write: a peer that stops reading is found out by it.
const writeTimeout = 10 * time.Second

const (
	packetPublish   = 3 // control packet types of MQTT 3.1.1, 2.2.1
	puback          = 0x40
	pubrec          = 0x50
	maxLengthBytes  = 4
	sampleOfTooLong = 200
)

// errFraming says that the bytes are no MQTT, or a packet that is too large
// and cannot be skipped.
var errFraming = errors.New("broken MQTT framing")

// tooLarge tells of a packet that was read past.
type tooLarge struct {
	topic string
	bytes int
	// head is the start of its payload.
	head []byte
}

// limitConn lets MQTT packets through one by one, buffered, and reads past
// PUBLISH packets larger than MaxPacket before anything is allocated for them.
// It serves both ends: the agent's own connections, and those of devices to
// the embedded broker.
type limitConn struct {
	net.Conn
	in *bufio.Reader
	// skipped is called for each packet that was read past.
	skipped func(tooLarge)
	// header of the present packet that was not handed on yet, and the bytes
	// of its body that are still to come.
	header []byte
	body   int
	room   [1 + maxLengthBytes]byte
}

func newLimitConn(conn net.Conn, skipped func(tooLarge)) *limitConn {
	return &limitConn{Conn: conn, in: bufio.NewReaderSize(conn, 16<<10), skipped: skipped}
}

// Read hands on bytes of packets that are small enough.
func (c *limitConn) Read(p []byte) (int, error) {
	for len(c.header) == 0 && c.body == 0 {
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	if len(c.header) > 0 {
		n := copy(p, c.header)
		c.header = c.header[n:]
		return n, nil
	}
	n, err := c.in.Read(p[:min(len(p), c.body)])
	c.body -= n
	return n, err
}

// Write sends with a deadline of its own, for acknowledgements and pings get
// none from the client library.
func (c *limitConn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, fmt.Errorf("set the write deadline: %w", err)
	}
	return c.Conn.Write(p)
}

// next reads a fixed header (MQTT 3.1.1, 2.2) and decides on the packet.
func (c *limitConn) next() error {
	first, err := c.in.ReadByte()
	if err != nil {
		return err
	}
	header := append(c.room[:0], first)
	length, shift := 0, 0
	for {
		b, err := c.in.ReadByte()
		if err != nil {
			return err
		}
		header = append(header, b)
		length |= int(b&0x7f) << shift
		if b&0x80 == 0 {
			break
		}
		if shift += 7; len(header) > maxLengthBytes {
			return fmt.Errorf("%w: a remaining length of more than %d bytes", errFraming, maxLengthBytes)
		}
	}
	if length <= MaxPacket {
		c.header, c.body = header, length
		return nil
	}
	if first>>4 != packetPublish {
		return fmt.Errorf("%w: a packet of type %d with %d bytes", errFraming, first>>4, length)
	}
	return c.skip(first, length)
}

// skip reads past a PUBLISH and acknowledges it as its quality of service
// wants (MQTT 3.1.1, 3.3.4).
func (c *limitConn) skip(first byte, length int) error {
	var two [2]byte
	if _, err := io.ReadFull(c.in, two[:]); err != nil {
		return err
	}
	named := int(binary.BigEndian.Uint16(two[:]))
	qos := first >> 1 & 3
	left := length - 2 - named
	if qos > 0 {
		left -= 2
	}
	if left < 0 {
		return fmt.Errorf("%w: a topic longer than its packet", errFraming)
	}
	topic := make([]byte, named)
	if _, err := io.ReadFull(c.in, topic); err != nil {
		return err
	}
	if qos > 0 {
		if _, err := io.ReadFull(c.in, two[:]); err != nil {
			return err
		}
	}
	head := make([]byte, min(sampleOfTooLong, left))
	if _, err := io.ReadFull(c.in, head); err != nil {
		return err
	}
	if _, err := io.CopyN(io.Discard, c.in, int64(left-len(head))); err != nil {
		return err
	}
	c.skipped(tooLarge{topic: string(topic), bytes: length, head: head})
	switch qos {
	case 1:
		_, err := c.Write([]byte{puback, 2, two[0], two[1]})
		return err
	case 2:
		_, err := c.Write([]byte{pubrec, 2, two[0], two[1]})
		return err
	}
	return nil
}
