package main

import (
	"context"
	"strconv"
	"time"
)

const modeFlood, modeStorm, modeMemory = "flood", "storm", "memory"

// unitMemory and unitLimit are those of the service's unit: the kernel ends the
// process at the one, the collector works harder from the other on.
const (
	unitMemory = 192 << 20
	unitLimit  = "GOMEMLIMIT=96MiB"
)

func floodScenarios() []scenario {
	const promise = "the broker is slowed down, nothing is lost; memory stays below 192 MiB; no restart"
	return []scenario{
		{modeFlood, "22", "flood at QoS 1", "10,000 messages a second", promise, func(ctx context.Context, e *env) (finding, error) {
			return flood(ctx, e, 1)
		}},
		{
			modeFlood, "22", "flood at QoS 0", "10,000 messages a second",
			"what does not fit is dropped and counted; memory stays below 192 MiB; no restart", func(ctx context.Context, e *env) (finding, error) {
				return flood(ctx, e, 0)
			},
		},
		{modeStorm, "23", "10,000 devices at once", "10,000 devices report a fault each as fast as the broker takes it", "all are raised; no restart", storm},
		{
			modeMemory, "29", "memory limit", "memory cgroup of 192 MiB, as the unit has it; 10,000 devices with a fault each, then changes of them as fast as the broker takes them",
			"the kernel ends nothing; no restart", func(ctx context.Context, e *env) (finding, error) { return memoryLimit(ctx, e, pulseCodes()) },
		},
		{
			modeMemory, "29", "memory limit, ten faults a device", "the same cgroup; 10,000 devices with ten different faults each, as fast as the broker takes them",
			"the kernel ends nothing; no restart", func(ctx context.Context, e *env) (finding, error) { return memoryLimit(ctx, e, manyCodes()) },
		},
	}
}

// flood sends ten times the rated load at one quality of service. Half of the
// time is the shortest run that tells anything.
func flood(ctx context.Context, e *env, qos byte) (finding, error) {
	s, err := e.stage(ctx, staging{lines: loadLines(), env: []string{unitLimit}})
	if err != nil {
		return finding{}, err
	}
	defer func() { _ = s.close() }() // it is judged already
	c, err := newCrowd(s.broker.Address(), "chaos-flood")
	if err != nil {
		return finding{}, err
	}
	defer c.close()
	p, endPulse := s.pulse(ctx, 100*time.Millisecond)
	n := int(e.during.Seconds()) * loadRate
	start := time.Now()
	err = c.send(ctx, n, loadRate, func(i int) message {
		m := loadMessage(i, time.Now().UnixMilli())
		m.qos = qos
		return m
	})
	took := time.Since(start)
	endPulse()
	if err != nil {
		return finding{}, err
	}
	p.settle(ctx, time.Minute)
	return s.flooded(ctx, p, n, took, false)
}

// flooded judges: what came to the agent is what it counts. In a cage it is the
// kernel that judges its memory: what it shares with others is not its own.
func (s *stage) flooded(ctx context.Context, p *pulse, n int, took time.Duration, caged bool) (finding, error) {
	var f finding
	counts, err := s.quiet(ctx, 2*time.Minute)
	f.want(err == nil, "%v", err)
	found, err := s.sys(ctx, sysDropped)
	if err != nil {
		return f, err
	}
	given, a := s.meter.delivered(), counts.account()
	f.say("%d sent at %.0f a second", n, float64(n)/took.Seconds())
	f.say("%d dropped by the broker, %d delivered", found[sysDropped], given)
	f.say("%d accepted + %d refused + %d dropped", a.received-a.refused-a.dropped, a.refused, a.dropped)
	open := s.meter.open.Load()
	f.want(a.received <= given && a.received >= given-open, "the agent counts %d of %d delivered", a.received, given)
	f.want(s.meter.acked.Load() >= s.meter.given[1].Load()-open, "the agent acknowledged %d of %d", s.meter.acked.Load(), s.meter.given[1].Load())
	f.want(given-s.meter.again.Load()+found[sysDropped] >= int64(n), "%d of %d are not accounted for", int64(n)-given-found[sysDropped], n)
	peak := peakMemory(s.pid())
	f.say("memory %.0f MiB at its peak", peak)
	f.want(caged || peak < unitMemory>>20, "memory of %.0f MiB", peak)
	f.want(len(s.agent.ownExits()) == 0, "the agent ended by itself %d times", len(s.agent.ownExits()))
	sent, unserved, latency := p.served()
	f.say("known devices p50 / p99 %s", latency)
	f.want(unserved == 0 || found[sysDropped] > 0, "%d of %d reports of known devices raised nothing", unserved, sent)
	return f, nil
}

