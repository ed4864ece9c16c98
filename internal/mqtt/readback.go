package mqtt

import (
	"bytes"
	"context"
	"hash/maphash"
	"strings"
	"sync"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/google/uuid"
)

const (
	// readBackTimeout is how long the broker may send nothing of what it
	// retains before it is taken to be all.
	readBackTimeout = 3 * time.Second
	// maxRetracted bounds the bytes kept of what is retained, so that a broker
	// full of strangers' topics cannot fill the memory; of the rest only the
	// names are kept.
	maxRetracted = 4 << 20
)

// readBack gathers what the broker retains of us.
type readBack struct {
	mu sync.Mutex
	// session that reads; messages of an earlier one are of no interest.
	session *session
	found   *retained
	// nonce is the message that ends the reading: the broker sends what it
	// retains before what comes later.
	nonce string
	done  chan struct{}
	// taken counts messages, to tell a slow broker from one that is done.
	taken int
}

// retained is what stands at the broker: hashes are enough to tell a
// difference, and the texts of 10,000 devices need not be held.
type retained struct {
	seed   maphash.Seed
	hashes map[string]uint64
	state  []byte
	mark   []byte
	// bodies of the first topics, for those that are to be retracted.
	bodies map[string][]byte
	bytes  int
	// complete: our own message came back behind all this.
	complete bool
}

func (r *retained) same(topic string, body []byte) bool {
	h, ok := r.hashes[topic]
	return ok && h == maphash.Bytes(r.seed, body)
}

func (b *readBack) take(s *session, m paho.Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.session != s {
		return
	}
	b.taken++
	switch {
	case !m.Retained():
		if b.done != nil && string(m.Payload()) == b.nonce {
			close(b.done)
			b.done = nil
		}
	case strings.HasSuffix(m.Topic(), "/state"):
		b.found.state = bytes.Clone(m.Payload())
	case strings.HasSuffix(m.Topic(), "/self/watermark"):
		b.found.mark = bytes.Clone(m.Payload())
	default:
		b.found.hashes[m.Topic()] = maphash.Bytes(b.found.seed, m.Payload())
		if b.found.bytes += len(m.Payload()); b.found.bytes <= maxRetracted {
			b.found.bodies[m.Topic()] = bytes.Clone(m.Payload())
		}
	}
}

// takeTooLarge notes a retained topic of ours that holds what is not ours.
func (b *readBack) takeTooLarge(t tooLarge) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.session != nil && t.retained {
		b.found.hashes[t.topic] = 0
	}
}

func (b *readBack) start(s *session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.session = s
	b.found = &retained{seed: maphash.MakeSeed(), hashes: map[string]uint64{}, bodies: map[string][]byte{}}
}

func (b *readBack) finish() *retained {
	b.mu.Lock()
	defer b.mu.Unlock()
	found := b.found
	b.session, b.found, b.done = nil, nil, nil
	return found
}

// expect makes the message that ends the reading.
func (b *readBack) expect() (string, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.nonce, b.done = uuid.NewString(), make(chan struct{})
	return b.nonce, b.done
}

func (b *readBack) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.taken
}

// read asks the broker for what it retains under our topics: first for what
// tells whether they are ours, then for the devices', which may be many. It
// stays subscribed to `state`, to see another agent come up.
func (f *outflow) read(ctx context.Context) (*retained, error) {
	f.back.start(f.s)
	defer f.back.finish()
	loopback, devices := f.root+"self/loopback", f.root+"device/+"
	own := []string{f.root + "info", f.root + "site", f.root + "self/watermark", loopback}
	if err := f.s.subscribe(ctx, append([]string{f.root + "state"}, own...), qos); err != nil {
		return nil, err
	}
	if _, err := f.fence(ctx, loopback); err != nil {
		return nil, err
	}
	// At QoS 1 a broker queues what it retains, and its queue is short.
	if err := f.s.subscribe(ctx, []string{devices}, 0); err != nil {
		return nil, err
	}
	complete, err := f.fence(ctx, loopback)
	if err != nil {
		return nil, err
	}
	found := f.back.finish()
	found.complete = complete
	return found, f.s.unsubscribe(ctx, append(own, devices))
}

// fence publishes a message to ourselves and waits until it comes back, behind
// everything that the broker had for us before. A broker that drops it is
// waited for until it sends nothing more.
func (f *outflow) fence(ctx context.Context, topic string) (bool, error) {
	nonce, done := f.back.expect()
	if err := f.s.publish(ctx, message{topic: topic, payload: []byte(nonce)}); err != nil {
		return false, err
	}
	for before := f.back.count(); ; {
		timer := time.NewTimer(f.readBackTimeout)
		select {
		case <-done:
			timer.Stop()
			return true, nil
		case <-timer.C:
			now := f.back.count()
			if now == before {
				return false, nil
			}
			before = now
		case <-f.s.lost:
			timer.Stop()
			return false, f.s.lostError()
		case <-ctx.Done():
			timer.Stop()
			return false, ctx.Err()
		}
	}
}
