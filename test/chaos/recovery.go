package main

import (
	"slices"
	"time"
)

// limits are the different promises of recovery.
func limits() []time.Duration {
	var list []time.Duration
	for _, d := range allFaults() {
		if !slices.Contains(list, d.within) {
			list = append(list, d.within)
		}
	}
	return list
}

// recoveries of some faults, in order.
func (r *result) recoveries(of func(described) bool) []time.Duration {
	var took []time.Duration
	for _, d := range allFaults() {
		for _, o := range r.faults {
			if o.fault == d.fault && of(d) && o.took > 0 {
				took = append(took, o.took)
			}
		}
	}
	slices.Sort(took)
	return took
}

// quantile of a sorted list, which is not empty: the smallest value that so
// many of a hundred do not exceed.
func quantile(sorted []time.Duration, percent int) time.Duration {
	return sorted[max(0, (len(sorted)*percent+99)/100-1)]
}

func short(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}
