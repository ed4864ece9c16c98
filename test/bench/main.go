// Command bench measures the agent beside a minimal program that only
// publishes again what it receives, against one Mosquitto of its own, in one
// run. Every figure is meant to be read as a ratio of the two: absolute
// numbers are the machine's.
//
//	go run ./test/bench                 prints the table
//	go run ./test/bench -write FILE     and puts it between the marks in FILE
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"fieldmedic/test/mosquitto"
)

// brokerLines is what the broker is told: nothing is kept on its disk, and as
// much may be unacknowledged as the clients allow, so that neither is what is
// measured.
func brokerLines() []string {
	return []string{"persistence false", "max_inflight_messages 1000", "max_queued_messages 0", "set_tcp_nodelay true"}
}

func main() {
	agent := flag.String("agent", "", "the agent's binary (default: built for this run)")
	write := flag.String("write", "", "put the table between the marks of this `file`")
	count := flag.Int("n", 30_000, "messages of each throughput measurement")
	profile := flag.String("profile", "", "keep a CPU profile of the agent in this `file`")
	echo := flag.String("echo", "", "internal: run the echo program at this `broker`")
	flag.Parse()
	var err error
	if *echo != "" {
		err = runEcho(*echo)
	} else {
		err = run(*agent, *write, *profile, *count)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(agent, write, profile string, count int) error {
	dir, err := os.MkdirTemp("", "fieldmedic-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a temporary directory
	if agent == "" {
		agent = filepath.Join(dir, "fieldmedic")
		build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-tags", "profile", "-o", agent, "./cmd/agent")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build the agent: %w: %s", err, out)
		}
	}
	broker, err := mosquitto.Start(mosquitto.Options{Dir: dir, Lines: brokerLines()})
	if err != nil {
		return err
	}
	defer func() { _ = broker.Kill() }() // the run is over
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	go func() { <-interrupted; _ = broker.Kill(); os.Exit(1) }()

	b := &bench{broker: broker, dir: dir, count: count}
	subjects := []subject{agentSubject(agent, dir, profile), echoSubject()}
	var results []result
	for _, s := range subjects {
		r, err := b.measure(s)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		results = append(results, r)
	}
	table := report(results, count)
	fmt.Print(table)
	if write == "" {
		return nil
	}
	return writeBetween(write, table)
}

// Marks in the document that the table stands between.
const (
	beginMark = "<!-- bench: begin -->"
	endMark   = "<!-- bench: end -->"
)

func writeBetween(file, table string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(content), beginMark)
	_, after, ok2 := strings.Cut(rest, endMark)
	if !ok || !ok2 {
		return fmt.Errorf("%s has no marks %s and %s", file, beginMark, endMark)
	}
	return os.WriteFile(file, []byte(before+beginMark+"\n"+table+endMark+after), 0o644) //nolint:gosec // a document
}

// report writes the table in Markdown.
func report(results []result, count int) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s, %d cores, %s, Go %s; Mosquitto on loopback, QoS 1, `max_inflight_messages 1000`, no persistence; state on %s; %d messages a measurement.\n\n",
		time.Now().Format("2006-01-02"), runtime.NumCPU(), cpuModel(), strings.TrimPrefix(runtime.Version(), "go"), fileSystem(os.TempDir()), count)
	agent, echo := results[0], results[1]
	b.WriteString("| measure | fieldmedic | echo | ratio |\n|---|---|---|---|\n")
	row := func(name, unit string, a, e float64, format string) {
		fmt.Fprintf(&b, "| %s | "+format+" %s | ", name, a, unit)
		if e == 0 {
			b.WriteString("– | – |\n")
			return
		}
		fmt.Fprintf(&b, format+" %s | %.2f |\n", e, unit, a/e)
	}
	row("status messages decided a second, each a fresh fault", "/s", agent.fresh.rate, echo.fresh.rate, "%.0f")
	row("the same, 99 of 100 are repeats", "/s", agent.repeats.rate, echo.repeats.rate, "%.0f")
	row("CPU for a million messages, fresh faults", "s", agent.fresh.cpu, echo.fresh.cpu, "%.1f")
	row("CPU for a million messages, repeats", "s", agent.repeats.cpu, echo.repeats.cpu, "%.1f")
	row("publish to event at 1,000 messages a second, median", "ms", agent.p50, echo.p50, "%.2f")
	row("the same, 99th percentile", "ms", agent.p99, echo.p99, "%.2f")
	row("cold start to the first event", "ms", agent.cold, echo.cold, "%.0f")
	row("resident memory, idle", "MiB", agent.idle, echo.idle, "%.1f")
	row("resident memory, 10,000 devices with a fault each", "MiB", agent.full, 0, "%.1f")
	row("peak resident memory of the whole run", "MiB", agent.peak, echo.peak, "%.1f")
	row("binary", "MB", agent.size, 0, "%.1f")
	return b.String()
}
