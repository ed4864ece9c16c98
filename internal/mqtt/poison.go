package mqtt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"math"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"fieldmedic/internal/diagnose"
)

const (
	// earlyLoss is how soon after a connect a loss is early.
	earlyLoss = 10 * time.Second
	// poisonLosses is how many of them in a row make what was under way suspect.
	// Which message it is cannot be told from that: a connection that is reset
	// takes acknowledgements with it. So one message at a time is sent then, and
	// the one that so many connections in a row are lost on is it.
	poisonLosses = 3
	// carefulFor is how many messages are sent one at a time.
	carefulFor = 4 * windowSize
	// barredFor is how long a snapshot is not sent that the broker closes the
	// connection on.
	barredFor = time.Hour
	// manyBarred snapshots are not barred for what is in them.
	manyBarred = 3
	// shutFor is how long no event is tried at a broker that takes none.
	shutFor = time.Minute
)

// suspect names a message that a broker may close the connection on, as one
// does that takes no packets of its size. The zero value is none.
type suspect struct {
	topic string
	// seq of an event, or 0.
	seq int64
	// Of a snapshot: what it is known again by.
	retained bool
	size     int
	hash     uint64
	// substitute stands in the place of the event seq.
	substitute bool
}

// underWay are the messages that wait for their acknowledgement, oldest first.
type underWay struct {
	mu  sync.Mutex
	who []suspect
}

func (u *underWay) add(who suspect) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.who = append(u.who, who)
}

// arrived takes out the oldest, which was acknowledged.
func (u *underWay) arrived() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.who = u.who[1:]
}

// oldest is the first that was not acknowledged, or none.
func (u *underWay) oldest() suspect {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.who) == 0 {
		return suspect{}
	}
	return u.who[0]
}

// poison finds the message that the broker closes every connection on. All of
// it belongs to the goroutine that serves.
type poison struct {
	seed maphash.Seed
	// losses are the early ones in a row, with something under way.
	losses int
	// careful is how many messages are still to be sent one at a time; last was
	// under way alone when the connection was lost, so many times in a row.
	careful int
	last    suspect
	strikes int
	// event is lost by itself: a `dropped` event is sent in its place. owed is
	// one that was, and that the store does not know of yet. 0: none.
	event, owed int64
	// shut is until when no event is sent at all, for the broker closes the
	// connection on any.
	shut time.Time
	// barred are the retained topics that are not sent.
	barred map[string]bar
}

// bar is why a snapshot is not sent.
type bar struct {
	hash  uint64
	size  int
	until time.Time
	// again: a changed one was tried and refused as well, so a change does not
	// lift it.
	again bool
}

func (p *poison) hash(body []byte) uint64 { return maphash.Bytes(p.seed, body) }

// alone tells that the next message is to be sent with nothing else under way.
// A connection that has held for a while needs no such care.
func (p *poison) alone(began time.Time) bool {
	if p.careful--; p.careful <= 0 || time.Since(began) > earlyLoss {
		p.careful = 0
	}
	return p.careful > 0
}

// acquit says that a message got through.
func (p *poison) acquit(who suspect) {
	delete(p.barred, who.topic)
	if who == p.last {
		p.calm()
	}
}

// calm ends all suspicion.
func (p *poison) calm() { p.losses, p.careful, p.last, p.strikes = 0, 0, suspect{}, 0 }

// forget drops what was suspected of events of another epoch.
func (p *poison) forget() {
	p.calm()
	p.event, p.owed, p.shut = 0, 0, time.Time{}
}

