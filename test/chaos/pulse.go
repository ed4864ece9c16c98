package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// pulse is a few known devices that report now and then, to see whether they
// are served whatever else goes on: each report changes a diagnosis, and so
// must come back as an event.
type pulse struct {
	address string
	every   time.Duration

	mu   sync.Mutex
	open map[string]time.Time // by source_ts
	took []time.Duration
	n    int
}

const pulseDevices = 50

// pulseCodes share a condition: the one after the other is a change of it.
func pulseCodes() []string { return []string{"-1000", "-1012"} }

func newPulse(address string, every time.Duration) *pulse {
	return &pulse{address: address, every: every, open: map[string]time.Time{}}
}

// run sends until ctx ends.
func (p *pulse) run(ctx context.Context) {
	c, err := dial(p.address, "chaos-pulse", true)
	if err != nil {
		return // shows as no answers
	}
	defer func() { _ = c.conn.Close() }() // it is over
	first, acked := p.n, new(atomic.Int64)
	go func() {
		for {
			if _, err := readFrame(c.r); err != nil {
				return
			}
			acked.Add(1)
		}
	}()
	// To close with an answer under way would reset the connection, and the
	// broker might never read the last report.
	defer func() {
		for until := time.Now().Add(answerTime); int(acked.Load()) < p.n-first && time.Now().Before(until); {
			time.Sleep(laneFlush)
		}
	}()
	start := time.Now().UnixMilli()
	for ctx.Err() == nil {
		p.mu.Lock()
		i := p.n
		ts := strconv.FormatInt(start+int64(i), 10)
		p.open[ts] = time.Now()
		p.n++
		p.mu.Unlock()
		payload := `{"status":` + pulseCodes()[i/pulseDevices%2] + `,"ts":` + ts + `}`
		if c.publish("devices/pulse-"+strconv.Itoa(i%pulseDevices)+"/status", []byte(payload), uint16(i%65535+1), false) != nil {
			return
		}
		pause(ctx, p.every)
	}
}

// tell notes an event.
func (p *pulse) tell(b body) {
	ts := fmt.Sprint(b.Diagnosis.SourceTS)
	p.mu.Lock()
	defer p.mu.Unlock()
	if at, ok := p.open[ts]; ok {
		delete(p.open, ts)
		p.took = append(p.took, time.Since(at))
	}
}

// settle waits until all are answered, but not for ever.
func (p *pulse) settle(ctx context.Context, limit time.Duration) {
	for until := time.Now().Add(limit); time.Now().Before(until) && ctx.Err() == nil; pause(ctx, watchEvery) {
		p.mu.Lock()
		open := len(p.open)
		p.mu.Unlock()
		if open == 0 {
			return
		}
	}
}

// served tells how many reports there were, how many were not answered, and
// how long the answers took.
func (p *pulse) served() (sent, open int, figures string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	took := slices.Sorted(slices.Values(p.took))
	return p.n, len(p.open), recovery(took)
}
