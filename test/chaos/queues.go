package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"syscall"
	"time"
)

const modeSlowApp, modeOverflow = "slow-app", "queue-overflow"

func queueScenarios() []scenario {
	return []scenario{
		{
			modeSlowApp, "25", "slow app", "one app that reads nothing, one that reads and never acknowledges; 500 changes a second",
			"the agent and other apps are not held up", slowApp,
		},
		{
			modeOverflow, "26", "the broker's queue overflows while the agent is down",
			"3,000 faults at QoS 1 while the agent is stopped; Mosquitto keeps 1,000 by default",
			"all that the broker delivers is decided; the agent cannot see the gap (devices number nothing): `$SYS` tells it", overflow,
		},
	}
}

// slowApp has two bad consumers beside a good one.
func slowApp(ctx context.Context, e *env) (finding, error) {
	var f finding
	s, err := e.stage(ctx, staging{lines: loadLines()})
	if err != nil {
		return f, err
	}
	defer func() { _ = s.close() }() // it is judged already
	topic := "diagnostics/" + s.gateway + "/event"
	deaf, err := dial(s.broker.Address(), "chaos-deaf", false)
	if err == nil {
		defer func() { _ = deaf.conn.Close() }() // it never read
		err = deaf.subscribe(topic)
	}
	if err != nil {
		return f, err
	}
	mute, err := dial(s.broker.Address(), "chaos-mute", false)
	if err == nil {
		defer func() { _ = mute.conn.Close() }() // it never acknowledged
		err = mute.subscribe(topic)
	}
	if err != nil {
		return f, err
	}
	go func() {
		for {
			if _, err := readFrame(mute.r); err != nil {
				return
			}
		}
	}()
	c, err := newCrowd(s.broker.Address(), "chaos-changes")
	if err != nil {
		return f, err
	}
	defer c.close()
	p, endPulse := s.pulse(ctx, 100*time.Millisecond)
	const perSecond = 500
	n := int(e.during.Seconds()) * perSecond
	if err := c.send(ctx, n, perSecond, change); err != nil {
		return f, err
	}
	endPulse()
	p.settle(ctx, 10*time.Second)
	counts, err := s.quiet(ctx, 30*time.Second)
	f.want(err == nil, "%v", err)
	sent, unserved, latency := p.served()
	got := s.received("raised") + s.received("changed")
	f.say("%d changes and %d reports of known devices; the good app has %d events; known devices p50 / p99 %s", n, sent, got, latency)
	f.say("%.0f events wait in the agent", counts["fieldmedic_outbox_events"])
	f.want(unserved == 0, "%d of %d reports of known devices raised nothing", unserved, sent)
	f.want(got >= n, "%d of %d events came to the good app", got, n)
	f.want(len(s.agent.ownExits()) == 0, "the agent ended by itself %d times", len(s.agent.ownExits()))
	return f, nil
}

// change is a report that changes its device's diagnosis.
func change(i int) message {
	const devices = 400
	code := pulseCodes()[i/devices%2]
	return message{"devices/change-" + strconv.Itoa(i%devices) + "/status", []byte(`{"status":` + code + `}`), 1}
}

// overflow has the broker drop what it acknowledged.
func overflow(ctx context.Context, e *env) (finding, error) {
	var f finding
	s, err := e.stage(ctx, staging{lines: []string{"persistence false"}})
	if err != nil {
		return f, err
	}
	defer func() { _ = s.close() }() // it is judged already
	if err := s.agent.end(syscall.SIGTERM); err != nil {
		return f, err
	}
	before, err := s.sys(ctx, sysDropped)
	if err != nil {
		return f, err
	}
	const n = 3000
	c, err := newCrowd(s.broker.Address(), "chaos-overflow")
	if err != nil {
		return f, err
	}
	defer c.close()
	if err := c.send(ctx, n, 0, func(i int) message {
		return message{"devices/over-" + strconv.Itoa(i) + "/status", []byte(`{"status":-7}`), 1}
	}); err != nil {
		return f, err
	}
	after, err := s.sys(ctx, sysDropped)
	if err != nil {
		return f, err
	}
	if err := errors.Join(s.agent.start(), awaitAgent(ctx, s.agent, stopTime)); err != nil {
		return f, err
	}
	start := time.Now()
	_, err = s.quiet(ctx, 30*time.Second)
	f.want(err == nil, "%v", err)
	given, dropped := s.meter.delivered()-s.meter.again.Load(), after[sysDropped]-before[sysDropped]
	f.say("%d acknowledged to the devices, %d dropped by the broker, %d delivered", c.acked(), dropped, given)
	f.say("%d raised, within %s of the start", s.received("raised"), short(time.Since(start)))
	f.want(int64(s.received("raised")) == given, "%d of %d delivered are raised", s.received("raised"), given)
	f.want(given+dropped == n, "%d of %d are not accounted for", n-given-dropped, n)
	f.want(dropped > 0, "the broker dropped nothing: it was not put to the test (%s)", fmt.Sprint(after))
	return f, nil
}
