package main

import (
	"math/rand/v2"
	"time"
)

// fault is one kind of trouble.
type fault string

const (
	agentKill    fault = "agent SIGKILL"
	agentTerm    fault = "agent SIGTERM"
	agentFreeze  fault = "agent SIGSTOP"
	brokerKill   fault = "broker SIGKILL"
	brokerTerm   fault = "broker SIGTERM"
	brokerFreeze fault = "broker SIGSTOP"
	bothKill     fault = "agent and broker SIGKILL"
	linkCut      fault = "connections cut"
	linkDown     fault = "link down"
	linkHalfOpen fault = "half-open connections"
	linkStall    fault = "link stalled"
	linkDelay    fault = "link delayed"
	linkSlow     fault = "link slow"
	diskFull     fault = "disk full"
	storeDamage  fault = "store damaged"
)

// described is a fault as the document tells of it.
type described struct {
	fault             fault
	matrix            string // row of the fault matrix
	injection, expect string
	shortest, longest time.Duration // how long it is held
	// within is the promised time from its end to the first new event, for 99 of
	// 100; of half-open connections from its beginning.
	within time.Duration
}

// allFaults are the faults of a run under load. Damaged files have a mode of
// their own beside it, with many trials.
func allFaults() []described {
	const ms, s = time.Millisecond, time.Second
	return []described{
		{agentKill, "1", "SIGKILL at any time, started again after 0 to 250 ms", "nothing acknowledged or decided is lost", 0, 250 * ms, 5 * s},
		{agentTerm, "1", "SIGTERM, started again after 0 to 250 ms", "the same; exit code 0 within 15 s", 0, 250 * ms, 5 * s},
		{brokerKill, "3", "SIGKILL, started again after 0 to 500 ms", "nothing the agent was given or decided is lost", 0, 500 * ms, 5 * s},
		{brokerTerm, "4", "SIGTERM, started again after 0.2 to 5 s", "the outbox waits and drains in order", 200 * ms, 5 * s, 5 * s},
		{bothKill, "1, 3", "SIGKILL of both, both started again after 0 to 500 ms", "nothing the agent was given or decided is lost", 0, 500 * ms, 5 * s},
		{brokerFreeze, "5", "SIGSTOP for 3 to 20 s, then SIGCONT", "noticed, or waited for; nothing lost", 3 * s, 20 * s, 5 * s},
		{agentFreeze, "9", "SIGSTOP for 3 to 20 s, then SIGCONT", "goes on where it was", 3 * s, 20 * s, 5 * s},
		{linkCut, "8", "both connections reset, the link is there at once", "connects anew at once", 0, 0, 5 * s},
		{linkDown, "8", "both connections reset, no new ones for 1 to 8 s", "connects anew when it can", s, 8 * s, 5 * s},
		{linkHalfOpen, "6", "nothing moves on both connections and nobody is told; new ones work; ended after 60 s", "noticed within keep alive and ping time (40 s)", 60 * s, 60 * s, 45 * s},
		{linkStall, "6, 8", "nothing moves for 2 to 10 s, then all of it", "no loss, in order", 2 * s, 10 * s, 5 * s},
		{linkDelay, "7", "400 ms ± 100 ms each way for 5 to 15 s", "no reconnects, nothing lost", 5 * s, 15 * s, 5 * s},
		{linkSlow, "7", "32 kbit/s each way for 5 to 15 s", "no reconnects, nothing lost", 5 * s, 15 * s, 5 * s},
		{diskFull, "10", "the state directory's file system filled for 3 to 8 s", "nothing acknowledged meanwhile, no exit; heals within 10 s when freed", 3 * s, 8 * s, 10 * s},
		{storeDamage, "13", "SIGKILL; a page zeroed, a bit flipped, a tail cut, or a file deleted; started again", "starts; what is lost is said", 0, 0, 5 * s},
	}
}

// card is one fault of a plan.
type card struct {
	described
	hold time.Duration
	// gap is how long the site is left alone before it.
	gap time.Duration
	// hasty: the next fault does not wait for the recovery.
	hasty bool
	dice  uint64
}

// deck deals faults by seed: each kind as often as the mode says, shuffled, and
// again when all are dealt.
type deck struct {
	rng   *rand.Rand
	kinds []described
	left  []described
}

func newDeck(seed uint64, weights map[fault]int) *deck {
	d := &deck{rng: rand.New(rand.NewPCG(seed, 3))} //nolint:gosec // a plan that can be dealt again
	for _, k := range allFaults() {
		for range weights[k.fault] {
			d.kinds = append(d.kinds, k)
		}
	}
	return d
}

func (d *deck) deal() card {
	if len(d.left) == 0 {
		d.left = append(d.left, d.kinds...)
		d.rng.Shuffle(len(d.left), func(i, j int) { d.left[i], d.left[j] = d.left[j], d.left[i] })
	}
	c := card{described: d.left[0], dice: d.rng.Uint64(), hasty: d.rng.IntN(4) == 0}
	d.left = d.left[1:]
	c.hold = c.shortest
	if span := c.longest - c.shortest; span > 0 {
		c.hold += time.Duration(d.rng.Int64N(int64(span)))
	}
	c.gap = 200*time.Millisecond + time.Duration(d.rng.Int64N(int64(1300*time.Millisecond)))
	if c.hasty {
		c.gap /= 4
	}
	return c
}

// modes are the weights of the faults of each mode; store-damage has trials
// instead.
func modes() map[string]map[fault]int {
	return map[string]map[fault]int{
		"agent-kills":            {agentKill: 9, agentTerm: 1},
		"broker-and-agent-kills": {agentKill: 5, brokerKill: 4, bothKill: 3, brokerTerm: 1},
		"disk-full":              {diskFull: 3, agentKill: 1},
		"proxy":                  {linkCut: 3, linkDown: 2, linkHalfOpen: 1, linkStall: 2, linkDelay: 1, linkSlow: 1},
		"freeze":                 {agentFreeze: 1, brokerFreeze: 1},
		"all": {
			agentKill: 8, agentTerm: 1, brokerKill: 5, brokerTerm: 1, bothKill: 2, agentFreeze: 1, brokerFreeze: 1,
			linkCut: 2, linkDown: 1, linkStall: 1, linkDelay: 1, linkSlow: 1, diskFull: 2, storeDamage: 2,
		},
	}
}
