package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"
)

// modeLoad is the mode that lays the site under load for long.
const modeLoad = "load"

const (
	// loadRate is ten times the rated load, in messages a second.
	loadRate = 10_000
	// loadDevices are the devices of the load: the first half has a fault each
	// that it repeats, the second half is well.
	loadDevices = 2000
	// loadWarm is how long memory may grow before its slope counts, and
	// loadJudged how long after it the slope must be measured to count.
	loadWarm, loadJudged = 10 * time.Minute, 30 * time.Minute
	// slopeLimit is in MiB an hour; drift is of goroutines and descriptors.
	slopeLimit, driftLimit = 1.0, 5.0
	loadEvery              = 2 * time.Second
	loadWrite              = 5 * time.Minute
)

// loadLines are the broker's for floods: it may send ahead, and what it cannot
// keep it drops, and counts.
func loadLines() []string {
	return []string{"persistence false", "max_inflight_messages 1000", "max_queued_messages 100000"}
}

// loadMessage is number i of the load: 5 of 100 change something, 95 say again
// what was said, or that all is well; one in ten has QoS 0.
func loadMessage(i int, now int64) message {
	device, cycle := i%loadDevices, i/loadDevices
	code := "0"
	turn := device / crowdLanes % 10 // so that each lane has its share of each
	switch {
	case device < loadDevices/2: // changes one time in ten, with a code of the same condition
		code = pulseCodes()[(cycle+turn)/10%2]
	case (cycle+device*9)%9000 == 0: // a fault that is over with the next message
		code = "-7"
	}
	m := message{topic: "devices/load-" + strconv.Itoa(device) + "/status", qos: 1}
	if (cycle+turn)%10 == 5 {
		m.qos = 0
	}
	m.payload = []byte(`{"status":` + code + `,"msg":"as it was","ts":` + strconv.FormatInt(now, 10) + `}`)
	return m
}

// loadRun is what a run under load showed so far.
type loadRun struct {
	rate       int
	at         time.Time
	took       time.Duration
	over       bool // the whole time
	sent0      int64
	sent1      int64
	acked1     int64 // by the broker
	received   int64 // by the broker, from everybody
	brokerDrop int64
	given      [2]int64
	again      int64
	agentAcked int64
	open       int64 // unacknowledged when a connection ended
	connects   int64
	account    account
	events     int // that the app received
	published  int64
	pulses     int
	unserved   int
	latency    string
	samples    []sample
	exits      []ending
	ended      bool // everything came to rest
}

// load lays the site under load, and writes what it found now and then: a run
// of an hour that is interrupted has not been for nothing.
func (s *settings) load(ctx context.Context, write func(*loadRun) error) (*loadRun, error) {
	e := &env{binary: s.binary, seed: s.seed, during: s.during, keep: s.keep}
	st, err := e.stage(ctx, staging{lines: loadLines()})
	if err != nil {
		return nil, err
	}
	r, err := st.load(ctx, s.rate, s.during, write)
	if e := st.close(); err == nil {
		err = e
	}
	return r, err
}

func (s *stage) load(ctx context.Context, rate int, during time.Duration, write func(*loadRun) error) (*loadRun, error) {
	c, err := newCrowd(s.broker.Address(), "chaos-load")
	if err != nil {
		return nil, err
	}
	defer c.close()
	p, endPulse := s.pulse(ctx, 200*time.Millisecond)
	r := &loadRun{rate: rate, at: time.Now()}
	sending, stop := context.WithTimeout(ctx, during)
	defer stop()
	failed := make(chan error, 1)
	go func() {
		failed <- c.send(sending, 0, rate, func(i int) message { return loadMessage(i, time.Now().UnixMilli()) })
	}()
	written := time.Now()
	for sending.Err() == nil {
		pause(sending, loadEvery)
		s.sampleLoad(sending, r)
		if time.Since(written) > loadWrite {
			written = time.Now()
			s.readLoad(r, c, p)
			if err := write(r); err != nil {
				fmt.Fprintln(os.Stderr, "chaos: write what was found so far:", err)
			}
		}
	}
	r.over = ctx.Err() == nil
	err = <-failed
	endPulse()
	s.settleLoad(r, p)
	s.readLoad(r, c, p)
	return r, err
}

// settleLoad waits for the end of everything, even after an interrupt.
func (s *stage) settleLoad(r *loadRun, p *pulse) {
	ctx, stop := context.WithTimeout(context.Background(), 3*time.Minute)
	defer stop()
	p.settle(ctx, time.Minute)
	counts, err := s.quiet(ctx, 2*time.Minute)
	r.ended = err == nil
	r.account, r.published = counts.account(), counts.sum("fieldmedic_events_published_total")
	if found, err := s.sys(ctx, sysDropped, "publish/messages/received"); err == nil {
		r.brokerDrop, r.received = found[sysDropped], found["publish/messages/received"]
	}
}

// readLoad takes the counts of the harness.
func (s *stage) readLoad(r *loadRun, c *crowd, p *pulse) {
	r.took = time.Since(r.at)
	r.sent0, r.sent1 = c.sent()
	r.acked1 = c.acked()
	r.given = [2]int64{s.meter.given[0].Load(), s.meter.given[1].Load()}
	r.again, r.agentAcked, r.open = s.meter.again.Load(), s.meter.acked.Load(), s.meter.open.Load()
	r.connects = s.meter.connects.Load()
	r.pulses, r.unserved, r.latency = p.served()
	r.events = s.received("raised") + s.received("changed") + s.received("cleared")
	r.exits = s.agent.ownExits()
}

func (s *stage) sampleLoad(ctx context.Context, r *loadRun) {
	counts, err := s.counters(ctx)
	if err != nil {
		return // an agent that does not answer shows at the end
	}
	number, age, pid := s.agent.running()
	now := sample{
		at: time.Now(), life: number, age: age, rss: resident(pid), goroutines: counts["go_goroutines"],
		fds: counts["process_open_fds"], outbox: counts["fieldmedic_outbox_events"], heap: counts["go_memstats_heap_inuse_bytes"] / (1 << 20),
	}
	r.samples = append(r.samples, now)
	r.account, r.published = counts.account(), counts.sum("fieldmedic_events_published_total")
	if len(r.samples)%30 == 0 {
		fmt.Printf("%s: %d messages received, memory %.1f MiB (heap %.1f), %.0f goroutines, %.0f descriptors, %.0f events wait\n",
			time.Since(r.at).Round(time.Second), r.account.received, now.rss, now.heap, now.goroutines, now.fds, now.outbox)
	}
}
