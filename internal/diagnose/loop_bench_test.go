package diagnose

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// bench is a loop on a journal in memory; it notes what happened, in order.
// Its times are those of the synctest bubble.
type bench struct {
	*Loop
	t       *testing.T
	engine  *Engine
	batches []Batch
	pubs    []Publication
	refused []RefusedInput
	turns   []Turn
	mu      sync.Mutex
	order   []string
	answers []Response
	slow    time.Duration
	fail    error
	stop    context.CancelFunc
	ended   chan error
}

// did notes an act; log tells what was done so far.
func (b *bench) did(act string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.order = append(b.order, act)
}

func (b *bench) log() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.order)
}

func (b *bench) Commit(ctx context.Context, batch *Batch) error {
	time.Sleep(b.slow)
	if b.fail != nil {
		return b.fail
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	b.batches = append(b.batches, *batch)
	b.did("commit")
	return nil
}

func (b *bench) Recover(context.Context) (Restored, error) {
	return Restored{}, errors.New("not asked for")
}

func startLoop(t *testing.T, b *bench) *bench {
	t.Helper()
	b.t, b.ended = t, make(chan error, 1)
	b.engine = NewEngine(Options{Gateway: "gw", Rules: newBook(), NewID: counter()})
	b.Loop = NewLoop(LoopOptions{
		Engine: b.engine, Journal: b, Words: plainWords{},
		Publish: func(p Publication) { b.pubs = append(b.pubs, p); b.did("publish") },
		Refused: func(r RefusedInput) { b.refused = append(b.refused, r) },
		Turned:  func(turn Turn) { b.turns = append(b.turns, turn) },
		EventID: func(seq int64) string { return fmt.Sprintf("event-%d", seq) },
		Epoch:   func() string { return "epoch" }, Seq: 40, Now: time.Now,
	})
	ctx, stop := context.WithCancel(t.Context())
	b.stop = stop
	go func() { b.ended <- b.Run(ctx) }()
	synctest.Wait()
	return b
}

func (b *bench) end() {
	b.t.Helper()
	b.stop()
	if err := <-b.ended; err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) send(name string, o Observation) {
	b.t.Helper()
	o.At = time.Now()
	if !b.Deliver(Delivery{Observation: &o, Ack: func() { b.did("ack " + name) }}) {
		b.t.Fatalf("the inbox is full at %s", name)
	}
}
