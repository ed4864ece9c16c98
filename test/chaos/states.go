package main

import (
	"context"
	"encoding/json"
	"strings"
	"time"
)

// says waits until the agent names a state: in its site's snapshot, where its
// own faults stand, or in what it says when it is asked whether it is ready.
func says(ctx context.Context, a *agent, state string, limit time.Duration) (after time.Duration, ok bool) {
	start := time.Now()
	for time.Since(start) < limit && ctx.Err() == nil {
		if names(ctx, a, state) {
			return time.Since(start), true
		}
		pause(ctx, 50*time.Millisecond)
	}
	return time.Since(start), false
}

// names tells whether the agent names a state just now.
func names(ctx context.Context, a *agent, state string) bool {
	if _, err := a.get(ctx, "/readyz"); err != nil && strings.Contains(err.Error(), state) {
		return true
	}
	answer, err := a.get(ctx, "/api/v1/site")
	if err != nil {
		return false
	}
	var site struct {
		Diagnoses []struct {
			Condition string `json:"condition"`
			Status    string `json:"status"`
		} `json:"diagnoses"`
	}
	if json.Unmarshal(answer, &site) != nil {
		return false
	}
	for _, d := range site.Diagnoses {
		if strings.Contains(d.Condition, state) && d.Status != "cleared" {
			return true
		}
	}
	return false
}

// calm waits until the agent is ready and names a state no more.
func calm(ctx context.Context, a *agent, state string, limit time.Duration) (after time.Duration, ok bool) {
	start := time.Now()
	for time.Since(start) < limit && ctx.Err() == nil {
		if _, err := a.get(ctx, "/readyz"); err == nil && !names(ctx, a, state) {
			return time.Since(start), true
		}
		pause(ctx, 50*time.Millisecond)
	}
	return time.Since(start), false
}

// readiness is what the agent says of itself.
func readiness(ctx context.Context, a *agent) string {
	if _, err := a.get(ctx, "/readyz"); err != nil {
		return err.Error()
	}
	return "yes"
}
