package mqtt

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"fieldmedic/internal/diagnose"
)

const (
	// stateTTL is how long a retained `online` holds, and stateEvery how often
	// it is renewed (contract section 4).
	stateTTL   = 180 * time.Second
	stateEvery = 60 * time.Second
	// farewell bounds how long a clean stop waits for what is still to be
	// published.
	farewell = 3 * time.Second
	// eventsAtOnce are read from the outbox at a time, and snapshotsAtOnce sent
	// before events are looked for again.
	eventsAtOnce    = 64
	snapshotsAtOnce = 64
	// maxResponses may wait for the connection; more are dropped, for their
	// askers gave up long ago.
	maxResponses = 1000
)

// Outbox is the log of events above the publish cursor.
type Outbox interface {
	// After returns up to limit entries above seq, in order.
	After(ctx context.Context, seq int64, limit int) ([]diagnose.LogEntry, error)
	// Cursor is the sequence number up to which every event was published.
	Cursor() int64
	// Published moves the cursor.
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
	// Published is told of each event that the broker acknowledged.
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

	mu sync.Mutex
	// connected: snapshots are worth keeping, for somebody sends them; while
	// there is no connection they are not, for the store is read at the next.
	connected bool
	queue     []*outgoing
	latest    map[diagnose.DeviceID]*outgoing
	responses []message
	info      []byte
	infoSent  bool
	conflict  time.Time // when the other agent's state runs out; zero: none

	back readBack
}

// outgoing is a snapshot that waits, or a topic to be emptied.
type outgoing struct {
	snapshot diagnose.Snapshot
	empty    bool
}

type message struct {
	topic    string
	payload  []byte
	retained bool
}

// NewPublisher returns a connection that is not open yet.
func NewPublisher(opts PublisherOptions) *Publisher {
	p := &Publisher{
		opts:   opts,
		root:   opts.Base + "/" + EscapeID(opts.Gateway) + "/",
		wake:   make(chan struct{}, 1),
		latest: make(map[diagnose.DeviceID]*outgoing),
	}
	p.link = link{name: "publishing", log: opts.Log, profile: profile{
		server: opts.Server, clientID: opts.ClientID + "-out", clean: true,
		handler: func(_ *session, m paho.Message) { p.back.take(m) },
		skipped: func(tooLarge) {}, // a retained topic of ours that is not ours
		will:    &will{topic: p.root + "state", payload: p.state(false)},
	}}
	return p
}

// State tells how the connection stands.
func (p *Publisher) State() LinkStatus { return p.link.state() }

// Publish takes over what the loop made durable. It does not block.
func (p *Publisher) Publish(pub diagnose.Publication) {
	p.mu.Lock()
	if p.connected {
		for i := range pub.Snapshots {
			p.enqueue(pub.Snapshots[i])
		}
		for _, id := range pub.Removed {
			p.queue = append(p.queue, &outgoing{snapshot: diagnose.Snapshot{Device: diagnose.DeviceID(id)}, empty: true})
			delete(p.latest, diagnose.DeviceID(id)) // what comes now is another device's
		}
	}
	p.mu.Unlock()
	p.nudge()
}

// enqueue lets a snapshot take the place of an older one that still waits.
func (p *Publisher) enqueue(s diagnose.Snapshot) {
	if waiting := p.latest[s.Device]; waiting != nil {
		waiting.snapshot = s
		return
	}
	o := &outgoing{snapshot: s}
	p.latest[s.Device] = o
	p.queue = append(p.queue, o)
}

// Respond publishes the answer to a request. It does not block.
func (p *Publisher) Respond(verb diagnose.Verb, r diagnose.Response) {
	body, err := json.Marshal(r)
	if err != nil {
		p.opts.Log.Error("encode a response", "verb", verb, "err", err)
		return
	}
	p.mu.Lock()
	if len(p.responses) < maxResponses {
		p.responses = append(p.responses, message{topic: p.root + "response/" + EscapeID(string(verb)), payload: body})
	}
	p.mu.Unlock()
	p.nudge()
}

// SetInfo gives the retained topic `info` its content. It does not block.
func (p *Publisher) SetInfo(info any) error {
	body, err := json.Marshal(info)
	if err != nil {
		return fmt.Errorf("encode info: %w", err)
	}
	p.mu.Lock()
	p.info, p.infoSent = body, false
	p.mu.Unlock()
	p.nudge()
	return nil
}

func (p *Publisher) nudge() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
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

