package mqtt

import (
	"strings"
	"sync"

	broker "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// parents makes a filter x/# match x as well (MQTT 3.1.1, 4.7.1.2). The library
// leaves out what is retained on x, and everything where x ends with a plus. A
// client that subscribes to x/# is subscribed to x too; where both match it gets
// a message once.
type parents struct {
	broker.HookBase
	server *broker.Server

	mu sync.Mutex
	// implied are the filters that a client did not ask for, and asked is how
	// many of a packet's it did.
	implied map[string]map[string]bool
	asked   map[packetKey]int
}

// packetKey is one SUBSCRIBE or UNSUBSCRIBE until its answer.
type packetKey struct {
	client *broker.Client
	id     uint16
	answer byte
}

func newParents(server *broker.Server) *parents {
	return &parents{server: server, implied: make(map[string]map[string]bool), asked: make(map[packetKey]int)}
}

// ID names the hook.
func (p *parents) ID() string { return "parents of filters" }

// Provides tells the broker what the hook does.
func (p *parents) Provides(b byte) bool {
	switch b {
	case broker.OnSubscribe, broker.OnUnsubscribe, broker.OnPacketEncode, broker.OnDisconnect:
		return true
	}
	return false
}

// parent is x of the filter x/#. Shared subscriptions get nothing retained, and
// are left alone.
func parent(filter string) (string, bool) {
	x, ok := strings.CutSuffix(filter, "/#")
	return x, ok && x != "" && !broker.IsSharedFilter(filter)
}

// OnSubscribe adds the parents behind what the client asked for.
func (p *parents) OnSubscribe(cl *broker.Client, pk packets.Packet) packets.Packet {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(pk.Filters)
	mine := p.implied[cl.ID]
	for _, sub := range pk.Filters[:n] {
		delete(mine, sub.Filter) // asked for now
	}
	for _, sub := range pk.Filters[:n] {
		x, ok := parent(sub.Filter)
		if !ok {
			continue
		}
		if _, stands := cl.State.Subscriptions.Get(x); stands && !mine[x] {
			continue // its own, with its own quality of service
		}
		if mine == nil {
			mine = make(map[string]bool)
			p.implied[cl.ID] = mine
		}
		mine[x] = true
		sub.Filter = x
		pk.Filters = append(pk.Filters, sub)
	}
	p.remember(cl, pk, packets.Suback, n)
	return pk
}

// OnUnsubscribe ends the parents as well.
func (p *parents) OnUnsubscribe(cl *broker.Client, pk packets.Packet) packets.Packet {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(pk.Filters)
	mine := p.implied[cl.ID]
	for _, sub := range pk.Filters[:n] {
		if x, ok := parent(sub.Filter); ok && mine[x] {
			delete(mine, x)
			pk.Filters = append(pk.Filters, packets.Subscription{Filter: x})
		}
	}
	p.remember(cl, pk, packets.Unsuback, n)
	return pk
}

func (p *parents) remember(cl *broker.Client, pk packets.Packet, answer byte, n int) {
	if len(pk.Filters) > n {
		p.asked[packetKey{cl, pk.PacketID, answer}] = n
	}
}

// OnPacketEncode answers for what was asked, and no more.
func (p *parents) OnPacketEncode(cl *broker.Client, pk packets.Packet) packets.Packet {
	if pk.FixedHeader.Type != packets.Suback && pk.FixedHeader.Type != packets.Unsuback {
		return pk
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	key := packetKey{cl, pk.PacketID, pk.FixedHeader.Type}
	if n, ok := p.asked[key]; ok && n <= len(pk.ReasonCodes) {
		pk.ReasonCodes = pk.ReasonCodes[:n]
	}
	delete(p.asked, key)
	return pk
}

// OnDisconnect forgets what belongs to a connection, and to a session that ends
// with it.
func (p *parents) OnDisconnect(cl *broker.Client, _ error, expire bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key := range p.asked {
		if key.client == cl {
			delete(p.asked, key)
		}
	}
	if there, ok := p.server.Clients.Get(cl.ID); expire && (!ok || there == cl) {
		delete(p.implied, cl.ID)
	}
}
