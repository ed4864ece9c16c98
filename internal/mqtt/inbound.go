package mqtt

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"fieldmedic/internal/diagnose"
)

// InboundOptions are what the inbound connection needs; every field must be set
// but Requests and Now.
type InboundOptions struct {
	Server   Server
	ClientID string
	// Base and Gateway make the topic of requests.
	Base, Gateway string
	// Requests are the verbs that are allowed over MQTT.
	Requests []diagnose.Verb
	Sources  []*Source
	// Deliver hands a message to the loop without blocking; false: it is full.
	Deliver func(diagnose.Delivery) bool
	// Respond publishes the answer to a request; it must not block.
	Respond func(diagnose.Verb, diagnose.Response)
	// Dropped is told of each QoS 0 message that found the inbox full, by the
	// source's name.
	Dropped func(source string)
	// Received is told of each message from a source, by the source's name.
	Received func(source string)
	// Remembered are the filters that an earlier run subscribed to: the broker
	// kept them with the session, whatever the configuration says now.
	// Remember stores those of this run.
	Remembered []string
	Remember   func([]string) error
	// Now is the time that messages are received at. Nil: time.Now.
	Now func() time.Time
	Log *slog.Logger
}

// reading is what a message is read with; it is swapped as a whole.
type reading struct {
	decoder  *Decoder
	filters  []string
	requests []diagnose.Verb
}

// Inbound is the connection that messages come in by. Its session outlives
// connections, and a message is acknowledged only when the loop says so.
type Inbound struct {
	opts    InboundOptions
	link    link
	reading atomic.Pointer[reading]
	// changed wakes the session when sources were swapped.
	changed chan struct{}
	request string // topic of requests up to the verb
	// patience is fullPatience, but for tests.
	patience time.Duration
}

// NewInbound returns a connection that is not open yet.
func NewInbound(opts InboundOptions) *Inbound {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	in := &Inbound{
		opts:     opts,
		changed:  make(chan struct{}, 1),
		request:  opts.Base + "/" + EscapeID(opts.Gateway) + "/request/",
		patience: fullPatience,
	}
	in.link = link{name: "inbound", log: opts.Log, pace: defaultPace(), profile: profile{
		server: opts.Server, clientID: opts.ClientID, manual: true, handler: in.handle,
		skipped: in.skipped,
	}}
	in.use(opts.Sources, opts.Requests)
	return in
}

// State tells how the connection stands.
func (in *Inbound) State() LinkStatus { return in.link.state() }

// Pause closes the connection, and makes no other until Resume: nothing can be
// kept now. What was not acknowledged the broker sends again then, and what is
// published meanwhile it keeps. The state is LinkPaused with the reason. It does
// not block.
func (in *Inbound) Pause(reason error) { in.link.hold(reason) }

// Resume ends a pause; without one it does nothing. It does not block.
func (in *Inbound) Resume() { in.link.letGo() }

// SetSources swaps the sources and the allowed verbs while the connection
// stands: filters that are gone are unsubscribed.
func (in *Inbound) SetSources(sources []*Source, requests []diagnose.Verb) {
	in.use(sources, requests)
	select {
	case in.changed <- struct{}{}:
	default:
	}
}

func (in *Inbound) use(sources []*Source, requests []diagnose.Verb) {
	r := &reading{decoder: NewDecoder(sources), requests: requests}
	for _, s := range sources {
		if !slices.Contains(r.filters, s.Filter()) {
			r.filters = append(r.filters, s.Filter())
		}
	}
	r.filters = append(r.filters, in.request+"+")
	in.reading.Store(r)
}

