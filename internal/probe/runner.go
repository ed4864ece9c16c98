package probe

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"
)

const (
	// maxAtOnce bounds the probes that run at the same time, over all kinds.
	maxAtOnce = 8
	// keepAnswer is how long an answer stands for equal checks: a target is
	// probed once in that time with each kind.
	keepAnswer = 10 * time.Second
	// usualPerMinute is the budget where none is given (contract section 2).
	usualPerMinute = 60
)

// Options of a Runner. The zero value is of use with Site alone.
type Options struct {
	// Site is the profile that the probes of services look at.
	Site Site
	// Timeout of one try of these probes; 0: what Site says, and 3 s at last.
	Timeout time.Duration
	// PerMinute is the budget: checks started, over all kinds; 0: 60. A dns or
	// clock check that asks several servers counts for each.
	PerMinute int
	// Targets may be aimed at, with every kind; nil: what Site names.
	Targets *Targets
	// Probes are further kinds, or take the place of those of Site.
	Probes map[Kind]Func
	// Now is the clock of budget and cache; nil: time.Now.
	Now func() time.Time
}

// Runner runs probes: within a budget, few at once, equal ones only once. It is
// safe for concurrent use. Close ends it.
type Runner struct {
	probes    map[Kind]Func
	site      Site
	targets   *Targets
	perMinute int
	now       func() time.Time
	budget    *budget
	slots     chan struct{}

	base   context.Context // it ends with the Runner, not with a call
	end    context.CancelFunc
	wg     sync.WaitGroup
	mu     sync.Mutex
	runs   map[runKey]*run
	closed bool
	stats  Stats
}

// Stats counts what became of the checks that were asked for.
type Stats struct {
	// Started were run; Cost is what they took from the budget.
	Started, Cost uint64
	// Shared were answered by an equal check that ran, or had just run.
	Shared uint64
	// Denied aimed at what may not be aimed at.
	Denied uint64
	// OverBudget were not run, because the budget was used up.
	OverBudget uint64
}

// runKey is what makes checks equal.
type runKey struct {
	kind   Kind
	target Target
}

// run is one check, under way or just done.
type run struct {
	done   chan struct{}
	stop   context.CancelFunc
	asking int // callers that wait for it
	ended  bool
	// The following stand once done is closed.
	answer Answer
	took   time.Duration
	at     time.Time
}

// New makes a Runner with the probes of services, and what opts adds.
func New(opts Options) *Runner {
	if opts.Timeout > 0 {
		opts.Site.Timeout = opts.Timeout
	}
	if opts.Targets != nil {
		opts.Site.Targets = opts.Targets
	}
	if opts.PerMinute <= 0 {
		opts.PerMinute = usualPerMinute
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	site := opts.Site.completed()
	probes := site.Probes()
	maps.Copy(probes, opts.Probes)
	base, end := context.WithCancel(context.Background())
	return &Runner{
		probes: probes, site: site, targets: site.Targets, perMinute: opts.PerMinute, now: opts.Now,
		budget: newBudget(opts.PerMinute), slots: make(chan struct{}, maxAtOnce),
		base: base, end: end, runs: map[runKey]*run{},
	}
}

// Run answers one check, and how long it took to find that out. An equal check
// that runs, or that ended within the last 10 s, answers for it. What the
// budget does not allow, and what may not be aimed at, is Inconclusive with the
// reason; so is a check whose caller, or whose Runner, ends first.
func (r *Runner) Run(ctx context.Context, kind Kind, target Target) (Answer, time.Duration) {
	probe, ok := r.probes[kind]
	if !ok {
		return r.cannotRun(kind, target, "there is no such probe"), 0
	}
	one, why := r.join(probe, runKey{kind, target})
	if one == nil {
		return r.cannotRun(kind, target, why), 0
	}
	select {
	case <-one.done:
	case <-ctx.Done():
	}
	return r.leave(ctx, one, runKey{kind, target})
}

// Stats tells what became of the checks so far.
func (r *Runner) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stats
}

// Close stops what runs and waits for it. Later checks are Inconclusive.
func (r *Runner) Close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.end()
	r.wg.Wait()
}

// join finds an equal run or starts one; nil with the reason if it may not.
func (r *Runner) join(probe Func, key runKey) (one *run, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, "it was stopped"
	}
	now := r.now()
	if one = r.runs[key]; one != nil && (!one.ended || now.Sub(one.at) < keepAnswer) {
		one.asking++
		r.stats.Shared++
		return one, ""
	}
	if key.target.Address != "" {
		if err := r.targets.Permit(HostPort(key.target.Address)); err != nil {
			r.stats.Denied++
			return nil, err.Error()
		}
	}
	cost := r.cost(key)
	if !r.budget.take(now, cost) {
		r.stats.OverBudget++
		return nil, fmt.Sprintf("budget used up, %d checks a minute", r.perMinute)
	}
	r.stats.Started++
	r.stats.Cost += uint64(cost)
	maps.DeleteFunc(r.runs, func(_ runKey, old *run) bool { return old.ended && now.Sub(old.at) >= keepAnswer })
	ctx, stop := context.WithCancel(r.base)
	one = &run{done: make(chan struct{}), stop: stop, asking: 1}
	r.runs[key] = one
	r.wg.Go(func() { r.execute(ctx, probe, key, one) })
	return one, ""
}

// execute runs a probe when there is room for it.
func (r *Runner) execute(ctx context.Context, probe Func, key runKey, one *run) {
	defer one.stop()
	answer := r.cannotRun(key.kind, key.target, "it was stopped")
	var took time.Duration
	select {
	case r.slots <- struct{}{}:
		limited, cancel := context.WithTimeout(ctx, MaxProbe)
		began := r.now()
		answer = probe(limited, key.target)
		took = r.now().Sub(began)
		cancel()
		<-r.slots
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	one.answer, one.took, one.at, one.ended = answer, took, r.now(), true
	if ctx.Err() != nil && r.runs[key] == one {
		delete(r.runs, key) // it was not able to look; the next one may
	}
	close(one.done)
}

// leave takes the answer, or goes without. A run that nobody waits for is
// stopped, and stands for nobody who comes later.
func (r *Runner) leave(ctx context.Context, one *run, key runKey) (Answer, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	one.asking--
	if one.ended {
		return one.answer, one.took
	}
	if one.asking == 0 {
		one.stop()
		if r.runs[key] == one {
			delete(r.runs, key)
		}
	}
	return r.cannotRun(key.kind, key.target, "it was stopped: "+context.Cause(ctx).Error()), 0
}

// cost is what a check takes from the budget.
func (r *Runner) cost(key runKey) int {
	switch key.kind {
	case DNS:
		return r.site.dnsCost(key.target)
	case Clock:
		return r.site.clockCost(key.target)
	}
	return 1
}

// cannotRun is the answer of a check that was not run.
func (r *Runner) cannotRun(kind Kind, t Target, why string) Answer {
	target := t.Address
	if target == "" {
		target = "site"
	}
	return cannotTell(kind, target, why, good(kind))
}
