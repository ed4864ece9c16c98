package main

import (
	"bufio"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"
)

// proxy is the link between agent and broker. It reads every packet, and so
// knows what the agent was given, what it acknowledged, and what the broker
// acknowledged to it; and it can cut, slow down and stall.
type proxy struct {
	target string // the broker
	ledger *ledger

	mu       sync.Mutex
	address  string
	listener net.Listener
	conns    map[*wire]struct{}
	weather  weather
}

// weather is how the link is just now.
type weather struct {
	latency, jitter time.Duration
	rate            int           // bytes a second; 0: no limit
	still           chan struct{} // nothing moves until it is closed; nil: it moves
}

// wire is one connection of the agent and its other half to the broker.
type wire struct {
	proxy         *proxy
	agent, broker net.Conn
	dead          chan struct{} // closed: nothing moves on it any more, and nobody is told
	gone          chan struct{} // closed: it is over
	once, killed  sync.Once

	mu       sync.Mutex
	outgoing bool                   // the publishing connection
	given    map[uint16]publication // to the agent, unacknowledged
	events   map[uint16]body        // to the broker, unacknowledged
}

func newProxy(target, host string, l *ledger) (*proxy, error) {
	p := &proxy{target: target, ledger: l, address: net.JoinHostPort(host, "0"), conns: map[*wire]struct{}{}}
	return p, p.open()
}

// open listens, after newProxy or refuse.
func (p *proxy) open() error {
	l, err := net.Listen("tcp", p.address)
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.listener, p.address = l, l.Addr().String()
	p.mu.Unlock()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go p.join(conn)
		}
	}()
	return nil
}

// refuse lets nobody connect, as a host does where no broker listens.
func (p *proxy) refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.listener.Close() // it may be closed already
}

func (p *proxy) join(agent net.Conn) {
	broker, err := net.Dial("tcp", p.target)
	if err != nil {
		reset(agent)
		return
	}
	w := &wire{
		proxy: p, agent: agent, broker: broker, dead: make(chan struct{}), gone: make(chan struct{}),
		given: map[uint16]publication{}, events: map[uint16]body{},
	}
	p.mu.Lock()
	p.conns[w] = struct{}{}
	p.mu.Unlock()
	go w.pipe(broker, agent, w.toAgent)
	w.pipe(agent, broker, w.toBroker)
	p.mu.Lock()
	delete(p.conns, w)
	p.mu.Unlock()
}

// late is a packet that is to arrive at a time.
type late struct {
	frame frame
	due   time.Time
}

// pipe carries packets one way, and tells of each after it was written.
func (w *wire) pipe(from, to net.Conn, tell func(f frame, written bool)) {
	queue := make(chan late, 1024)
	go func() {
		defer close(queue)
		r := bufio.NewReader(from)
		var due time.Time
		for {
			f, err := readFrame(r)
			if err != nil {
				return
			}
			tell(f, false)
			if next := time.Now().Add(w.proxy.latency()); next.After(due) {
				due = next // never overtaking the one before
			}
			select {
			case queue <- late{f, due}:
			case <-w.gone:
				return
			}
		}
	}()
	defer w.end()
	for l := range queue {
		time.Sleep(time.Until(l.due))
		if !w.moves(len(l.frame.raw)) {
			return
		}
		if _, err := to.Write(l.frame.raw); err != nil {
			return
		}
		tell(l.frame, true)
	}
	select {
	case <-w.dead: // its end is not told either
		<-w.gone
	default:
	}
}

// moves waits until so many bytes may go on; false: never.
func (w *wire) moves(bytes int) bool {
	w.proxy.mu.Lock()
	now := w.proxy.weather
	w.proxy.mu.Unlock()
	if now.still != nil {
		select {
		case <-now.still:
		case <-w.gone:
			return false
		}
	}
	if now.rate > 0 {
		time.Sleep(time.Duration(bytes) * time.Second / time.Duration(now.rate))
	}
	select {
	case <-w.dead:
		<-w.gone
		return false
	default:
		return true
	}
}

func (p *proxy) latency() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.weather.jitter == 0 {
		return p.weather.latency
	}
	return p.weather.latency - p.weather.jitter + rand.N(2*p.weather.jitter) //nolint:gosec // weather
}

// end closes both halves in order.
func (w *wire) end() {
	w.once.Do(func() {
		close(w.gone)
		_ = w.agent.Close()  // either may be closed already
		_ = w.broker.Close() // the same
	})
}

// toAgent tells of a packet from the broker.
func (w *wire) toAgent(f frame, written bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case f.kind == packetPuback && written:
		if b, ok := w.events[f.packetID()]; ok {
			delete(w.events, f.packetID())
			w.proxy.ledger.acknowledged(b)
		}
	case f.kind == packetPublish && !w.outgoing:
		p, ok := f.publication()
		if !ok {
			return
		}
		if written {
			w.proxy.ledger.handed(p)
		} else { // before the agent can acknowledge it
			w.given[p.id] = p
		}
	}
}

// toBroker tells of a packet from the agent.
func (w *wire) toBroker(f frame, written bool) {
	if written {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch f.kind {
	case packetConnect:
		w.outgoing = strings.HasSuffix(f.clientID(), "-out")
	case packetPuback:
		if p, ok := w.given[f.packetID()]; ok {
			delete(w.given, f.packetID())
			w.proxy.ledger.byAgent(p)
		}
	case packetPublish:
		p, ok := f.publication()
		if !ok || !strings.HasSuffix(p.topic, "/event") {
			return
		}
		if b, err := parseEvent(p.payload); err == nil {
			w.events[p.id] = b
			w.proxy.ledger.published(b)
		}
	}
}

// cut ends all connections with a reset.
func (p *proxy) cut() {
	for _, w := range p.all() {
		reset(w.agent)
		reset(w.broker)
		w.end()
	}
}

// halfOpen lets nothing move on the connections that stand, and tells nobody;
// new ones work. The function that it answers ends them.
func (p *proxy) halfOpen() func() {
	dead := p.all()
	for _, w := range dead {
		w.killed.Do(func() { close(w.dead) })
	}
	return func() {
		for _, w := range dead {
			w.end()
		}
	}
}

func (p *proxy) all() []*wire {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]*wire, 0, len(p.conns))
	for w := range p.conns {
		list = append(list, w)
	}
	return list
}

// set changes the weather for all connections.
func (p *proxy) set(now weather) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if before := p.weather.still; before != nil {
		close(before)
	}
	p.weather = now
}

// reset closes with RST instead of FIN.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // a plain close does as well
	}
	_ = c.Close() // it may be closed already
}
