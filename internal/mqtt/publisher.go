package mqtt

import (
	"context"
	"encoding/json"
	"hash/maphash"
	"log/slog"
	"slices"
	"sync/atomic"
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
	// After returns up to limit entries above seq, in order; fewer do not mean
	// that there are no more.
	After(ctx context.Context, seq int64, limit int) ([]diagnose.LogEntry, error)
	// Seq is the highest sequence number that is durable.
	Seq() int64
	// Cursor is the sequence number up to which every event was published.
	Cursor() int64
	// Published moves the cursor. It is called with growing numbers.
	Published(seq int64)
}

// PublisherOptions are what the publishing connection needs; every field must
// be set but those that say otherwise.
type PublisherOptions struct {
	Server Server
	// ClientID of the agent; the connection's own has "-out" behind it.
	ClientID      string
	Base, Gateway string
	// Epoch is the store's uuid. A store that had to begin anew has another one
	// from then on, and its events are numbered anew.
	Epoch  func() string
	Outbox Outbox
	// Snapshots calls f with what is to be shown now: the site, and each device.
	Snapshots func(ctx context.Context, f func(diagnose.Snapshot) error) error
	// Snapshot is what is to be shown now of one device, or of the site ("");
	// false: it is not known. Nil: all snapshots that wait are kept in memory.
	Snapshot func(ctx context.Context, id string) (diagnose.Snapshot, bool, error)
	// Words are asked for at each encoding, for a reload swaps them.
	Words func() diagnose.Words
	// Published is told of each event that the broker acknowledged for the
	// first time.
	Published func(diagnose.LogEntry)
	// SetAside puts a `dropped` event in the place of the event seq, which the
	// broker does not take. Nil: such an event is passed over.
	SetAside func(ctx context.Context, seq int64) error
	// Ahead is told that the broker has seen the event seq of our epoch, while
	// the store does not know it: the store was set back. After it Epoch is
	// another. Nil: the numbers are given a second time.
	Ahead func(ctx context.Context, seq int64) error
	// Adopt is offered what the broker retains of each device, before it is
	// compared at a connect: a store that was damaged may have lost it. It tells
	// whether it looked at it. Nil: nobody wants it.
	Adopt func(ctx context.Context, device string, body []byte) bool
	// Former are the roots that topics of ours lay under in earlier runs, as
	// "base/gateway/": what is left there and is ours is retracted once. Cleaned
	// is told of each that is done with; nil where there is nobody to tell.
	Former  []string
	Cleaned func(root string)
	Log     *slog.Logger
}

// Publisher is the connection that diagnostics go out by. It holds the will,
// keeps the retained topics true, and sends every event of the log in order.
type Publisher struct {
	opts PublisherOptions
	link link
	root string // base and gateway, with a slash behind
	wake chan struct{}
	// The constants of the same names, but for tests.
	stateEvery, markEvery, readBackTimeout, testEvery, echoWait, settleTime time.Duration

	waiting waiting
	back    readBack
	echoes  echoes
	faults  atomic.Pointer[[]string]
	past    past
	poison  poison
	again   again
	// former are the roots that are not cleaned yet.
	former []string
	// storeFails: it was told that the store does.
	storeFails bool
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
		testEvery: testEvery, echoWait: echoWait, settleTime: settleTime,
		back:    readBack{seed: maphash.MakeSeed()},
		waiting: waiting{latest: make(map[diagnose.DeviceID]*outgoing)},
		poison:  poison{seed: maphash.MakeSeed(), barred: make(map[string]bar)},
		former:  slices.Clone(opts.Former),
	}
	p.waiting.byID = opts.Snapshot != nil
	p.faults.Store(&[]string{})
	p.link = link{name: "publishing", log: opts.Log, pace: defaultPace(), profile: profile{
		server: opts.Server, clientID: opts.ClientID + outSuffix, clean: true,
		handler: p.take, skipped: p.back.takeTooLarge,
		will: &will{topic: p.root + "state"},
	}}
	return p
}

// State tells how the connection stands.
func (p *Publisher) State() LinkStatus { return p.link.state() }

// SetFaults gives the topic `state` the names of the faults that the agent has
// itself; where they changed it is published at once. It does not block.
func (p *Publisher) SetFaults(names []string) {
	list := append([]string{}, names...) // an array, not null, where there is none
	p.faults.Store(&list)
	p.nudge()
}

// take is the connection's handler: what we published and hear again, our own
// retained topics, read back, and the state of another agent that comes up
// beside us.
func (p *Publisher) take(s *session, m paho.Message) {
	if !m.Retained() {
		if p.echoes.take(s, m.Topic(), m.Payload()) {
			p.nudge()
		}
		if m.Topic() == p.root+"state" {
			if p.foreign(m.Payload()) {
				p.waiting.usurp(s)
				p.nudge()
			}
			return
		}
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
		other.Epoch != p.opts.Epoch() && other.ClientID != p.opts.ClientID
}

// state is the payload of the topic `state`.
func (p *Publisher) state(online bool) []byte {
	s := StateJSON{
		State: "offline", Epoch: p.opts.Epoch(), ClientID: p.opts.ClientID, TTL: int(stateTTL / time.Second), Faults: *p.faults.Load(),
	}
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
	// Faults names what is wrong with the agent itself, as "storage-full"; empty
	// when nothing is (added).
	Faults []string `json:"faults"`
}

// Run keeps the connection until ctx ends; then it sends what is left, says
// offline, and leaves.
func (p *Publisher) Run(ctx context.Context) error {
	p.link.profile.will.payload = p.state(false)
	p.link.run(ctx, p.serve)
	return nil
}