// lost takes in how a connection ended. One that the broker did not close
// speaks against no message, and one that held for all messages under way.
func (p *poison) lost(f *outflow) {
	who := f.underWay.oldest()
	early := time.Since(f.began) < earlyLoss || !f.heard.Load()
	switch {
	case who == (suspect{}) || !early:
		p.calm()
	case !f.s.isLost() || !closedByPeer(f.s.cause): // says nothing
	case who.substitute: // it is not the event: the broker takes none
		p.calm()
		p.event, p.shut = 0, time.Now().Add(shutFor)
		f.opts.Log.Error("no event is sent for a while: the broker closes the connection on each", "topic", who.topic, "wait", shutFor)
	case p.careful == 0:
		if p.losses++; p.losses == poisonLosses {
			p.careful = carefulFor
		}
	default:
		p.careful = carefulFor
		if who != p.last {
			p.last, p.strikes = who, 0
		}
		if p.strikes++; p.strikes == poisonLosses {
			p.calm()
			p.condemn(f, who)
		}
	}
}

// condemn is for a message that the connection was lost on when nothing else
// was under way.
func (p *poison) condemn(f *outflow, who suspect) {
	switch {
	case who.seq > 0:
		p.event = who.seq
	case who.retained:
		_, again := p.barred[who.topic]
		p.barred[who.topic] = bar{who.hash, who.size, time.Now().Add(barredFor), again}
		f.opts.Log.Error("a snapshot is not published for an hour, or until it changes: the broker closes the connection on it",
			"topic", who.topic, "bytes", who.size)
	case strings.HasPrefix(who.topic, f.root+"response/"):
		f.waiting.responded()
		f.opts.Log.Error("a response is dropped: the broker closes the connection on it", "topic", who.topic)
	}
}

// closedByPeer tells whether the other side ended the connection, and not we
// because it was silent: then that is the cause. A connection that is closed
// already was so by the library, which had read its end.
func closedByPeer(err error) bool {
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE, net.ErrClosed} {
		if errors.Is(err, end) {
			return true
		}
	}
	return false
}

// bars tells whether a snapshot is not to be sent now. Where several are
// barred it is their size that the broker does not take, and none as large is
// tried.
func (p *poison) bars(m message) bool {
	smallest := math.MaxInt
	for topic, b := range p.barred {
		if time.Now().After(b.until) {
			delete(p.barred, topic)
			continue
		}
		smallest = min(smallest, b.size)
	}
	if len(p.barred) >= manyBarred && len(m.payload) >= smallest {
		return true
	}
	b, ok := p.barred[m.topic]
	return ok && len(m.payload) >= b.size && (b.again || p.hash(m.payload) == b.hash)
}

// substitute sends a `dropped` event in the place of one that the broker does
// not take. Only when it takes that is the event given up: where every event
// ends the connection, as with brokers that close it on what their access list
// forbids, it is not the event's fault.
func (f *outflow) substitute(ctx context.Context, e diagnose.LogEntry) error {
	body, err := json.Marshal(diagnose.Event{
		Schema: diagnose.Schema, EventID: e.EventID, Seq: e.Seq, Epoch: f.epoch, Type: diagnose.Dropped,
		At: diagnose.Stamp{Time: e.At}, FromSeq: e.Seq, ToSeq: e.Seq,
	})
	if err != nil {
		return fmt.Errorf("encode a dropped event: %w", err)
	}
	if err := f.w.drain(ctx); err != nil {
		return err
	}
	m := message{topic: f.root + "event", payload: body}
	epoch := f.epoch
	err = f.post(ctx, m, suspect{topic: m.topic, seq: e.Seq, substitute: true}, func() { f.published(e, epoch) })
	if err != nil {
		return err
	}
	if err := f.w.drain(ctx); err != nil {
		return err
	}
	f.opts.Log.Error("an event is given up: the broker closes the connection on it", "seq", e.Seq, "bytes", len(e.Body))
	f.poison.event, f.poison.owed = 0, e.Seq
	return nil
}

// setAside tells the store of an event that was given up; false: it could not
// take that in, and is told again.
func (f *outflow) setAside(ctx context.Context) bool {
	if f.opts.SetAside != nil {
		if err := f.opts.SetAside(ctx, f.poison.owed); err != nil {
			f.storeFailed("set an event aside", err)
			return false
		}
	}
	f.poison.owed = 0
	return true
}
