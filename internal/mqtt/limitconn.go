package mqtt

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
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
	packetSuback    = 9
	puback          = 0x40
	pubrec          = 0x50
	maxLengthBytes  = 4
	sampleOfTooLong = 200
	skipChunk       = 64 << 10
)

// errFraming says that the bytes are no MQTT, or a packet that is too large
// and cannot be skipped.
var errFraming = errors.New("broken MQTT framing")

// tooLarge tells of a packet that was read past.
type tooLarge struct {
	topic string
	bytes int
	// head is the start of its payload; in MQTT 5 its properties come first.
	head     []byte
	retained bool
}

// limitConn is a connection that hands on MQTT packets of MaxPacket bytes at
// most. Larger PUBLISH packets are discarded before anything is allocated for
// them. It serves both ends: the agent's own connections, and those of devices
// to the embedded broker. One goroutine reads; any number may write.
type limitConn struct {
	net.Conn
	in *bufio.Reader
	// skipped is called for each packet that was read past.
	skipped func(tooLarge)
	// subacks is the highest number of return codes that a SUBACK may have:
	// the client library trusts the broker on it, and panics. Zero: any.
	subacks atomic.Int32
	// patience is how far ahead the last read deadline was set, in nanoseconds:
	// each part of a packet that is read past is given as much, for the one who
	// sets deadlines sees nothing of it.
	patience atomic.Int64
	// writing makes one write of a packet and its deadline, which is writeLimit
	// ahead.
	writing    sync.Mutex
	writeLimit time.Duration
	// heard and sent count bytes, and owed the packets that the broker has to
	// answer: what the watch goes by. raw is the system's handle, or nil.
	heard, sent, owed atomic.Int64
	raw               syscall.RawConn
	// behind is told of the acknowledgement that a packet needs which was read
	// past, and how many messages of QoS 1 and 2 came before it. Nil: it is sent
	// at once.
	behind func(messages int64, qos byte, id uint16)
	// messages counts those that were handed on.
	messages int64
	// header of the present packet that was not handed on yet, and the bytes
	// of its body that are still to come.
	header []byte
	body   int
	room   [1 + maxLengthBytes]byte
}

func newLimitConn(conn net.Conn, skipped func(tooLarge)) *limitConn {
	return &limitConn{Conn: conn, in: bufio.NewReaderSize(conn, 16<<10), skipped: skipped, raw: rawConn(conn), writeLimit: writeTimeout}
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
		c.heard.Add(int64(n))
		return n, nil
	}
	n, err := c.in.Read(p[:min(len(p), c.body)])
	c.body -= n
	c.heard.Add(int64(n))
	return n, err
}

// Write sends a packet with a deadline of its own, for acknowledgements and
// pings get none from the client library.
func (c *limitConn) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.Conn.SetWriteDeadline(time.Now().Add(c.writeLimit)); err != nil {
		return 0, fmt.Errorf("set the write deadline: %w", err)
	}
	if len(p) > 0 && request(p[0]) {
		c.owed.Add(1)
	}
	n, err := c.Conn.Write(p)
	c.sent.Add(int64(n))
	return n, err
}

// SetWriteDeadline does nothing: each write has its own deadline, and another
// goroutine's would take it away.
func (c *limitConn) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline sets the deadline for reading; see SetWriteDeadline.
func (c *limitConn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetReadDeadline bounds the wait for the next byte to be handed on.
func (c *limitConn) SetReadDeadline(t time.Time) error {
	var ahead time.Duration
	if !t.IsZero() {
		ahead = max(0, time.Until(t))
	}
	c.patience.Store(int64(ahead))
	return c.Conn.SetReadDeadline(t)
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
	kind := first >> 4
	if answers(kind) {
		c.answered()
	}
	codes := int(c.subacks.Load())
	switch {
	case kind == packetSuback && codes > 0 && length > 2+codes:
		return fmt.Errorf("%w: a SUBACK with %d codes for %d filters", errFraming, length-2, codes)
	case length <= MaxPacket:
		c.header, c.body = header, length
		if kind == packetPublish && first>>1&3 > 0 {
			c.messages++
		}
		return nil
	case kind != packetPublish:
		return fmt.Errorf("%w: a packet of type %d with %d bytes", errFraming, kind, length)
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
	left := length - 2 - named // positive: a topic is shorter than MaxPacket
	if qos > 2 {
		return fmt.Errorf("%w: a quality of service of %d", errFraming, qos)
	}
	topic := make([]byte, named)
	if _, err := io.ReadFull(c.in, topic); err != nil {
		return err
	}
	if qos > 0 {
		left -= 2
		if _, err := io.ReadFull(c.in, two[:]); err != nil {
			return err
		}
		if two == [2]byte{} {
			return fmt.Errorf("%w: packet identifier 0", errFraming)
		}
	}
	head := make([]byte, min(sampleOfTooLong, left))
	if _, err := io.ReadFull(c.in, head); err != nil {
		return err
	}
	if err := c.discard(left - len(head)); err != nil {
		return err
	}
	c.skipped(tooLarge{topic: string(topic), bytes: length, head: head, retained: first&1 == 1})
	if qos == 0 {
		return nil
	}
	id := binary.BigEndian.Uint16(two[:])
	if c.behind != nil {
		c.behind(c.messages, qos, id)
		return nil
	}
	_, err := c.Write((&ticket{qos: qos, id: id}).append(nil))
	return err
}

// discard reads past n bytes. A sender that makes progress is not cut off.
func (c *limitConn) discard(n int) error {
	for n > 0 {
		if ahead := time.Duration(c.patience.Load()); ahead > 0 {
			if err := c.Conn.SetReadDeadline(time.Now().Add(ahead)); err != nil {
				return fmt.Errorf("set the read deadline: %w", err)
			}
		}
		m, err := c.in.Discard(min(n, skipChunk))
		n -= m
		c.heard.Add(int64(m))
		if err != nil {
			return err
		}
	}
	return nil
}
