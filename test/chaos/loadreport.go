package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// warm are the samples after the warm-up, which is a third of a short run.
func (r *loadRun) warm() []sample {
	after := r.at.Add(min(loadWarm, r.took/3))
	i := slices.IndexFunc(r.samples, func(s sample) bool { return s.at.After(after) })
	if i < 0 {
		return nil
	}
	return r.samples[i:]
}

// drift is the mean of the last tenth less that of the first.
func drift(list []sample, of func(sample) float64) float64 {
	n := max(1, len(list)/10)
	mean := func(part []sample) (m float64) {
		for _, s := range part {
			m += of(s) / float64(len(part))
		}
		return m
	}
	if len(list) == 0 {
		return 0
	}
	return mean(list[len(list)-n:]) - mean(list[:n])
}

// failures are the promises that did not hold.
func (r *loadRun) failures() []string {
	var f finding
	warm := r.warm()
	if len(warm) > 1 && warm[len(warm)-1].at.Sub(warm[0].at) >= loadJudged {
		m := slope(warm)
		f.want(m < slopeLimit, "memory grows by %.2f MiB an hour (less than %.0f is promised)", m, slopeLimit)
	}
	for name, of := range loadDrifts() {
		d := drift(warm, of)
		f.want(math.Abs(d) <= driftLimit, "%s: %+.1f", name, d)
	}
	f.want(len(r.exits) == 0, "the agent ended by itself %d times", len(r.exits))
	f.want(r.ended, "what was sent did not come to rest")
	if r.ended {
		for _, line := range r.accounts() {
			f.want(false, "%s", line)
		}
		f.want(r.unserved == 0 || r.brokerDrop > 0, "%d of %d reports of known devices raised nothing", r.unserved, r.pulses)
	}
	return f.broken
}

// accounts are the sums that do not come out. What a connection ended on may
// have been counted or not: it came again.
func (r *loadRun) accounts() []string {
	var f finding
	given := r.given[0] + r.given[1]
	f.want(r.account.received <= given && r.account.received >= given-r.open,
		"%d messages came to the agent, and it counts %d (%d were open when a connection ended)", given, r.account.received, r.open)
	f.want(r.agentAcked <= r.given[1] && r.agentAcked >= r.given[1]-r.open,
		"%d messages of QoS 1 came to the agent, and it acknowledged %d", r.given[1], r.agentAcked)
	sent := r.sent0 + r.sent1 + int64(r.pulses)
	f.want(sent <= given-r.again+r.brokerDrop, "%d messages were sent, %d came to the agent and the broker dropped %d", sent, given-r.again, r.brokerDrop)
	return f.broken
}

func loadDrifts() map[string]func(sample) float64 {
	return map[string]func(sample) float64{
		"goroutines":  func(s sample) float64 { return s.goroutines },
		"descriptors": func(s sample) float64 { return s.fds },
	}
}

// table writes it in Markdown.
func (r *loadRun) table() string {
	var b strings.Builder
	state := "the whole time"
	if !r.over {
		state = "interrupted, or still running"
	}
	warm := r.warm()
	fmt.Fprintf(&b, "%s, %s; %d devices, %d messages a second asked for; %s.\n\n| measure | figure |\n|---|---|\n", today(), machine(), loadDevices, r.rate, state)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "| %s | %s |\n", name, fmt.Sprintf(format, args...))
	}
	sent := r.sent0 + r.sent1
	row("time", "%s, of which the first %s warm up", r.took.Round(time.Second), min(loadWarm, r.took/3).Round(time.Second))
	row("sent (QoS 1 / QoS 0)", "%d (%d / %d): %.0f a second", sent, r.sent1, r.sent0, float64(sent)/r.took.Seconds())
	row("acknowledged to the devices by the broker", "%d", r.acked1)
	row("dropped by the broker, as its `$SYS` says", "%d", r.brokerDrop)
	row("delivered to the agent (QoS 1 / QoS 0), on the wire", "%d (%d / %d), of these %d again", r.given[0]+r.given[1], r.given[1], r.given[0], r.again)
	row("received, as the agent counts", "%d", r.account.received)
	row("accepted + refused + dropped by the agent", "%d + %d + %d", r.account.received-r.account.refused-r.account.dropped, r.account.refused, r.account.dropped)
	row("acknowledged by the agent, on the wire", "%d", r.agentAcked)
	row("inbound connections", "%d, ended on %d open messages", r.connects, r.open)
	row("events published / received by an app", "%d / %d", r.published, r.events)
	row("a known device's report to its event, p50 / p99", "%s; %d of %d without", r.latency, r.unserved, r.pulses)
	peak := 0.0
	for _, s := range r.samples {
		peak = max(peak, s.rss)
	}
	if len(warm) > 1 {
		span := warm[len(warm)-1].at.Sub(warm[0].at)
		row("memory (RSS): peak, slope after the warm-up", "%.1f MiB, %+.2f MiB/h over %s%s", peak, slope(warm), span.Round(time.Second), tooShort(span))
		row("goroutines, drift", "%+.1f of %.0f", drift(warm, loadDrifts()["goroutines"]), warm[0].goroutines)
		row("descriptors, drift", "%+.1f of %.0f", drift(warm, loadDrifts()["descriptors"]), warm[0].fds)
	}
	row("the agent ended by itself", "%d", len(r.exits))
	list := r.failures()
	row("promises kept", "%s", kept(list))
	for _, l := range list {
		b.WriteString("\n* " + l)
	}
	if len(list) > 0 {
		b.WriteString("\n")
	}
	return b.String()
}

func tooShort(span time.Duration) string {
	if span < loadJudged {
		return " (too short to judge)"
	}
	return ""
}

func kept(broken []string) string {
	if len(broken) == 0 {
		return "yes"
	}
	return fmt.Sprintf("**no: %d broken**", len(broken))
}
