package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

const modePoison = "poison"

func poisonScenarios() []scenario {
	const grows = "memory grows by less than 10 MB, no restart, counters exact, known devices served meanwhile"
	return []scenario{
		{modePoison, "21", "a packet of 200 MiB", "one publish of 200 MiB at QoS 1", grows, poisonHuge},
		{modePoison, "21", "malformed payloads", "10,000 of 20 kinds, one JSON 1,000,000 deep among them", grows, poisonMalformed},
		{modePoison, "24", "random device ids", "1,000,000 ids beyond the 10,000 devices that are known, QoS 1", grows, poisonIDs},
	}
}

const (
	// growthLimit is how much memory poison may cost, in MiB.
	growthLimit = 10e6 / (1 << 20)
	// warmMessages bring the agent's memory to what ordinary traffic takes, so
	// that what is measured behind it is the poison's alone.
	warmMessages = 20_000
	maxDevices   = 10_000
	// strangersPerSecond leave the known devices room in the broker's queue.
	strangersPerSecond = 15_000
)

// poisoned is a stage that has seen ordinary traffic.
type poisoned struct {
	*stage
	crowd    *crowd
	pulse    *pulse
	endPulse func()
	before   counters
	memory   float64
}

// poison warms a stage up, and measures from there.
func (e *env) poison(ctx context.Context, lines []string, warm func(c *crowd) error) (*poisoned, error) {
	s, err := e.stage(ctx, staging{lines: append(loadLines(), lines...)})
	if err != nil {
		return nil, err
	}
	p := &poisoned{stage: s}
	if err := p.warmUp(ctx, warm); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return p, nil
}

func (p *poisoned) warmUp(ctx context.Context, warm func(c *crowd) error) (err error) {
	if p.crowd, err = newCrowd(p.broker.Address(), "chaos-poison"); err != nil {
		return err
	}
	p.pulse, p.endPulse = p.stage.pulse(ctx, 100*time.Millisecond)
	if err := warm(p.crowd); err != nil {
		return err
	}
	pause(ctx, 2*time.Second) // what was collected goes back to the system
	if p.before, err = p.counters(ctx); err != nil {
		return err
	}
	p.memory = resident(p.pid())
	return resetPeak(p.pid())
}

// ordinary traffic of known devices.
func ordinary(ctx context.Context) func(c *crowd) error {
	return func(c *crowd) error {
		return c.send(ctx, warmMessages, 4000, func(i int) message { return loadMessage(i, time.Now().UnixMilli()) })
	}
}

// finish compares: refused is what the agent must have refused, by reason.
func (p *poisoned) finish(ctx context.Context, refused map[string]int) (finding, error) {
	var f finding
	p.endPulse()
	p.pulse.settle(ctx, time.Minute)
	given := p.meter.delivered()
	after, err := p.quiet(ctx, 2*time.Minute)
	peak := peakMemory(p.pid())
	f.want(err == nil, "%v", err)
	f.want(len(p.agent.ownExits()) == 0, "the agent ended by itself %d times", len(p.agent.ownExits()))
	total := 0
	for reason, n := range refused {
		key := `fieldmedic_messages_refused_total{reason="` + reason + `"}`
		got := int(after[key] - p.before[key])
		f.want(got == n, "%d are counted as %s (%d were sent)", got, reason, n)
		total += n
	}
	all := after.sum("fieldmedic_messages_refused_total") - p.before.sum("fieldmedic_messages_refused_total")
	f.want(int(all) == total, "%d are counted as refused (%d must be)", all, total)
	f.say("%d refused", all)
	grown := peak - p.memory
	f.say("memory %.1f MiB, %+.1f at its peak", p.memory, grown)
	f.want(grown < growthLimit, "memory grew by %.1f MiB", grown)
	f.want(p.meter.connects.Load() == 1, "the agent connected %d times", p.meter.connects.Load())
	f.want(p.meter.acked.Load() == p.meter.given[1].Load(), "%d of %d were acknowledged", p.meter.acked.Load(), p.meter.given[1].Load())
	f.want(given > 0, "nothing came to the agent")
	sent, open, took := p.pulse.served()
	f.say("%d known reports served, p50 / p99 %s", sent-open, took)
	f.want(open == 0, "%d of %d reports of known devices raised nothing", open, sent)
	p.crowd.close()
	return f, nil
}

