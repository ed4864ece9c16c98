package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"fieldmedic/internal/diagnose"
)

// TestDemoRuns runs the demo as a user does, and stops it when all kinds of
// trouble were told.
func TestDemoRuns(t *testing.T) {
	tmp, runtime := t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", tmp)
	t.Setenv("RUNTIME_DIRECTORY", runtime)
	t.Setenv("FIELDMEDIC_MQTT_LISTEN", "203.0.113.1:1883") // the real service's; no business of the demo
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	stdout, stderr := new(syncBuffer), new(syncBuffer)
	code, started := make(chan int, 1), time.Now()
	go func() { code <- execute(ctx, []string{"demo"}, stdout, stderr) }()
	raised := func(id string) func() bool {
		told := regexp.MustCompile(`RAISED +` + id + `: .+\n +\S+: .+\. First step: \S+`)
		return func() bool { return told.MatchString(stdout.String()) }
	}
	eventually(t, "the first diagnosis", raised("living-lamp"))
	if took := time.Since(started); took > 5*time.Second {
		t.Errorf("the first diagnosis came after %s", took)
	}
	for _, id := range []string{"kitchen-boiler", "living-ac", "living-remote", "living-plug-tv", "kitchen-plug-kettle"} {
		eventually(t, id, raised(id))
	}
	eventually(t, "something clears", func() bool {
		return strings.Contains(stdout.String(), "CLEARED  kitchen-plug-kettle: ")
	})
	stop()
	select {
	case exit := <-code:
		if exit != 0 {
			t.Errorf("exit code %d, want 0", exit)
		}
	case <-time.After(15 * time.Second):
		t.Fatal("the demo does not end")
	}
	checkDemoOutput(t, stdout.String(), stderr.String())
	for _, dir := range []string{tmp, runtime} {
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("left in %s: %v, %v", dir, left, err)
		}
	}
	if got := os.Getenv("RUNTIME_DIRECTORY"); got != runtime {
		t.Errorf("RUNTIME_DIRECTORY is %q after the demo, want %q", got, runtime)
	}
}

func checkDemoOutput(t *testing.T, stdout, stderr string) {
	t.Helper()
	head := strings.SplitN(stdout, "\n", 5)
	for i, want := range []string{
		`^Simulated site: 12 devices in 2 rooms`, `^Page: http://127\.0\.0\.1:\d+/`,
		`^Broker: 127\.0\.0\.1:(\d+); .*mosquitto_sub -h 127\.0\.0\.1 -p \d+ -t 'diagnostics/#' -v`, `^$`,
	} {
		if !regexp.MustCompile(want).MatchString(head[i]) {
			t.Errorf("line %d is %q, want %s", i+1, head[i], want)
		}
	}
	if stderr != "" {
		t.Errorf("stderr: %s", stderr)
	}
	if t.Failed() {
		t.Log(stdout)
	}
}

func TestDemoRefusesNoTime(t *testing.T) {
	for _, d := range []string{"0s", "-1m", "soon"} {
		var stderr syncBuffer
		if code := execute(t.Context(), []string{"demo", "--for", d}, &stderr, &stderr); code != exitUsage {
			t.Errorf("--for %s: exit code %d, want %d (%s)", d, code, exitUsage, stderr.String())
		}
	}
}

// TestDemoStory runs three hours of the site through the rules in virtual
// time: what is diagnosed is what the story says, and only the plug flaps.
func TestDemoStory(t *testing.T) {
	const hours = 3 * time.Hour
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	file := filepath.Join(t.TempDir(), "site.jsonl")
	var lines strings.Builder
	reporters := make(map[string]bool)
	last := time.Duration(0)
	for e := range demoTraffic {
		if e.at > hours {
			break
		}
		if e.at < last {
			t.Fatalf("an event at %s comes after one at %s", e.at, last)
		}
		last = e.at
		if e.story != "" {
			continue
		}
		reporters[e.device.id] = true
		payload, err := e.device.payload(start.Add(e.at))
		if err != nil {
			t.Fatal(err)
		}
		line, err := json.Marshal(map[string]any{
			"at": start.Add(e.at), "topic": "devices/" + e.device.id + "/status", "payload": string(payload),
		})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&lines, "%s\n", line)
	}
	if len(reporters) != 12 {
		t.Errorf("%d devices report, want 12", len(reporters))
	}
	if err := os.WriteFile(file, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	checkDemoEvents(t, replayEvents(t, file), int(hours/demoPass))
}

func replayEvents(t *testing.T, file string) []diagnose.Event {
	t.Helper()
	var stdout, stderr syncBuffer
	if code := execute(t.Context(), []string{"replay", file}, &stdout, &stderr); code != 0 {
		t.Fatalf("replay: exit code %d: %s", code, stderr.String())
	}
	var events []diagnose.Event
	decoder := json.NewDecoder(strings.NewReader(stdout.String()))
	for decoder.More() {
		var e diagnose.Event
		if err := decoder.Decode(&e); err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	return events
}

func checkDemoEvents(t *testing.T, events []diagnose.Event, rounds int) {
	t.Helper()
	raised, confirmed := make(map[string]int), make(map[string]bool)
	var flapping []string
	repaired := false
	for _, e := range events {
		d := e.Diagnosis
		switch e.Type {
		case diagnose.Raised:
			raised[d.Condition]++
			if d.Flapping != nil {
				flapping = append(flapping, string(d.Device)+" "+d.Condition)
			}
		case diagnose.Changed:
			confirmed[d.Condition] = confirmed[d.Condition] || d.Status == diagnose.Confirmed
			repaired = repaired || d.Condition == "control-id-wrong" && d.Action == diagnose.ActRepair ||
				d.Condition == "control-key-expired" && d.Action == diagnose.ActRepair
		case diagnose.Cleaned, diagnose.Dropped:
		}
	}
	for condition, each := range map[string]int{
		"dns-resolution-failed": 3, "mainboard-no-response": 1, "control-key-expired": 1, "control-id-wrong": 1, "authentication-failed": 1,
	} {
		if got := raised[condition]; got < rounds*each || got > (rounds+1)*each {
			t.Errorf("%s was raised %d times in %d rounds, want %d each", condition, got, rounds, each)
		}
		if !confirmed[condition] {
			t.Errorf("%s was never confirmed", condition)
		}
	}
	if !repaired {
		t.Error("the re-paired remote never led to re-pair")
	}
	if len(raised) != 6 {
		t.Errorf("conditions: %v, want those five and device-offline", raised)
	}
	if len(flapping) == 0 || slices.ContainsFunc(flapping, func(s string) bool { return s != "kitchen-plug-kettle device-offline" }) {
		t.Errorf("flapping: %v, want the kettle's plug only", flapping)
	}
}
