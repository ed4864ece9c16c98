package web

import (
	"cmp"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
)

// maxConns is how many connections a server holds at one time.
const maxConns = 32

// door bounds the connections of a server without ever shutting newcomers out
// for those that only wait. When all places are taken, the one that has waited
// longest for a request gives way: whoever opens 200 connections and sends
// nothing pushes out their own. When all are at work, the oldest of an address
// that holds more than half gives way; else the newcomer does.
type door struct {
	mu    sync.Mutex
	limit int
	turn  uint64
	conns map[net.Conn]*visit
}

// visit is one connection: since which turn it has been at what it does.
type visit struct {
	conn    net.Conn
	from    netip.Addr
	waiting bool
	since   uint64
}

func newDoor(limit int) *door { return &door{limit: limit, conns: make(map[net.Conn]*visit)} }

// state is the ConnState hook of a server. It runs in the accepting goroutine
// for new connections, and never waits.
func (d *door) state(c net.Conn, to http.ConnState) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.turn++
	switch to {
	case http.StateNew:
		v := &visit{conn: c, waiting: true, since: d.turn}
		if a := c.RemoteAddr(); a != nil {
			v.from = addressOf(a.String())
		}
		if len(d.conns) >= d.limit {
			out := d.whoGoes()
			if out == nil {
				cut(c)
				return
			}
			delete(d.conns, out.conn)
			cut(out.conn)
		}
		d.conns[c] = v
	case http.StateActive, http.StateIdle:
		if v := d.conns[c]; v != nil {
			v.waiting, v.since = to == http.StateIdle, d.turn
		}
	case http.StateClosed, http.StateHijacked:
		delete(d.conns, c)
	}
}

func (d *door) whoGoes() *visit {
	var waiting []*visit
	by := make(map[netip.Addr][]*visit)
	for _, v := range d.conns {
		if v.waiting {
			waiting = append(waiting, v)
		}
		by[v.from] = append(by[v.from], v)
	}
	oldest := func(a, b *visit) int { return cmp.Compare(a.since, b.since) }
	if len(waiting) > 0 {
		return slices.MinFunc(waiting, oldest)
	}
	for _, vs := range by {
		if len(vs) > d.limit/2 {
			return slices.MinFunc(vs, oldest)
		}
	}
	return nil
}

// cut closes a connection at once. A TLS connection would first say goodbye,
// which a peer that does not read can make last for seconds.
func cut(c net.Conn) {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	_ = c.Close() // its own goroutine sees it
}
