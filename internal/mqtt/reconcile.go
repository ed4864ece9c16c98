package mqtt

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"sort"
	"strings"
	"sync"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/google/uuid"

	"fieldmedic/internal/diagnose"
)

const (
	// readBackTimeout bounds how long retained topics are waited for.
	readBackTimeout = 5 * time.Second
	// maxRetracted bounds the bytes kept of topics whose device is gone, so
	// that a broker full of strangers' topics cannot fill the memory; of the
	// rest only the names are kept.
	maxRetracted = 4 << 20
)

// readBack gathers what the broker retains of us.
type readBack struct {
	mu    sync.Mutex
	found *retained
	// nonce is the message that ends the reading: the broker sends what it
	// retains before what comes later.
	nonce string
	done  chan struct{}
}

// retained is what stands at the broker: hashes are enough to tell a
// difference, and the texts of 10,000 devices need not be held.
type retained struct {
	seed   maphash.Seed
	hashes map[string]uint64
	state  []byte
	// known tells which device topics are ours still; bodies are kept of the
	// others, to be retracted.
	bodies map[string][]byte
	bytes  int
}

func (r *retained) same(topic string, body []byte) bool {
	h, ok := r.hashes[topic]
	return ok && h == maphash.Bytes(r.seed, body)
}

// take is the publishing connection's handler.
func (b *readBack) take(m paho.Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.found == nil {
		return
	}
	switch {
	case !m.Retained():
		if b.done != nil && string(m.Payload()) == b.nonce {
			close(b.done)
			b.done = nil
		}
	case strings.HasSuffix(m.Topic(), "/state"):
		b.found.state = bytes.Clone(m.Payload())
	default:
		b.found.hashes[m.Topic()] = maphash.Bytes(b.found.seed, m.Payload())
		if b.found.bytes += len(m.Payload()); b.found.bytes <= maxRetracted {
			b.found.bodies[m.Topic()] = bytes.Clone(m.Payload())
		}
	}
}

func (b *readBack) start() (string, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.found = &retained{seed: maphash.MakeSeed(), hashes: map[string]uint64{}, bodies: map[string][]byte{}}
	b.nonce, b.done = uuid.NewString(), make(chan struct{})
	return b.nonce, b.done
}

func (b *readBack) finish() *retained {
	b.mu.Lock()
	defer b.mu.Unlock()
	found := b.found
	b.found, b.done = nil, nil
	return found
}

// read asks the broker for what it retains under our topics.
func (p *Publisher) read(ctx context.Context, s *session) (*retained, error) {
	nonce, done := p.back.start()
	defer p.back.finish()
	loopback := p.root + "self/loopback"
	filters := []string{p.root + "state", p.root + "info", p.root + "site", p.root + "device/+", loopback}
	if err := s.subscribe(ctx, filters); err != nil {
		return nil, err
	}
	if err := s.await(ctx, s.client.Publish(loopback, qos, false, nonce), pubackTimeout); err != nil {
		return nil, fmt.Errorf("publish the loop-back message: %w", err)
	}
	timer := time.NewTimer(readBackTimeout)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		p.opts.Log.Warn("the broker does not send our own message back (check its access list)", "topic", loopback)
	case <-s.lost:
		return nil, s.lostError()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	found := p.back.finish()
	if err := s.unsubscribe(ctx, filters); err != nil {
		return nil, err
	}
	return found, nil
}

// reconcile makes the retained topics what the store says: what is missing or
// differs is published, what is nobody's is retracted, and the rest is left
// alone. Nothing is overwritten while another agent is online under our id.
func (p *Publisher) reconcile(ctx context.Context, s *session) error {
	found, err := p.read(ctx, s)
	if err != nil {
		return err
	}
	if p.foreign(found.state) {
		return errConflict
	}
	w := newWindow(s)
	defer w.close()
	if err := w.send(ctx, message{p.root + "state", p.state(true), true}, nil); err != nil {
		return err
	}
	p.mu.Lock()
	p.infoSent = p.info != nil && found.same(p.root+"info", p.info)
	p.mu.Unlock()
	delete(found.hashes, p.root+"info")
	err = p.opts.Snapshots(ctx, func(snap diagnose.Snapshot) error {
		topic := p.topicOf(snap.Device)
		body, err := snap.Encode(p.opts.Gateway, p.opts.Words())
		if err != nil {
			return err
		}
		same := found.same(topic, body)
		delete(found.hashes, topic)
		if same {
			return nil
		}
		return w.send(ctx, message{topic, body, true}, nil)
	})
	if err != nil {
		return fmt.Errorf("compare the retained topics: %w", err)
	}
	if err := p.retract(ctx, w, found); err != nil {
		return err
	}
	return w.drain(ctx)
}

// foreign tells whether the retained state is that of another agent which is
// online now.
func (p *Publisher) foreign(body []byte) bool {
	var other StateJSON
	if len(body) == 0 || json.Unmarshal(body, &other) != nil {
		return false
	}
	return other.State == "online" && other.ExpiresAt.After(time.Now()) &&
		other.Epoch != p.opts.Epoch && other.ClientID != p.opts.ClientID
}

// retract ends the topics of devices that are not known any more: they are
// first published as cleared, for consumers that only see states, then
// emptied.
func (p *Publisher) retract(ctx context.Context, w *window, found *retained) error {
	topics := make([]string, 0, len(found.hashes))
	for topic := range found.hashes {
		topics = append(topics, topic)
	}
	sort.Strings(topics)
	for _, topic := range topics {
		if body, ok := retracted(found.bodies[topic]); ok {
			if err := w.send(ctx, message{topic, body, true}, nil); err != nil {
				return err
			}
		}
		if err := w.send(ctx, message{topic, nil, true}, nil); err != nil {
			return err
		}
	}
	return nil
}

// retracted is a snapshot with everything in it cleared; false when the body
// is no snapshot.
func retracted(body []byte) ([]byte, bool) {
	var s diagnose.SnapshotJSON
	if json.Unmarshal(body, &s) != nil || s.Schema != diagnose.Schema {
		return nil, false
	}
	now := diagnose.Stamp{Time: time.Now()}
	s.Health, s.Action, s.UpdatedAt = diagnose.HealthOK, diagnose.ActNone, now
	for i := range s.Diagnoses {
		d := &s.Diagnoses[i].Diagnosis
		if d.Open() {
			d.Status, d.ClearedAt, d.ClearedBy, d.Stale = diagnose.Cleared, now, diagnose.ByRetired, false
		}
	}
	out, err := json.Marshal(s)
	return out, err == nil
}
