package probe

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"fieldmedic/internal/diagnose"
)

// counted is a probe that takes so long, and counts.
type counted struct {
	runs, running, most atomic.Int64
	takes               time.Duration
}

func (c *counted) probe(ctx context.Context, t Target) Answer {
	c.runs.Add(1)
	now := c.running.Add(1)
	defer c.running.Add(-1)
	for {
		if most := c.most.Load(); now <= most || c.most.CompareAndSwap(most, now) {
			break
		}
	}
	select {
	case <-time.After(c.takes):
		return found(Hello, t.Address, "locked", fmt.Sprintf("run %d", c.runs.Load()), "unlocked")
	case <-ctx.Done():
		return cannotTell(Hello, t.Address, ctx.Err().Error(), "unlocked")
	}
}

// testRunner runs a counted hello within a bubble of synthetic time.
func testRunner(t *testing.T, takes time.Duration, perMinute int) (*Runner, *counted) {
	t.Helper()
	c := &counted{takes: takes}
	r := New(Options{PerMinute: perMinute, Targets: AnyTarget(), Probes: map[Kind]Func{Hello: c.probe}})
	t.Cleanup(r.Close)
	return r, c
}

func device(n int) Target { return Target{Address: fmt.Sprintf("192.0.2.%d", n)} }

func TestRunnerAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, c := testRunner(t, 30*time.Millisecond, 60)
		got, took := r.Run(t.Context(), Hello, device(1))
		if got.Result != "locked" || took != 30*time.Millisecond {
			t.Errorf("got %+v after %s", got, took)
		}
		// An equal check is answered for 10 s, others are not.
		time.Sleep(9 * time.Second)
		if again, took := r.Run(t.Context(), Hello, device(1)); again != got || took != 30*time.Millisecond {
			t.Errorf("an equal check got %+v after %s", again, took)
		}
		r.Run(t.Context(), Hello, device(2))
		r.Run(t.Context(), Hello, Target{Address: "192.0.2.1", MAC: "34:ea:34:00:00:01"})
		if c.runs.Load() != 3 {
			t.Errorf("%d runs, want 3", c.runs.Load())
		}
		time.Sleep(time.Second)
		if again, _ := r.Run(t.Context(), Hello, device(1)); again == got || c.runs.Load() != 4 {
			t.Errorf("after 10 s it is still %+v", again)
		}
		if got, want := r.Stats(), (Stats{Started: 4, Cost: 4, Shared: 1}); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	})
}

func TestRunnerSingleFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, c := testRunner(t, time.Second, 60)
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if got, _ := r.Run(t.Context(), Hello, device(1)); got.Result != "locked" {
					t.Errorf("got %+v", got)
				}
			})
		}
		wg.Wait()
		if c.runs.Load() != 1 {
			t.Errorf("%d runs, want 1", c.runs.Load())
		}
	})
}

// TestRunnerBudget: ten thousand devices that fail at once start no more checks
// in any minute than are allowed, and not all of them in its first moment.
func TestRunnerBudget(t *testing.T) {
	for _, perMinute := range []int{1, 2, 7, 60, 600} {
		synctest.Test(t, func(t *testing.T) {
			r, c := testRunner(t, 0, perMinute)
			var mu sync.Mutex
			var starts []time.Time
			inner := c.probe
			r.probes[Hello] = func(ctx context.Context, target Target) Answer {
				mu.Lock()
				starts = append(starts, time.Now())
				mu.Unlock()
				return inner(ctx, target)
			}
			over := 0
			for n := range 5 * 60 * 4 { // five minutes, four times a second a crowd
				for m := range 1 + perMinute/60 {
					got, _ := r.Run(t.Context(), Hello, Target{Address: fmt.Sprintf("h%d-%d.example", n, m)})
					if got.Verdict == diagnose.Inconclusive && strings.Contains(got.Observed, "budget used up") {
						over++
					}
				}
				time.Sleep(250 * time.Millisecond)
			}
			most := 0
			for i := range starts {
				n := 0
				for _, later := range starts[i:] {
					if later.Sub(starts[i]) < time.Minute {
						n++
					}
				}
				most = max(most, n)
			}
			if most > perMinute {
				t.Errorf("%d a minute are allowed, and %d started in one", perMinute, most)
			}
			if len(starts) < 5*perMinute/2 {
				t.Errorf("%d a minute are allowed, and only %d started in five", perMinute, len(starts))
			}
			if got := r.Stats(); got.OverBudget != uint64(over) || got.Started != uint64(len(starts)) || over == 0 {
				t.Errorf("%+v, but %d started and %d were over the budget", got, len(starts), over)
			}
		})
	}
}

func TestRunnerCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, c := testRunner(t, time.Second, 60)
		var wg sync.WaitGroup
		var told, over atomic.Int64
		for n := range 10_000 {
			wg.Go(func() {
				switch got, _ := r.Run(t.Context(), Hello, Target{Address: fmt.Sprintf("h%d.example", n)}); {
				case got.Result == "locked":
					told.Add(1)
				case strings.Contains(got.Observed, "budget used up, 60 checks a minute"):
					over.Add(1)
				}
			})
		}
		wg.Wait()
		if told.Load() != 30 || over.Load() != 9970 || c.runs.Load() != 30 {
			t.Errorf("%d told, %d over the budget, %d runs", told.Load(), over.Load(), c.runs.Load())
		}
		if c.most.Load() != maxAtOnce {
			t.Errorf("%d ran at once, want %d", c.most.Load(), maxAtOnce)
		}
	})
}

