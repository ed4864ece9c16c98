package mqtt

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// puppet is a broker that speaks MQTT byte by byte and misbehaves as a test
// wants it to. What the test does not take over it answers as a broker would.
type puppet struct {
	t *testing.T
	// takes handles a packet, and tells whether it did.
	takes  func(*puppetConn, frame) bool
	listen net.Listener
	wg     sync.WaitGroup

	mu    sync.Mutex
	seen  []frame
	conns []*puppetConn
}

// frame is one packet from the agent.
type frame struct {
	first byte
	body  []byte
	conn  int // the number of its connection, from 0
}

type puppetConn struct {
	net.Conn
	number int
	mu     sync.Mutex
	// filters that it subscribed to; they belong to the goroutine that talks.
	filters map[string]bool
}

func (c *puppetConn) send(packets ...[]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = c.Write(join(packets...)) // the agent may be gone
}

func startPuppet(t *testing.T, takes func(*puppetConn, frame) bool) *puppet {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &puppet{t: t, takes: takes, listen: l}
	p.wg.Go(p.serve)
	t.Cleanup(func() {
		_ = l.Close()
		p.cut()
		p.wg.Wait()
	})
	return p
}

func (p *puppet) url() string { return "mqtt://" + p.listen.Addr().String() }

func (p *puppet) serve() {
	for {
		conn, err := p.listen.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		c := &puppetConn{Conn: conn, number: len(p.conns), filters: map[string]bool{}}
		p.conns = append(p.conns, c)
		p.mu.Unlock()
		p.wg.Go(func() { p.talk(c) })
	}
}

func (p *puppet) talk(c *puppetConn) {
	defer func() { _ = c.Close() }()
	in := bufio.NewReader(c)
	for {
		first, err := in.ReadByte()
		if err != nil {
			return
		}
		length, err := binary.ReadUvarint(in)
		if err != nil {
			return
		}
		f := frame{first: first, body: make([]byte, length), conn: c.number}
		if _, err := io.ReadFull(in, f.body); err != nil {
			return
		}
		p.mu.Lock()
		p.seen = append(p.seen, f)
		p.mu.Unlock()
		if p.takes == nil || !p.takes(c, f) {
			c.answer(f)
		}
	}
}

// answer is what a broker says that lets everybody do everything.
func (c *puppetConn) answer(f frame) {
	switch f.first >> 4 {
	case 1:
		c.send(packet(0x20, 0, 0))
	case 3:
		if f.qos() > 0 {
			c.send(packet(0x40, byte(f.id()>>8), byte(f.id())))
		}
		if c.filters[f.topic()] { // the agent listens to itself
			echo := publishBody(0, 0, f.topic(), 0)
			c.send(packet(0x30, append(echo, f.payload()...)...))
		}
	case 8:
		for _, filter := range f.filters() {
			c.filters[filter] = true
		}
		c.send(packet(0x90, append([]byte{f.body[0], f.body[1]}, make([]byte, len(f.filters()))...)...))
	case 10:
		c.send(packet(0xb0, f.body[0], f.body[1]))
	case 12:
		c.send(packet(0xd0))
	}
}

func (f frame) qos() byte { return f.first >> 1 & 3 }

// topic of a PUBLISH, and its packet identifier.
func (f frame) topic() string { return string(f.body[2 : 2+binary.BigEndian.Uint16(f.body)]) }

func (f frame) id() uint16 { return binary.BigEndian.Uint16(f.body[2+len(f.topic()):]) }

func (f frame) payload() string { return string(f.body[4+len(f.topic()):]) }

// filters of a SUBSCRIBE.
func (f frame) filters() (list []string) {
	for rest := f.body[2:]; len(rest) > 2; {
		end := 2 + binary.BigEndian.Uint16(rest)
		list = append(list, string(rest[2:end]))
		rest = rest[end+1:]
	}
	return list
}

// cut closes all connections.
func (p *puppet) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
}

// kinds are the packets of one type that came, in order; 0 is any.
func (p *puppet) kinds(kind byte) []frame {
	p.mu.Lock()
	defer p.mu.Unlock()
	var found []frame
	for _, f := range p.seen {
		if kind == 0 || f.first>>4 == kind {
			found = append(found, f)
		}
	}
	return found
}

func (p *puppet) connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns)
}

// quickPatience notices everything early.
func quickPatience() patience {
	return patience{idle: 400 * time.Millisecond, answer: 400 * time.Millisecond, write: 400 * time.Millisecond}
}

// profile is that of a connection to the puppet.
func (p *puppet) profile() profile {
	return profile{
		server: Server{URL: brokerURL(p.t, p.url())}, clientID: "agent", manual: true,
		handler: func(*session, paho.Message) {}, skipped: func(tooLarge) {},
	}
}

// session is one connection to the puppet.
func (p *puppet) session(prof profile) *session {
	p.t.Helper()
	s, err := dial(context.Background(), prof)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { s.cut(errEnded) })
	return s
}

// at makes the agent use the puppet.
func (p *puppet) at() *live {
	l := newLive(p.t, nil)
	l.change = func(l *live) {
		l.opts.Server = Server{URL: brokerURL(p.t, p.url())}
		l.inOpts.Server = l.opts.Server
	}
	return l
}

// link is one to the puppet, which serves by waiting.
func (p *puppet) link() (*link, *logged) {
	log := &logged{}
	return &link{name: "test", log: slog.New(log), pace: defaultPace(), profile: p.profile()}, log
}