// Run keeps the connection until ctx ends.
func (in *Inbound) Run(ctx context.Context) error {
	remembered := in.opts.Remembered
	in.link.run(ctx, func(ctx context.Context, s *session) error {
		if !s.present && len(remembered) > 0 {
			in.opts.Log.Info("the broker kept no session: what was published meanwhile is lost", "client_id", in.opts.ClientID)
		}
		var standing []string // what this connection has subscribed to
		for {
			select {
			case <-in.changed: // what it tells is read below
			default:
			}
			filters := in.reading.Load().filters
			if err := in.subscribe(ctx, s, filters, standing, &remembered); err != nil {
				return err
			}
			standing = filters
			in.link.note(LinkConnected, nil)
			select {
			case <-ctx.Done():
				s.flushAcks()
				s.leave() // the session stays with the broker
				return nil
			case <-s.lost:
				return s.lostError()
			case <-in.changed:
			}
		}
	})
	return nil
}

// subscribe subscribes to what is configured and not standing yet, which on a
// new connection is everything, and lets go of what was configured once: a
// kept session would deliver it for ever. New filters are remembered before
// they are sent, so that none can be forgotten.
func (in *Inbound) subscribe(ctx context.Context, s *session, filters, standing []string, remembered *[]string) error {
	gone := without(*remembered, filters)
	union := slices.Concat(filters, gone)
	if len(without(filters, *remembered)) > 0 { // else it is what is remembered
		if err := in.opts.Remember(union); err != nil {
			return fmt.Errorf("remember the subscriptions: %w", err)
		}
		*remembered = union
	}
	if err := s.subscribe(ctx, without(filters, standing)); err != nil {
		return err
	}
	if len(gone) == 0 {
		return nil
	}
	if err := s.unsubscribe(ctx, gone); err != nil {
		return err
	}
	if err := in.opts.Remember(filters); err != nil {
		return fmt.Errorf("remember the subscriptions: %w", err)
	}
	*remembered = filters
	return nil
}

// without is what of list is not in other.
func without(list, other []string) []string {
	var rest []string
	for _, x := range list {
		if !slices.Contains(other, x) {
			rest = append(rest, x)
		}
	}
	return rest
}

// handle takes one message. It runs on the client library's goroutine and
// waits for nothing but room in the inbox, see deliver.
func (in *Inbound) handle(s *session, m paho.Message) {
	r := in.reading.Load()
	if s.isLost() || s.closing.Load() && m.Qos() > 0 {
		in.miss(r, m) // not acknowledged: it comes again, in order
		return
	}
	if verb, ok := strings.CutPrefix(m.Topic(), in.request); ok {
		in.ask(s, r, diagnose.Verb(verb), m)
		return
	}
	var d diagnose.Delivery
	o, refused := r.decoder.Decode(m.Topic(), m.Payload(), m.Retained(), in.opts.Now())
	source := o.Source
	if refused != nil {
		d.Refused, source = refused, refused.Source
	} else {
		d.Observation = &o
	}
	in.opts.Received(source)
	in.deliver(s, r, m, d)
}

const (
	// fullPatience is how long a message may wait for room in the inbox: far
	// below the time in which the broker must answer a ping.
	fullPatience = 5 * time.Second
	fullPoll     = time.Millisecond
)

// deliver hands a message over. Where the inbox is full, a QoS 0 message is
// dropped and counted; any other waits for room, and with it the connection:
// that slows the broker down. A broker's window of unacknowledged messages
// alone does not: Mosquitto 2.0.11 was seen with 2,189 of them at
// max_inflight_messages 20, once acknowledgements came in. When there is no
// room for long, the connection is given up, and the broker sends again.
func (in *Inbound) deliver(s *session, r *reading, m paho.Message, d diagnose.Delivery) {
	d.Ack, d.Droppable = s.acknowledgement(m), m.Qos() == 0
	for start := time.Now(); !in.opts.Deliver(d); time.Sleep(fullPoll) {
		switch {
		case m.Qos() == 0:
			in.miss(r, m)
			return
		case time.Since(start) > in.patience:
			s.end(errOverrun)
			return
		case s.isLost():
			return
		}
	}
}

// miss counts a message that is not taken and does not come again.
func (in *Inbound) miss(r *reading, m paho.Message) {
	if m.Qos() > 0 {
		return
	}
	name := ""
	if source, _ := r.decoder.find(m.Topic()); source != nil {
		name = source.Name
	}
	in.opts.Dropped(name)
}