// poisonHuge is one packet that is larger than any memory limit allows.
func poisonHuge(ctx context.Context, e *env) (finding, error) {
	p, err := e.poison(ctx, nil, ordinary(ctx))
	if err != nil {
		return finding{}, err
	}
	defer func() { _ = p.close() }() // it is judged already
	huge := make([]byte, e.scaled(200<<20))
	if err := p.crowd.send(ctx, 1, 0, func(int) message { return message{"devices/load-1/status", huge, 1} }); err != nil {
		return finding{}, err
	}
	return p.finish(ctx, map[string]int{"too-large": 1})
}

// poisons are payloads that are to be refused, by reason.
func poisons() []struct{ reason, payload string } {
	type kind = struct{ reason, payload string }
	deep := func(n int) string {
		return `{"status":` + strings.Repeat(`{"a":`, n) + `1` + strings.Repeat(`}`, n) + `}`
	}
	return []kind{
		{"malformed", "no code at all"},
		{"malformed", `{"status":-4013`},
		{"malformed", `{"status":1.5}`},
		{"malformed", `{"status":1e3}`},
		{"malformed", `{"status":NaN}`},
		{"malformed", `{"status":true}`},
		{"malformed", `{"status":[-7]}`},
		{"malformed", `{"status":007}`},
		{"malformed", `{"status":4294967296}`},
		{"malformed", `{"status":-7,"STATUS":0}`},
		{"malformed", `{"status":-7,"status":0}`},
		{"malformed", `{"status":-7}{"status":0}`},
		{"malformed", `{"msg":"nothing else"}`},
		{"malformed", `{"status":null}`},
		{"malformed", "\xff\xfe\x00\x01"},
		{"malformed", `[1,2,3]`},
		{"too-deep", deep(17)},
		{"too-deep", deep(10_000)},
		{"too-large", deep(1_000_000)},
		{"too-large", `{"status":-7,"msg":"` + strings.Repeat("x", 70<<10) + `"}`},
	}
}

// poisonMalformed sends all kinds in turn. The large ones come once in fifty:
// else the run would measure the link.
func poisonMalformed(ctx context.Context, e *env) (finding, error) {
	p, err := e.poison(ctx, nil, ordinary(ctx))
	if err != nil {
		return finding{}, err
	}
	defer func() { _ = p.close() }() // it is judged already
	kinds := poisons()
	refused := map[string]int{}
	n := e.scaled(10_000)
	list := make([]int, n)
	for i := range list {
		list[i] = i % len(kinds)
		if len(kinds[list[i]].payload) > 1<<20 && i/len(kinds)%50 != 0 {
			list[i] = 0
		}
		refused[kinds[list[i]].reason]++
	}
	err = p.crowd.send(ctx, n, 2000, func(i int) message {
		return message{"devices/load-" + strconv.Itoa(i%100) + "/status", []byte(kinds[list[i]].payload), 1}
	})
	if err != nil {
		return finding{}, err
	}
	return p.finish(ctx, refused)
}

// poisonIDs fills all places, and then has a million strangers come.
func poisonIDs(ctx context.Context, e *env) (finding, error) {
	keepAll := []string{"max_queued_messages 0"} // each of them is to come to the agent
	p, err := e.poison(ctx, keepAll, func(c *crowd) error {
		pause(ctx, 2*time.Duration(pulseDevices)*100*time.Millisecond) // the pulse's devices come first
		err := c.send(ctx, maxDevices-pulseDevices, 4000, func(i int) message {
			return message{"devices/known-" + strconv.Itoa(i) + "/status", []byte(`{"status":0}`), 1}
		})
		if err != nil {
			return err
		}
		// Strangers in small numbers: the first of them cost memory as well.
		return c.send(ctx, warmMessages, 4000, stranger(e.seed+1))
	})
	if err != nil {
		return finding{}, err
	}
	defer func() { _ = p.close() }() // it is judged already
	n := e.scaled(1_000_000)
	start := time.Now()
	if err := p.crowd.send(ctx, n, strangersPerSecond, stranger(e.seed)); err != nil {
		return finding{}, err
	}
	took := time.Since(start)
	f, err := p.finish(ctx, map[string]int{"too-many-devices": n})
	f.say("%d ids in %s", n, took.Round(time.Second))
	return f, err
}

// stranger makes reports of ids that nobody has seen.
func stranger(seed uint64) func(i int) message {
	return func(i int) message {
		rng := rand.New(rand.NewPCG(seed, uint64(i))) //nolint:gosec // ids that can be made again
		id := make([]byte, 8+rng.IntN(24))
		for k := range id {
			id[k] = byte(rng.Uint32())
		}
		return message{"devices/" + hex.EncodeToString(id) + "/status", []byte(fmt.Sprintf(`{"status":%d}`, -7-i%3)), 1}
	}
}
