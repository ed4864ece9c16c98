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
	brokerHang   fault = "broker hangs"
	agentHang    fault = "agent hangs"
	cablePulled  fault = "cable pulled"
	linkNarrow   fault = "link narrow"
	linkLossy    fault = "link lossy"
	diskReadOnly fault = "file system read-only"
	diskGone     fault = "I/O errors"
	fileTooLarge fault = "writes refused"
	powerLoss    fault = "power loss"
)

// needs is what a fault needs of the machine.
type needs int

const (
	needsNothing   needs = iota
	needsSmall           // a small file system in memory
	needsDisk            // a disk of its own
	needsFar             // a network namespace for the agent
	needsImpair          // the same, and a kernel that can lose packets
	needsPrivilege       // root
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
	needs  needs
	// named is what the agent must call it while it lasts, and notice how long
	// that may take; empty: nothing.
	named  string
	notice time.Duration
}

// allFaults are the faults of a run under load. Damaged files have a mode of
// their own beside it, with many trials.
func allFaults() []described {
	const ms, s = time.Millisecond, time.Second
	short := func(f fault, matrix, injection, expect string, shortest, longest, within time.Duration) described {
		return described{fault: f, matrix: matrix, injection: injection, expect: expect, shortest: shortest, longest: longest, within: within}
	}
	const kept = "nothing acknowledged or decided is lost"
	list := []described{
		short(agentKill, "1", "SIGKILL at any time, started again after 0 to 250 ms", kept, 0, 250*ms, 5*s),
		short(agentTerm, "1", "SIGTERM, started again after 0 to 250 ms", "the same; exit code 0 within 15 s", 0, 250*ms, 5*s),
		short(brokerKill, "3", "SIGKILL, started again after 0 to 500 ms", "nothing the agent was given or decided is lost", 0, 500*ms, 5*s),
		short(brokerTerm, "4", "SIGTERM, started again after 0.2 to 5 s", "the outbox waits and drains in order", 200*ms, 5*s, 5*s),
		short(bothKill, "1, 3", "SIGKILL of both, both started again after 0 to 500 ms", "nothing the agent was given or decided is lost", 0, 500*ms, 5*s),
		short(brokerFreeze, "5", "SIGSTOP for 3 to 20 s, then SIGCONT", "noticed, or waited for; nothing lost", 3*s, 20*s, 5*s),
		short(agentFreeze, "9", "SIGSTOP for 3 to 20 s, then SIGCONT", "goes on where it was", 3*s, 20*s, 5*s),
		short(agentHang, "9", "SIGSTOP for 45 s, then SIGCONT", "goes on where it was", 45*s, 45*s, 5*s),
		short(linkCut, "8", "both connections reset, the link is there at once", "connects anew at once", 0, 0, 5*s),
		short(linkDown, "8", "both connections reset, no new ones for 1 to 8 s", "connects anew when it can", s, 8*s, 5*s),
		short(linkHalfOpen, "6", "nothing moves on both connections and nobody is told; new ones work; ended after 60 s", "noticed within keep alive and ping time (40 s)", 60*s, 60*s, 45*s),
		short(linkStall, "6, 8", "nothing moves for 2 to 10 s, then all of it", "no loss, in order", 2*s, 10*s, 5*s),
		short(linkDelay, "7", "400 ms ± 100 ms each way for 5 to 15 s", "no reconnects, nothing lost", 5*s, 15*s, 5*s),
		short(linkSlow, "7", "32 kbit/s each way for 5 to 15 s", "no reconnects, nothing lost", 5*s, 15*s, 5*s),
		short(storeDamage, "13", "SIGKILL; a page zeroed, a bit flipped, a tail cut, or a file deleted; started again", "starts; what is lost is said", 0, 0, 5*s),
	}
	return append(list, harsherFaults()...)
}

// harsherFaults need more of the machine, or more time.
func harsherFaults() []described {
	const s = time.Second
	const closed = "nothing acknowledged meanwhile, no exit, named; nothing acknowledged is lost"
	return []described{
		{
			brokerHang, "5", "SIGSTOP for 60 s under load, then SIGCONT", "named broker-stalled within keep alive and ping time (40 s)",
			60 * s, 60 * s, 5 * s, needsNothing, "broker-stalled", 42 * s,
		},
		{
			cablePulled, "6", "`ip link set down` for 60 s between agent and broker, each in a network name space of its own; no FIN, no RST",
			"noticed within keep alive and ping time (40 s); connects anew when it can", 60 * s, 60 * s, 10 * s, needsFar, "broker-", 42 * s,
		},
		{linkNarrow, "7", "`tc` tbf of 32 kbit/s in both directions for 10 to 20 s", "no reconnects, nothing lost", 10 * s, 20 * s, 10 * s, needsFar, "", 0},
		{
			linkLossy, "7", "`tc` netem of 400 ms ± 100 ms and 5 % loss in both directions for 10 to 20 s", "no reconnects, nothing lost",
			10 * s, 20 * s, 10 * s, needsImpair, "", 0,
		},
		{
			diskFull, "10", "the state directory's file system filled for 3 to 8 s", "nothing acknowledged meanwhile, no exit, named storage-full; heals within 10 s when freed",
			3 * s, 8 * s, 10 * s, needsSmall, "storage-full", 3 * s,
		},
		{
			diskReadOnly, "11", "an error of ext4 makes its file system read-only for 3 to 8 s; then SIGKILL, mounted anew, started again", closed,
			3 * s, 8 * s, 5 * s, needsDisk, "storage-failed", 3 * s,
		},
		{
			diskGone, "11", "every access to the file system fails for 3 to 8 s (EIO); then SIGKILL, mounted anew, started again", closed,
			3 * s, 8 * s, 5 * s, needsDisk, "storage-failed", 3 * s,
		},
		{
			fileTooLarge, "11", "every write beyond 4 KiB of a file fails for 3 to 8 s (EFBIG, by the process's limit)", closed + "; heals within 10 s",
			3 * s, 8 * s, 10 * s, needsPrivilege, "storage-f", 3 * s,
		},
		{
			powerLoss, "12", "ext4 stopped with all that is not synced lost, SIGKILL at once, mounted anew, started again", "nothing acknowledged or decided is lost",
			0, 250 * time.Millisecond, 5 * s, needsDisk, "", 0,
		},
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
		"disk-errors":            {diskReadOnly: 1, diskGone: 1, fileTooLarge: 1, agentKill: 1},
		"power":                  {powerLoss: 1},
		"cable":                  {cablePulled: 1, linkNarrow: 1, linkLossy: 1},
		"hang":                   {brokerHang: 1, agentHang: 1},
		"proxy":                  {linkCut: 3, linkDown: 2, linkHalfOpen: 1, linkStall: 2, linkDelay: 1, linkSlow: 1},
		"freeze":                 {agentFreeze: 1, brokerFreeze: 1},
		"all": {
			agentKill: 3, agentTerm: 1, brokerKill: 2, brokerTerm: 1, bothKill: 2, agentFreeze: 1, brokerFreeze: 1,
			linkCut: 1, linkDown: 1, linkStall: 1, linkDelay: 1, linkSlow: 1, diskFull: 2, storeDamage: 2,
		},
	}
}
