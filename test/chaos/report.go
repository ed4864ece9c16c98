package main

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"
)

// machine says where figures are from.
func machine() string {
	return fmt.Sprintf("%d cores, Go %s; Mosquitto on loopback", runtime.NumCPU(), strings.TrimPrefix(runtime.Version(), "go"))
}

// runTable has a column for each run.
func runTable(results []result) string { //nolint:funlen // a line is a row
	b := &strings.Builder{}
	fmt.Fprintf(b, "%s, %s, QoS 1.\n", today(), machine())
	row := func(name string, value func(r *result) string) {
		b.WriteString("| " + name + " |")
		for i := range results {
			b.WriteString(" " + value(&results[i]) + " |")
		}
		b.WriteString("\n")
	}
	number := func(name string, value func(r *result) int) {
		row(name, func(r *result) string { return fmt.Sprint(value(r)) })
	}
	b.WriteString("\n")
	row("seed", func(r *result) string { return fmt.Sprint(r.seed) })
	b.WriteString("|---|" + strings.Repeat("---|", len(results)) + "\n")
	row("mode", func(r *result) string { return r.mode })
	row("broker's persistence", func(r *result) string { return r.keeps })
	row("time", func(r *result) string { return r.took.Round(time.Second).String() })
	number("faults", func(r *result) int { return len(r.faults) })
	number("ids sent", func(r *result) int { return r.sent })
	number("acknowledged by the broker", func(r *result) int { return r.broker })
	number("given to the agent", func(r *result) int { return r.given })
	number("acknowledged by the agent", func(r *result) int { return r.agent })
	number("decided (in the store)", func(r *result) int { return r.decided })
	number("delivered to the app", func(r *result) int { return r.delivered })
	number("lost by the broker, on the way in", func(r *result) int { return r.lostBroker })
	number("lost between the broker and an agent that was killed", func(r *result) int { return r.lostFlight })
	number("lost with a damaged store, and said", func(r *result) int { return r.lostDamaged })
	number("events lost with a damaged store, and said", func(r *result) int { return r.gone })
	number("**lost by the agent**", func(r *result) int { return r.lostAgent })
	number("events decided", func(r *result) int { return r.events })
	number("**events decided and not delivered**", func(r *result) int { return r.lostEvents })
	number("events given up from a full outbox, and said", func(r *result) int { return r.givenUp })
	row("epochs of the store (it was damaged on purpose)", func(r *result) string { return fmt.Sprintf("%d (%d times)", r.epochs, r.damages) })
	number("events that came under the id of a later epoch", func(r *result) int { return r.renumbered })
	number("of these forgotten by the broker after its acknowledgement", func(r *result) int { return r.forgotten })
	number("missed by an app that is away now and then", func(r *result) int { return r.missed })
	row("repeats at the app (sent again by the agent)", func(r *result) string { return fmt.Sprintf("%d (%d)", r.repeats, r.sentAgain) })
	row("sent again at most, where only the agent is killed", func(r *result) string {
		limit, bounded := r.repeatsAllowed()
		if !bounded {
			return "–"
		}
		return fmt.Sprintf("%d kills × (%d + %d) = %d", r.kills, r.burst, sendWindow, limit)
	})
	number("raised again after an old message", func(r *result) int { return r.raisedAgain })
	number("**out of order by seq**", func(r *result) int { return len(r.disorder) })
	number("**wrong contents**", func(r *result) int { return len(r.wrong) })
	number("**the agent ended by itself**", func(r *result) int { return len(r.exits) })
	row("recovery p50 / p99", func(r *result) string { return recovery(r.recoveries(func(described) bool { return true })) })
	row("memory, peak", func(r *result) string { return fmt.Sprintf("%.1f MiB", r.usage.peak) })
	row("memory, slope", func(r *result) string {
		if !r.usage.long {
			return "run too short"
		}
		return fmt.Sprintf("%+.2f MiB/h", r.usage.slope)
	})
	row("goroutines / descriptors, drift", func(r *result) string {
		return fmt.Sprintf("%+.0f / %+.0f", r.usage.goroutines, r.usage.fds)
	})
	row("promises kept", func(r *result) string {
		return kept(r.failures())
	})
	findings(b, results)
	return b.String()
}

func recovery(took []time.Duration) string {
	if len(took) == 0 {
		return "–"
	}
	return short(quantile(took, 50)) + " / " + short(quantile(took, 99))
}

// faultLines has a line for each fault that was injected, over all runs.
func faultLines(results []result) []line {
	var lines []line
	for _, d := range allFaults() {
		var took, noticed []time.Duration
		var used, broken []string
		times, hung, lost, exits := 0, 0, 0, 0
		for i := range results {
			r := &results[i]
			took = append(took, r.recoveries(func(other described) bool { return other.fault == d.fault })...)
			noticed = append(noticed, r.noticed[d.fault]...)
			for _, o := range r.faults {
				if o.fault != d.fault {
					continue
				}
				if times++; o.hung {
					hung++
				}
				exits += o.exits
				lost += o.lost
				if !slices.Contains(used, r.mode) {
					used = append(used, r.mode)
					broken = append(broken, r.failures()...)
				}
			}
		}
		if times == 0 {
			continue
		}
		slices.Sort(took)
		slices.Sort(noticed)
		figure := fmt.Sprintf("%d times; recovery p50 / p99 %s; without recovery %d; lost by the agent %d; ended by itself %d",
			times, recovery(took), hung, lost, exits)
		if len(noticed) > 0 {
			figure += "; named after " + recovery(noticed)
		}
		if len(broken) > 0 {
			figure += ". Broken in these runs: " + firstLine(broken[0])
		}
		slow := len(took) > 0 && quantile(took, 99) > d.within
		lines = append(lines, line{
			matrix: d.matrix, mode: strings.Join(used, ", "), fault: string(d.fault), injection: d.injection, promise: d.expect,
			figure: figure, held: hung+lost+exits+len(broken) == 0 && !slow && (d.named == "" || len(noticed) == times), date: today(),
		})
	}
	return lines
}

// findings names the promises that did not hold.
func findings(b *strings.Builder, results []result) {
	for i := range results {
		r := &results[i]
		for _, line := range r.failures() {
			fmt.Fprintf(b, "\n* seed %d, %s, persistence %s: %s", r.seed, r.mode, r.keeps, firstLine(line))
		}
	}
	b.WriteString("\n")
}