// serve publishes on one session until it is lost.
func (p *Publisher) serve(ctx context.Context, s *session) error {
	p.accept(true)
	defer p.accept(false)
	if err := p.reconcile(ctx, s); err != nil {
		return err
	}
	p.link.note(LinkConnected, nil)
	w := newWindow(s)
	defer w.close()
	sent := p.opts.Outbox.Cursor()
	heartbeat := time.NewTicker(stateEvery)
	defer heartbeat.Stop()
	for {
		more, err := p.round(ctx, w, &sent)
		if err != nil && ctx.Err() == nil {
			return err
		}
		if more && ctx.Err() == nil {
			select {
			case <-heartbeat.C:
				err = w.send(ctx, message{p.root + "state", p.state(true), true}, nil)
			default:
			}
		} else {
			select {
			case <-ctx.Done():
				return p.leave(ctx, s, w, sent)
			case <-s.lost:
			case <-w.failed:
			case <-p.wake:
			case <-heartbeat.C:
				err = w.send(ctx, message{p.root + "state", p.state(true), true}, nil)
			}
		}
		if err == nil {
			err = w.err()
		}
		if err != nil {
			return err
		}
	}
}

// accept starts and stops keeping snapshots for the present session.
func (p *Publisher) accept(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.connected = on
	p.queue = nil
	clear(p.latest)
	p.infoSent = false
}

// round sends some of everything that waits, and tells whether there may be
// more.
func (p *Publisher) round(ctx context.Context, w *window, sent *int64) (bool, error) {
	if err := p.sendSmall(ctx, w); err != nil {
		return false, err
	}
	moreEvents, err := p.sendEvents(ctx, w, sent)
	if err != nil {
		return false, err
	}
	moreSnapshots, err := p.sendSnapshots(ctx, w)
	return moreEvents || moreSnapshots, err
}

// sendSmall sends responses, and info where it changed.
func (p *Publisher) sendSmall(ctx context.Context, w *window) error {
	p.mu.Lock()
	out := p.responses
	p.responses = nil
	if p.info != nil && !p.infoSent {
		p.infoSent = true
		out = append(out, message{p.root + "info", p.info, true})
	}
	p.mu.Unlock()
	for _, m := range out {
		if err := w.send(ctx, m, nil); err != nil {
			return err
		}
	}
	return nil
}

// sendEvents sends what the log holds above sent.
func (p *Publisher) sendEvents(ctx context.Context, w *window, sent *int64) (bool, error) {
	entries, err := p.opts.Outbox.After(ctx, *sent, eventsAtOnce)
	if err != nil {
		return false, fmt.Errorf("read the outbox: %w", err)
	}
	for _, e := range entries {
		m := message{topic: p.root + "event", payload: e.Body}
		if err := w.send(ctx, m, func() { p.published(e) }); err != nil {
			return false, err
		}
		*sent = e.Seq
	}
	return len(entries) == eventsAtOnce, nil
}

func (p *Publisher) published(e diagnose.LogEntry) {
	p.opts.Outbox.Published(e.Seq)
	p.opts.Published(e)
}

// sendSnapshots sends the oldest of the waiting snapshots.
func (p *Publisher) sendSnapshots(ctx context.Context, w *window) (bool, error) {
	for _, o := range p.dequeue(snapshotsAtOnce) {
		m := message{topic: p.topicOf(o.snapshot.Device), retained: true}
		if !o.empty {
			body, err := o.snapshot.Encode(p.opts.Gateway, p.opts.Words())
			if err != nil {
				return false, err
			}
			m.payload = body
		}
		if err := w.send(ctx, m, nil); err != nil {
			return false, err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.queue) > 0, nil
}

func (p *Publisher) dequeue(n int) []*outgoing {
	p.mu.Lock()
	defer p.mu.Unlock()
	n = min(n, len(p.queue))
	taken := p.queue[:n:n]
	if p.queue = p.queue[n:]; len(p.queue) == 0 {
		p.queue = nil // let go of the array
	}
	for _, o := range taken {
		if p.latest[o.snapshot.Device] == o {
			delete(p.latest, o.snapshot.Device)
		}
	}
	return taken
}

// topicOf is the retained topic of a device, or of the site for the empty id.
func (p *Publisher) topicOf(id diagnose.DeviceID) string {
	if id == "" {
		return p.root + "site"
	}
	return p.root + "device/" + EscapeID(string(id))
}

// leave sends what is left, says offline, and closes in order, so that the
// will is not published.
func (p *Publisher) leave(ctx context.Context, s *session, w *window, sent int64) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	for more := true; more; {
		var err error
		if more, err = p.round(ctx, w, &sent); err != nil {
			return err
		}
	}
	if err := w.send(ctx, message{p.root + "state", p.state(false), true}, nil); err != nil {
		return err
	}
	err := w.drain(ctx)
	s.client.Disconnect(250)
	return err
}