// storm is a site that comes back after an outage.
func storm(ctx context.Context, e *env) (finding, error) {
	var f finding
	s, err := e.stage(ctx, staging{lines: loadLines(), env: []string{unitLimit}})
	if err != nil {
		return f, err
	}
	defer func() { _ = s.close() }() // it is judged already
	c, err := newCrowd(s.broker.Address(), "chaos-storm")
	if err != nil {
		return f, err
	}
	defer c.close()
	n := e.scaled(maxDevices)
	start := time.Now()
	if err := c.send(ctx, n, 0, func(i int) message {
		return message{"devices/storm-" + strconv.Itoa(i) + "/status", []byte(`{"status":-7}`), 1}
	}); err != nil {
		return f, err
	}
	sent := time.Since(start)
	for s.received("raised") < n && time.Since(start) < 2*time.Minute {
		pause(ctx, 10*time.Millisecond)
	}
	took := time.Since(start)
	f.say("%d sent in %s, all raised after %s", n, short(sent), short(took))
	f.want(s.received("raised") >= n, "%d of %d are raised after %s", s.received("raised"), n, took.Round(time.Second))
	_, err = s.quiet(ctx, time.Minute)
	f.want(err == nil, "%v", err)
	peak := peakMemory(s.pid())
	f.say("memory %.0f MiB at its peak", peak)
	f.want(peak < unitMemory>>20, "memory of %.0f MiB", peak)
	f.want(len(s.agent.ownExits()) == 0, "the agent ended by itself %d times", len(s.agent.ownExits()))
	return f, nil
}

// memoryLimit is a flood in a cage: each device reports one code after the
// other.
func memoryLimit(ctx context.Context, e *env, list []string) (finding, error) {
	var f finding
	o := staging{lines: loadLines(), env: []string{unitLimit}}
	box, err := newCage(unitMemory)
	if err == nil {
		o.wrap = box.enter()
		defer func() { _ = box.close() }() // it is gone with the machine's next start
	} else {
		f.say("no memory cgroup here: only watched")
	}
	s, err := e.stage(ctx, o)
	if err != nil {
		return f, err
	}
	defer func() { _ = s.close() }() // it is judged already
	c, err := newCrowd(s.broker.Address(), "chaos-memory")
	if err != nil {
		return f, err
	}
	defer c.close()
	p, endPulse := s.pulse(ctx, 100*time.Millisecond)
	const others = maxDevices - pulseDevices
	n := e.scaled(10 * others)
	start := time.Now()
	err = c.send(ctx, n, 0, func(i int) message {
		return message{"devices/many-" + strconv.Itoa(i%others) + "/status", []byte(`{"status":` + list[i/others%len(list)] + `}`), 1}
	})
	took := time.Since(start)
	endPulse()
	if err != nil {
		return f, err
	}
	p.settle(ctx, 2*time.Minute)
	judged, err := s.flooded(ctx, p, n, took, box != nil)
	if box != nil {
		f.say("ended by the kernel: %d; most memory by its count %.0f MiB", box.kills(), box.most())
		f.want(box.kills() <= 0, "the kernel ended the agent %d times", box.kills())
	}
	f.figures = append(f.figures, judged.figures...)
	f.broken = append(f.broken, judged.broken...)
	return f, err
}

// manyCodes have conditions of their own.
func manyCodes() []string {
	return []string{"-7", "-1", "-4012", "-4028", "-9", "-4034", "-8", "-4029", "-3", "-2"}
}
