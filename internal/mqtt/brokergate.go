package mqtt

import (
	"crypto/subtle"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	broker "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// gate lets clients in, and keeps them off what is the agent's to say. It
// compares in constant time and knows no patterns: a star in a password is a
// star.
type gate struct {
	broker.HookBase
	username string
	password atomic.Pointer[string]
	agent    string
	root     string
	clients  *broker.Clients
	log      *slog.Logger

	mu sync.Mutex
	// told are the clients that wrote where they may not, and were logged.
	told map[string]bool
}

// maxTold bounds the clients that are logged.
const maxTold = 1000

// ID names the hook.
func (g *gate) ID() string { return "access" }

// Provides tells the broker what the hook decides.
func (g *gate) Provides(b byte) bool {
	switch b {
	case broker.OnConnectAuthenticate, broker.OnACLCheck, broker.OnPublish, broker.OnWill, broker.OnSessionEstablish:
		return true
	}
	return false
}

const (
	// maxBehind is how many messages may be before the agent until devices have
	// to wait, and longestWait how long each has to at most.
	maxBehind   = 1024
	longestWait = 10 * time.Second
)

// OnPublish holds a device's message back while the agent is behind: the
// broker acknowledges at once what it takes, and drops what it cannot hold.
// What only the agent may publish is acknowledged and dropped: MQTT 3.1.1 has
// no other answer but the end of the connection (3.3.5), and a device that
// comes back at once and tries again is worse.
func (g *gate) OnPublish(cl *broker.Client, pk packets.Packet) (packets.Packet, error) {
	if g.isAgent(cl) {
		return pk, nil
	}
	if g.reserved(pk.TopicName) {
		g.tell(cl.ID, pk.TopicName)
		return pk, packets.CodeSuccessIgnore
	}
	if pk.FixedHeader.Qos == 0 {
		return pk, nil
	}
	for start := time.Now(); g.behind() && time.Since(start) < longestWait; {
		time.Sleep(time.Millisecond)
	}
	return pk, nil
}

// OnWill sends the will of a client, unless it is on a topic that is only the
// agent's; then it goes where nobody may listen.
func (g *gate) OnWill(cl *broker.Client, w broker.Will) (broker.Will, error) {
	if !g.isAgent(cl) && g.reserved(w.TopicName) {
		g.tell(cl.ID, w.TopicName)
		return broker.Will{TopicName: nowhere}, nil
	}
	return w, nil
}

// nowhere is a topic that nobody can subscribe to, see OnACLCheck.
const nowhere = "$nowhere"

func (g *gate) isAgent(cl *broker.Client) bool {
	return cl.ID == g.agent || cl.ID == g.agent+outSuffix
}

// reserved tells whether a topic is only the agent's to publish on.
func (g *gate) reserved(topic string) bool {
	rest, under := strings.CutPrefix(topic, g.root)
	if g.root == "" || !under {
		return false
	}
	verb, request := strings.CutPrefix(rest, "request/")
	return !request || strings.Contains(verb, "/")
}

// tell logs once of each client.
func (g *gate) tell(id, topic string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.told == nil {
		g.told = make(map[string]bool)
	}
	if g.told[id] || len(g.told) == maxTold {
		return
	}
	g.told[id] = true
	g.log.Warn("a client publishes where only the agent may; that is dropped", "client_id", id, "topic", topic)
}

func (g *gate) behind() bool {
	agent, ok := g.clients.Get(g.agent)
	return ok && agent.State.Inflight.Len() > maxBehind
}

// OnConnectAuthenticate checks user name and password (MQTT 3.1.1, 3.1.3.4).
func (g *gate) OnConnectAuthenticate(_ *broker.Client, pk packets.Packet) bool {
	if g.username == "" {
		return true
	}
	name := subtle.ConstantTimeCompare([]byte(g.username), pk.Connect.Username)
	secret := subtle.ConstantTimeCompare([]byte(*g.password.Load()), pk.Connect.Password)
	return name&secret == 1
}

// OnSessionEstablish logs that a client takes the place of one that is
// connected under the same id (MQTT 3.1.1, 3.1.4-2): two that do it by turns
// throw each other out for ever.
func (g *gate) OnSessionEstablish(cl *broker.Client, _ packets.Packet) {
	if there, ok := g.clients.Get(cl.ID); ok && there != cl && !there.Closed() {
		g.log.Warn("a client is thrown out by another with the same client id", "client_id", cl.ID, "old", there.Net.Remote, "new", cl.Net.Remote)
	}
}

// OnACLCheck lets those who are in read everything. What they may write is for
// OnPublish, which can drop it without an end of the connection.
func (g *gate) OnACLCheck(_ *broker.Client, topic string, _ bool) bool { return topic != nowhere }
