package mqtt

import (
	"context"
	"encoding/json"
	"hash/maphash"
	"log/slog"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"fieldmedic/internal/diagnose"
)

const (
	// stateTTL is how long a retained `online` holds, and stateEvery how often
	// it is renewed (contract section 4).
	stateTTL   = 180 * time.Second
	stateEvery = 60 * time.Second
	// markEvery is how often the watermark follows the events.
	markEvery = time.Second
)

// outSuffix makes the client id of the publishing connection (contract
// section 2).
const outSuffix = "-out"

// Outbox is the log of events above the publish cursor.
type Outbox interface {
	// After returns up to limit entries above seq, in order.
	After(ctx context.Context, seq int64, limit int) ([]diagnose.LogEntry, error)
	// Cursor is the sequence number up to which every event was published.
	Cursor() int64
	// Published moves the cursor. It is called with growing numbers.
	Published(seq int64)
}

// PublisherOptions are what the publishing connection needs; every field must
// be set.
type PublisherOptions struct {
	Server Server
	// ClientID of the agent; the connection's own has "-out" behind it.
	ClientID      string
	Base, Gateway string
	// Epoch is the store's uuid.
	Epoch  string
	Outbox Outbox
	// Snapshots calls f with what is to be shown now: the site, and each device.
	Snapshots func(ctx context.Context, f func(diagnose.Snapshot) error) error
	// Words are asked for at each encoding, for a reload swaps them.
	Words func() diagnose.Words
	// Published is told of each event that the broker acknowledged for the
	// first time.
	Published func(diagnose.LogEntry)
	Log       *slog.Logger
}

// Publisher is the connection that diagnostics go out by. It holds the will,
// keeps the retained topics true, and sends every event of the log in order.
type Publisher struct {
	opts PublisherOptions
	link link
	root string // base and gateway, with a slash behind
	wake chan struct{}
	// stateEvery and markEvery are the constants, but for tests.
	stateEvery, markEvery, readBackTimeout time.Duration

	waiting waiting
	back    readBack
}

// message is what is published.
type message struct {
	topic    string
	payload  []byte
	retained bool
}

// NewPublisher returns a connection that is not open yet.
func NewPublisher(opts PublisherOptions) *Publisher {
	p := &Publisher{
		opts:       opts,
		root:       opts.Base + "/" + EscapeID(opts.Gateway) + "/",
		wake:       make(chan struct{}, 1),
		stateEvery: stateEvery, markEvery: markEvery, readBackTimeout: readBackTimeout,
		back:    readBack{seed: maphash.MakeSeed()},
		waiting: waiting{latest: make(map[diagnose.DeviceID]*outgoing)},
	}
	p.link = link{name: "publishing", log: opts.Log, pace: defaultPace(), profile: profile{
		server: opts.Server, clientID: opts.ClientID + outSuffix, clean: true,
		handler: p.take, skipped: p.back.takeTooLarge,
		will: &will{topic: p.root + "state", payload: p.state(false)},
	}}
	return p
}

// State tells how the connection stands.
func (p *Publisher) State() LinkStatus { return p.link.state() }

// take is the connection's handler: our own retained topics, read back, and
// the state of another agent that comes up beside us.
func (p *Publisher) take(s *session, m paho.Message) {
	if m.Topic() == p.root+"state" && !m.Retained() {
		if p.foreign(m.Payload()) {
			p.waiting.usurp(s)
			p.nudge()
		}
		return
	}
	p.back.take(s, m)
}

// foreign tells whether a state is that of another agent which is online now.
func (p *Publisher) foreign(body []byte) bool {
	var other StateJSON
	if len(body) == 0 || json.Unmarshal(body, &other) != nil {
		return false
	}
	return other.State == "online" && other.ExpiresAt.After(time.Now()) &&
		other.Epoch != p.opts.Epoch && other.ClientID != p.opts.ClientID
}

// state is the payload of the topic `state`.
func (p *Publisher) state(online bool) []byte {
	s := StateJSON{State: "offline", Epoch: p.opts.Epoch, ClientID: p.opts.ClientID, TTL: int(stateTTL / time.Second)}
	if online {
		s.State = "online"
		s.ExpiresAt = diagnose.Stamp{Time: time.Now().Add(stateTTL)}
	}
	body, err := json.Marshal(s)
	if err != nil {
		return nil // strings, a number and a time always encode
	}
	return body
}

// StateJSON is the retained topic `state`, and the will (contract section 4).
type StateJSON struct {
	// State is "online" or "offline".
	State    string `json:"state"`
	Epoch    string `json:"epoch"`
	ClientID string `json:"client_id"`
	// ExpiresAt is when `online` holds no longer; null while offline.
	ExpiresAt diagnose.Stamp `json:"expires_at"`
	TTL       int            `json:"ttl_s"`
}

// Run keeps the connection until ctx ends; then it sends what is left, says
// offline, and leaves.
func (p *Publisher) Run(ctx context.Context) error {
	p.link.run(ctx, p.serve)
	return nil
}
