package mqtt

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"
)

// patience is how long a connection may be silent.
type patience struct {
	// idle is how long nothing may come before the broker is asked whether it is
	// there. answer is how long it may then say nothing, or after anything else
	// that it must answer. write is how long one packet may take to be written.
	idle, answer, write time.Duration
}

// defaultPatience finds a dead link after 30 s in which nothing is sent, and
// after 10 s where something is: both are below keepAlive + 10 s. Devices'
// apps learn of it by the will, after one and a half times keepAlive.
func defaultPatience() patience {
	return patience{idle: 20 * time.Second, answer: 10 * time.Second, write: writeTimeout}
}

// looks is how often in the time of an answer the watch looks.
const looks = 20

// errSilent says that a connection stands and the broker does not answer.
var errSilent = errors.New("the broker does not answer")

// watch ends the session when the broker makes no progress: it owes an answer,
// and neither does a byte come nor does a backlog of ours get shorter. It counts
// its own looks, not the time: an agent that was stopped itself finds
// everything in the socket when it goes on, and must not blame the broker.
//
// The client library's own timers do not do: what a peer that stopped reading
// is sent hangs in them without end, and its ping comes up to 5 s late.
func (s *session) watch(p patience) {
	ticker := time.NewTicker(p.answer / looks)
	defer ticker.Stop()
	idleLooks := int(p.idle / (p.answer / looks))
	var heard, delivered int64
	quiet, stuck := 0, 0
	for {
		select {
		case <-s.lost:
			return
		case <-ticker.C:
		}
		quiet, stuck = quiet+1, stuck+1
		if now := s.conn.heard.Load(); now != heard {
			heard, quiet, stuck = now, 0, 0
		}
		if now, backlog := s.conn.outgoing(); now > delivered {
			delivered = now
			if backlog { // a slow link; without one the system alone took it
				stuck = 0
			}
		}
		switch {
		case s.conn.owed.Load() == 0:
			stuck = 0
			if quiet >= idleLooks && !s.closing.Load() {
				s.conn.ping()
			}
		case stuck > looks:
			s.end(fmt.Errorf("%w: nothing came for %s", errSilent, p.answer))
			return
		}
	}
}

// request tells whether a packet that we send is to be answered, and answers
// whether one that comes is such an answer (MQTT 3.1.1, 2.2.1).
func request(first byte) bool {
	switch first >> 4 {
	case 1, 8, 10, 12: // CONNECT, SUBSCRIBE, UNSUBSCRIBE, PINGREQ
		return true
	case packetPublish:
		return first>>1&3 > 0
	}
	return false
}

func answers(kind byte) bool {
	switch kind {
	case 2, 4, packetSuback, 11, 13: // CONNACK, PUBACK, SUBACK, UNSUBACK, PINGRESP
		return true
	}
	return false
}

// ping asks the broker whether it is there. Its answer is of no interest to the
// client library, and does no harm there.
func (c *limitConn) ping() { _, _ = c.Write([]byte{0xc0, 0}) } // an error is the connection's, and told by it

// answered takes one off what the broker owes. One that sends more answers than
// it was asked for owes nothing.
func (c *limitConn) answered() {
	for {
		n := c.owed.Load()
		if n <= 0 || c.owed.CompareAndSwap(n, n-1) {
			return
		}
	}
}

// outgoing is how many bytes the peer's system has taken, and whether more wait
// here.
func (c *limitConn) outgoing() (delivered int64, backlog bool) {
	sent := c.sent.Load()
	n := unsent(c.raw)
	return sent - int64(n), n > 0
}

// under is the connection of the operating system below TLS or a web socket, or
// nil.
func under(conn net.Conn) net.Conn {
	for conn != nil {
		inner, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		conn = inner.NetConn()
	}
	return conn
}

// rawConn is the system's handle of a connection, or nil.
func rawConn(conn net.Conn) syscall.RawConn {
	c, ok := under(conn).(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil // it is closed already
	}
	return raw
}
