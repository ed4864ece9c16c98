package main

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
)

// meter is a link between agent and broker that only counts. It keeps up with
// floods, where the proxy, which knows every message, would be the bottleneck.
type meter struct {
	target, address string
	listener        net.Listener
	connects        atomic.Int64 // of the inbound connection
	// given are publishes to the agent from its sources by quality of service,
	// again those of them that were marked as repeated, acked its
	// acknowledgements of them.
	given [2]atomic.Int64
	again atomic.Int64
	acked atomic.Int64
	// open are publishes at QoS 1 that a connection ended on.
	open atomic.Int64

	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

// peeked is how much of a packet is looked at: a topic and a packet id.
const peeked = 512

func newMeter(target, listen string) (*meter, error) {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, err
	}
	m := &meter{target: target, address: l.Addr().String(), listener: l, conns: map[net.Conn]struct{}{}}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go m.join(conn)
		}
	}()
	return m, nil
}

func (m *meter) join(agent net.Conn) {
	broker, err := net.Dial("tcp", m.target)
	if err != nil {
		reset(agent)
		return
	}
	m.keep(agent, broker)
	var inbound atomic.Bool
	var open atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = pump(broker, agent, func(first byte, head []byte) { // its end is the connection's
			if first>>4 == packetPublish && inbound.Load() {
				m.publish(first, head, &open)
			}
		})
		_ = agent.Close() // it may be closed already
	}()
	_ = pump(agent, broker, func(first byte, head []byte) { // the same
		switch first >> 4 {
		case packetConnect:
			f := frame{kind: packetConnect, body: head}
			if inbound.Store(!strings.HasSuffix(f.clientID(), "-out")); inbound.Load() {
				m.connects.Add(1)
			}
		case packetPuback:
			if inbound.Load() {
				m.acked.Add(1)
				open.Add(-1)
			}
		}
	})
	_ = broker.Close() // the same
	<-done
	m.open.Add(max(0, open.Load()))
	m.mu.Lock()
	delete(m.conns, agent)
	delete(m.conns, broker)
	m.mu.Unlock()
}

func (m *meter) publish(first byte, head []byte, open *atomic.Int64) {
	topic, _, ok := text(head)
	if !ok || !strings.HasPrefix(topic, "devices/") {
		return
	}
	if first&0x08 != 0 {
		m.again.Add(1)
	}
	if first&0x06 == 0 {
		m.given[0].Add(1)
		return
	}
	m.given[1].Add(1)
	open.Add(1)
}

func (m *meter) keep(conns ...net.Conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range conns {
		m.conns[c] = struct{}{}
	}
}

// delivered are all publishes that came to the agent from its sources.
func (m *meter) delivered() int64 { return m.given[0].Load() + m.given[1].Load() }

func (m *meter) close() {
	_ = m.listener.Close() // it may be closed already
	m.mu.Lock()
	defer m.mu.Unlock()
	for c := range m.conns {
		_ = c.Close() // the same
	}
}

// pump moves packets one way, however large, and shows the beginning of each.
func pump(from io.Reader, to io.Writer, see func(first byte, head []byte)) error {
	r, w := bufio.NewReaderSize(from, 64<<10), bufio.NewWriterSize(to, 64<<10)
	for {
		first, err := r.ReadByte()
		if err != nil {
			return errors.Join(err, w.Flush())
		}
		header := []byte{first}
		length := 0
		for shift := 0; ; shift += 7 {
			b, err := r.ReadByte()
			if err != nil || shift > 21 {
				return errors.Join(err, io.ErrUnexpectedEOF)
			}
			header = append(header, b)
			if length |= int(b&0x7f) << shift; b < 0x80 {
				break
			}
		}
		head, err := r.Peek(min(length, peeked))
		if err != nil {
			return err
		}
		see(first, head)
		if _, err = w.Write(header); err == nil {
			_, err = io.CopyN(w, r, int64(length))
		}
		if err == nil && r.Buffered() == 0 {
			err = w.Flush()
		}
		if err != nil {
			return err
		}
	}
}

// cut ends all connections with a reset.
func (m *meter) cut() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for c := range m.conns {
		reset(c)
	}
}
