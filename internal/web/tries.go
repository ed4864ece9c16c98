package web

import (
	"net/netip"
	"sync"
	"time"
)

const (
	// maxTries is how many wrong tokens an address may send in a window.
	maxTries   = 20
	triesTime  = time.Minute
	triesKnown = 1024
)

// tries counts wrong tokens by address, in windows of a minute that all
// addresses share: its memory is what one window holds, and that is bounded.
type tries struct {
	mu    sync.Mutex
	since time.Time
	count map[netip.Prefix]int
	// others counts together for the addresses that are too many to be kept
	// apart.
	others int
}

func newTries() *tries { return &tries{count: make(map[netip.Prefix]int)} }

// wait is how long the address has to wait before it may try again.
func (t *tries) wait(from netip.Addr, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.turn(now)
	n, known := t.count[network(from)]
	if !known && len(t.count) >= triesKnown {
		n = t.others
	}
	if n < maxTries {
		return 0
	}
	return t.since.Add(triesTime).Sub(now)
}

// failed counts a wrong token.
func (t *tries) failed(from netip.Addr, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.turn(now)
	p := network(from)
	if _, known := t.count[p]; !known && len(t.count) >= triesKnown {
		t.others++
		return
	}
	t.count[p]++
}

// turn begins a new window when the old one is over, or the clock went back.
func (t *tries) turn(now time.Time) {
	if passed := now.Sub(t.since); passed >= triesTime || passed < 0 {
		t.since, t.others = now, 0
		clear(t.count)
	}
}

// network is who an address belongs to: one IPv4 address, or the /64 that one
// IPv6 host can choose its addresses from (RFC 4291, 2.5.4).
func network(a netip.Addr) netip.Prefix {
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // no address: all of these are one
	}
	return p
}