func TestRunnerDenied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, c := testRunner(t, 0, 60)
		got, _ := r.Run(t.Context(), Hello, Target{Address: "169.254.169.254"})
		if got.Verdict != diagnose.Inconclusive || !strings.Contains(got.Observed, "metadata") || c.runs.Load() != 0 {
			t.Errorf("got %+v, %d runs", got, c.runs.Load())
		}
		if got, want := r.Stats(), (Stats{Denied: 1}); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
		if got, _ := r.Run(t.Context(), "telepathy", Target{}); got.Verdict != diagnose.Inconclusive {
			t.Errorf("a kind that is none: %+v", got)
		}
	})
}

// TestRunnerEnds: a probe is stopped at the longest time, when nobody waits for
// it any more, and with the Runner.
func TestRunnerEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, c := testRunner(t, time.Hour, 60)
		if got, took := r.Run(t.Context(), Hello, device(1)); got.Verdict != diagnose.Inconclusive || took != MaxProbe {
			t.Errorf("an endless probe: %+v after %s", got, took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		began := time.Now()
		if got, _ := r.Run(ctx, Hello, device(2)); got.Verdict != diagnose.Inconclusive || time.Since(began) != time.Second {
			t.Errorf("a caller that goes: %+v after %s", got, time.Since(began))
		}
		synctest.Wait()
		if c.running.Load() != 0 {
			t.Error("a probe that nobody waits for still runs")
		}
		// What was stopped answers for nobody else.
		c.takes = 0
		if got, _ := r.Run(t.Context(), Hello, device(2)); got.Result != "locked" {
			t.Errorf("after one that was stopped: %+v", got)
		}
		c.takes = time.Hour
		time.AfterFunc(time.Second, r.Close)
		if got, _ := r.Run(t.Context(), Hello, device(3)); got.Verdict != diagnose.Inconclusive {
			t.Errorf("the end of the Runner: %+v", got)
		}
		if got, _ := r.Run(t.Context(), Hello, device(4)); got.Verdict != diagnose.Inconclusive || c.running.Load() != 0 {
			t.Errorf("after its end: %+v", got)
		}
	})
}

// TestRunnerOneStays: a check goes on while somebody waits for it.
func TestRunnerOneStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := testRunner(t, 2*time.Second, 60)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		var wg sync.WaitGroup
		wg.Go(func() {
			if got, _ := r.Run(ctx, Hello, device(1)); got.Verdict != diagnose.Inconclusive {
				t.Errorf("who goes got %+v", got)
			}
		})
		wg.Go(func() {
			if got, _ := r.Run(t.Context(), Hello, device(1)); got.Result != "locked" {
				t.Errorf("who stays got %+v", got)
			}
		})
		wg.Wait()
	})
}

// TestRunnerReal: real probes, many callers, and nothing is left running.
func TestRunnerReal(t *testing.T) {
	open, closed := listening(t), refused(t)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	r := New(Options{Site: Site{CloudHosts: []string{open, closed}, Synced: kernel(false, false)}, Timeout: shortTry})
	defer r.Close()
	want := map[string]string{"": "open", open: "open", closed: "refused"}
	var wg sync.WaitGroup
	for range 20 {
		for address, result := range want {
			wg.Go(func() {
				if got, _ := r.Run(t.Context(), TCP, Target{Address: address}); got.Result != result {
					t.Errorf("%q: %+v, want %s", address, got, result)
				}
			})
		}
	}
	wg.Wait()
	if got := r.Stats(); got.Started != 3 || got.Shared != 57 {
		t.Errorf("%+v, want 3 that ran", got)
	}
	if got, _ := r.Run(t.Context(), HTTP, Target{Address: "http://" + closed + "/"}); got.Verdict != diagnose.Inconclusive || strings.Contains(got.Observed, "not aimed at") {
		t.Errorf("a URL of a permitted host: %+v", got)
	}
}

// TestRunnerCost: a check that asks many takes more of the budget, and one that
// would take more than there ever is still runs.
func TestRunnerCost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := Site{Resolvers: []string{"192.0.2.1", "192.0.2.2"}, Reference: "192.0.2.3", CloudHosts: []string{"a.example", "b.example"}}
		none := func(context.Context, Target) Answer { return found(DNS, "x", "answered", "answered", "answered") }
		r := New(Options{Site: site, PerMinute: 20, Targets: AnyTarget(), Probes: map[Kind]Func{DNS: none}})
		defer r.Close()
		for _, c := range []struct {
			target string
			cost   uint64
			ran    bool
		}{{"", 6, true}, {"a.example", 9, true}, {"b.example", 9, false}, {"192.0.2.9", 9, false}} {
			got, _ := r.Run(t.Context(), DNS, Target{Address: c.target})
			if r.Stats().Cost != c.cost || (got.Result == "answered") != c.ran {
				t.Errorf("%q: %+v, cost so far %d, want %d", c.target, got, r.Stats().Cost, c.cost)
			}
		}
		small := New(Options{Site: site, PerMinute: 1, Probes: map[Kind]Func{DNS: none}})
		defer small.Close()
		if got, _ := small.Run(t.Context(), DNS, Target{}); got.Result != "answered" {
			t.Errorf("a budget of 1: %+v", got)
		}
	})
}
