package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// sample is what the agent took at one time.
type sample struct {
	at              time.Time
	life            int
	age             time.Duration
	rss, heap       float64 // MiB
	goroutines, fds float64
	outbox          float64
	connected       float64
}

// quiet: there is nothing to do, and everything stands.
func (s *sample) quiet() bool { return s.connected == 1 && s.outbox == 0 }

// watcher reads the agent's log of events and its metrics while it runs.
type watcher struct {
	agent  *agent
	ledger *ledger

	mu      sync.Mutex
	samples []sample
	read    map[string]int64 // up to where the log was read, by epoch
}

const (
	watchEvery = 500 * time.Millisecond
	// warmUp is how long an agent may take memory before its slope counts.
	warmUp = 10 * time.Second
)

func (w *watcher) run(ctx context.Context) {
	for ctx.Err() == nil {
		_ = w.look(ctx) // an agent that is down is asked again
		pause(ctx, watchEvery)
	}
}

// look takes one sample and reads on in the log. An agent that is down or
// frozen is asked again later.
func (w *watcher) look(ctx context.Context) error {
	err := w.take(ctx)
	if err == nil {
		err = w.readOn(ctx)
	}
	return err
}

func (w *watcher) take(ctx context.Context) error {
	number, age, pid := w.agent.running()
	answer, err := w.agent.get(ctx, "/metrics")
	if err != nil {
		return err
	}
	s := sample{at: time.Now(), life: number, age: age}
	for _, m := range []struct {
		name string
		to   *float64
	}{
		{"go_goroutines", &s.goroutines},
		{"process_open_fds", &s.fds},
		{"fieldmedic_outbox_events", &s.outbox},
		{"fieldmedic_mqtt_connected", &s.connected},
	} {
		*m.to = metric(answer, m.name)
	}
	s.rss = resident(pid)
	w.mu.Lock()
	w.samples = append(w.samples, s)
	w.mu.Unlock()
	return nil
}

// again forgets how far the log was read: it may not be what it was.
func (w *watcher) again() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.read)
}

func (w *watcher) readOn(ctx context.Context) error {
	epoch, err := w.agent.epoch(ctx)
	if err != nil {
		return err
	}
	for {
		w.mu.Lock()
		after := w.read[epoch]
		w.mu.Unlock()
		list, err := w.agent.events(ctx, after)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, b := range list {
			w.ledger.stored(b)
		}
		w.mu.Lock()
		w.read[epoch] = list[len(list)-1].Seq
		w.mu.Unlock()
	}
}

// last is the newest sample.
func (w *watcher) last() sample {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.samples) == 0 {
		return sample{}
	}
	return w.samples[len(w.samples)-1]
}

// metric reads one value without labels.
func metric(text []byte, name string) float64 {
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			f, err := strconv.ParseFloat(value, 64)
			if err == nil {
				return f
			}
		}
	}
	return 0
}

// resident is the process's memory in MiB (proc(5), VmRSS).
func resident(pid int) float64 { return memoryOf(pid, "VmRSS:") }

func memoryOf(pid int, field string) float64 {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.SplitSeq(string(content), "\n") {
		if value, ok := strings.CutPrefix(line, field); ok {
			kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
			if err == nil {
				return kib / 1024
			}
		}
	}
	return 0
}

// usage is what became of memory, goroutines and descriptors over a run.
type usage struct {
	peak            float64 // MiB
	slope           float64 // MiB an hour, of samples after the warm-up; only of a long run
	long            bool
	goroutines, fds float64 // last quiet sample less the first after a warm-up
}

// slopeTime is how long a run must be for its slope to mean anything.
const slopeTime = 10 * time.Minute

func (w *watcher) usage() usage {
	w.mu.Lock()
	defer w.mu.Unlock()
	var u usage
	var warm []sample
	for _, s := range w.samples {
		u.peak = max(u.peak, s.rss)
		if s.quiet() && (s.age > warmUp || len(warm) == 0) {
			warm = append(warm, s)
		}
	}
	if len(warm) < 2 {
		return u
	}
	first, last := warm[0], warm[len(warm)-1]
	u.goroutines, u.fds = last.goroutines-first.goroutines, last.fds-first.fds
	u.long = last.at.Sub(first.at) >= slopeTime
	u.slope = slope(warm)
	return u
}

// slope is that of the least squares through memory over time, in MiB an hour.
func slope(list []sample) float64 {
	var n, sx, sy, sxx, sxy float64
	for _, s := range list {
		x := s.at.Sub(list[0].at).Hours()
		n, sx, sy, sxx, sxy = n+1, sx+x, sy+s.rss, sxx+x*x, sxy+x*s.rss
	}
	if d := n*sxx - sx*sx; d != 0 {
		return (n*sxy - sx*sy) / d
	}
	return 0
}

// peakMemory is the most memory that a process had since it was last reset, in
// MiB (proc(5), VmHWM).
func peakMemory(pid int) float64 { return memoryOf(pid, "VmHWM:") }

// resetPeak begins a new peak (proc(5), clear_refs).
func resetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0o200)
}
