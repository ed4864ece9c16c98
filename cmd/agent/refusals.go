package main

import (
	"log/slog"
	"maps"
	"slices"
	"sync"

	"fieldmedic/internal/diagnose"
)

// samplesKept of each reason: the first ones, for later ones are like them.
const samplesKept = 20

// refusals keeps the first samples of refused input, by reason.
type refusals struct {
	log     *slog.Logger
	mu      sync.Mutex
	samples map[diagnose.Refusal][]diagnose.RefusedInput
}

// add keeps a sample, and logs the first of its reason.
func (r *refusals) add(in diagnose.RefusedInput) {
	r.mu.Lock()
	kept := len(r.samples[in.Reason])
	if kept < samplesKept {
		r.samples[in.Reason] = append(r.samples[in.Reason], in)
	}
	r.mu.Unlock()
	if kept == 0 {
		r.log.Warn("input was refused; more of this reason is only counted",
			"reason", in.Reason, "topic", in.Topic, "bytes", in.Bytes, "sample", in.Sample)
	}
}

// list answers all samples, by reason.
func (r *refusals) list() []diagnose.RefusedInput {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []diagnose.RefusedInput
	for _, reason := range slices.Sorted(maps.Keys(r.samples)) {
		all = append(all, r.samples[reason]...)
	}
	return all
}
