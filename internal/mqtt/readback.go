package mqtt

import (
	"bytes"
	"context"
	"hash/maphash"
	"slices"
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
	// fenceEvery is how often the message that ends the reading is sent: a
	// broker whose queue is full drops it.
	fenceEvery = 250 * time.Millisecond
	// maxBodies bounds the bytes kept of what is retained, so that a broker full
	// of strangers' topics cannot fill the memory; of the rest only the names
	// are kept.
	maxBodies = 4 << 20
)

// readBack gathers what the broker retains of us. Hashes are enough to tell a
// difference, and the texts of 10,000 devices need not be held.
type readBack struct {
	seed maphash.Seed

	mu sync.Mutex
	// session that reads; messages of an earlier one are of no interest.
	session *session
	hashes  map[string]uint64
	// plain are the topics whose bodies are read and not compared.
	plain map[string][]byte
	// bodies of the first topics, for those that are to be retracted.
	bodies map[string][]byte
	bytes  int
	// nonce is the message that ends the reading: the broker sends what it
	// retains before what comes later.
	nonce string
	done  chan struct{}
	last  time.Time // when the last message came
}

// start begins to gather for a session, and finish ends it. The topics plain
// are kept as they are.
func (b *readBack) start(s *session, plain ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.session, b.bytes = s, 0
	b.hashes, b.bodies, b.plain = map[string]uint64{}, map[string][]byte{}, map[string][]byte{}
	for _, topic := range plain {
		b.plain[topic] = nil
	}
}

func (b *readBack) finish() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.session, b.hashes, b.bodies, b.plain, b.done = nil, nil, nil, nil, nil
}

func (b *readBack) take(s *session, m paho.Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.session != s {
		return
	}
	b.last = time.Now()
	_, plain := b.plain[m.Topic()]
	switch {
	case !m.Retained():
		if b.done != nil && string(m.Payload()) == b.nonce {
			close(b.done)
			b.done = nil
		}
	case plain:
		b.plain[m.Topic()] = bytes.Clone(m.Payload())
	default:
		b.hashes[m.Topic()] = maphash.Bytes(b.seed, m.Payload())
		if b.bytes += len(m.Payload()); b.bytes <= maxBodies {
			b.bodies[m.Topic()] = bytes.Clone(m.Payload())
		}
	}
}

// takeTooLarge notes a retained topic of ours that holds what is not ours.
func (b *readBack) takeTooLarge(t tooLarge) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.session != nil && t.retained {
		b.last = time.Now()
		b.hashes[t.topic] = 0
	}
}

// settle tells whether a topic was found, and with this body. After it the
// topic is somebody's.
func (b *readBack) settle(topic string, body []byte) (found, same bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	hash, found := b.hashes[topic]
	delete(b.hashes, topic)
	delete(b.bodies, topic)
	return found, found && hash == maphash.Bytes(b.seed, body)
}

// stray is a retained topic that is nobody's.
type stray struct {
	topic string
	body  []byte // nil when it was too much to keep
}

// strays takes out what was not settled, by topic.
func (b *readBack) strays() []stray {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]stray, 0, len(b.hashes))
	for topic := range b.hashes {
		list = append(list, stray{topic, b.bodies[topic]})
	}
	clear(b.hashes)
	clear(b.bodies)
	b.bytes = 0
	slices.SortFunc(list, func(x, y stray) int { return strings.Compare(x.topic, y.topic) })
	return list
}

// count is how many topics were found and are not settled.
func (b *readBack) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.hashes)
}

// read is what is retained on one of the plain topics; nil: nothing.
func (b *readBack) read(topic string) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.plain[topic]
}

// kept are the topics below a prefix that were found and not settled, with
// their bodies, and bare those whose bodies were too much to keep.
func (b *readBack) kept(prefix string) (kept []stray, bare []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for topic := range b.hashes {
		body, ok := b.bodies[topic]
		switch {
		case !strings.HasPrefix(topic, prefix):
		case ok:
			kept = append(kept, stray{topic, body})
		default:
			bare = append(bare, topic)
		}
	}
	byTopic := func(x, y stray) int { return strings.Compare(x.topic, y.topic) }
	slices.SortFunc(kept, byTopic)
	slices.Sort(bare)
	return kept, bare
}

// letGo makes room for more bodies: those held are not needed any more.
func (b *readBack) letGo() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.bodies)
	b.bytes = 0
}

// expect makes the message that ends the reading.
func (b *readBack) expect() (string, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.nonce, b.done, b.last = uuid.NewString(), make(chan struct{}), time.Now()
	return b.nonce, b.done
}

func (b *readBack) quietSince() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last
}

// readTopics gathers what is retained on topics.
func (f *outflow) readTopics(ctx context.Context, topics []string) error {
	if err := f.s.subscribe(ctx, topics); err != nil {
		return err
	}
	if err := f.fence(ctx); err != nil {
		return err
	}
	return f.s.unsubscribe(ctx, topics)
}

func (f *outflow) loopback() string { return f.root + "self/loopback" }

// fence publishes a message to ourselves and waits until it comes back, behind
// everything that the broker had for us before. A broker that drops it is
// waited for until it sends nothing more.
func (f *outflow) fence(ctx context.Context) error {
	nonce, done := f.back.expect()
	again := time.NewTicker(fenceEvery)
	defer again.Stop()
	for time.Since(f.back.quietSince()) < f.readBackTimeout {
		if err := f.s.publish(ctx, message{topic: f.loopback(), payload: []byte(nonce)}); err != nil {
			return err
		}
		select {
		case <-done:
			return nil
		case <-again.C:
		case <-f.s.lost:
			return f.s.lostError()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	f.dropped = true
	return nil
}
