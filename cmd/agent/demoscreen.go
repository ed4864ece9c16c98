package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"fieldmedic/internal/diagnose"
)

// demoScreen prints what the agent publishes, as an app would learn it: from
// diagnostics/#. An event tells what changed, and the snapshot that follows it
// tells what to do.
type demoScreen struct {
	stdout io.Writer
	// lines and messages come from other goroutines and are taken by run.
	lines    chan string
	messages chan paho.Message
	stop     chan struct{}

	snapshots map[diagnose.DeviceID]diagnose.SnapshotJSON
	// waiting events have no snapshot yet that knows them.
	waiting []waitingEvent
	// shown is what was last printed of each open diagnosis, by id.
	shown map[string]diagnose.Diagnosis
}

type waitingEvent struct {
	diagnose.Event
	since time.Time
}

// demoPatience is how long an event waits for its snapshot.
const demoPatience = 2 * time.Second

func newDemoScreen(stdout io.Writer) *demoScreen {
	return &demoScreen{
		stdout: stdout, lines: make(chan string, 16), messages: make(chan paho.Message, 256), stop: make(chan struct{}),
		snapshots: make(map[diagnose.DeviceID]diagnose.SnapshotJSON), shown: make(map[string]diagnose.Diagnosis),
	}
}

// listen subscribes at the broker.
func (s *demoScreen) listen(ctx context.Context, broker string) (func(), error) {
	client, err := demoClient(ctx, broker, "demo-screen", func(m paho.Message) {
		select {
		case s.messages <- m:
		case <-s.stop:
		}
	})
	if err != nil {
		return nil, err
	}
	var once sync.Once
	end := func() {
		once.Do(func() { close(s.stop) }) // lets a handler go that waits
		client.Disconnect(100)
	}
	if err := demoWait(ctx, client.Subscribe("diagnostics/#", 1, nil)); err != nil {
		end()
		return nil, fmt.Errorf("subscribe at the demo's broker: %w", err)
	}
	return end, nil
}

// tell prints what happens on the site.
func (s *demoScreen) tell(story string) {
	select {
	case s.lines <- story:
	case <-s.stop:
	}
}

// introduce says what is simulated, and where to look.
func (s *demoScreen) introduce(a *agent) error {
	_, port, err := net.SplitHostPort(a.brokerListeners[0].Addr().String())
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.stdout, `Simulated site: 12 devices in 2 rooms; name server, main board, pairing, lock and Wi-Fi fail and heal in a loop.
Page: http://%s/  (or: fieldmedic list --socket %s)
Broker: 127.0.0.1:%s; watch it with: mosquitto_sub -h 127.0.0.1 -p %s -t 'diagnostics/#' -v   Ctrl-C ends the demo.

`, a.listeners[0].Addr(), socketPath(a.setup().cfg), port, port)
	return err
}

// run prints until ctx ends.
func (s *demoScreen) run(ctx context.Context) error {
	ticker := time.NewTicker(demoPatience / 4)
	defer ticker.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			_, err = fmt.Fprintln(s.stdout, "\nThe demo ends.")
			return err
		case line := <-s.lines:
			_, err = fmt.Fprintf(s.stdout, "%s  site: %s\n", demoClock(time.Now()), line)
		case m := <-s.messages:
			err = s.take(m)
		case <-ticker.C:
		}
		if err == nil {
			err = s.flush(time.Now())
		}
		if err != nil {
			return err
		}
	}
}

// take reads a message; events wait for their snapshot.
func (s *demoScreen) take(m paho.Message) error {
	parts := strings.Split(m.Topic(), "/")
	if len(parts) < 3 || len(m.Payload()) == 0 {
		return nil
	}
	switch parts[2] {
	case "device", "site":
		var snapshot diagnose.SnapshotJSON
		if err := json.Unmarshal(m.Payload(), &snapshot); err != nil {
			return fmt.Errorf("read the snapshot on %s: %w", m.Topic(), err)
		}
		s.snapshots[snapshot.Device] = snapshot
	case "event":
		event := waitingEvent{since: time.Now()}
		if err := json.Unmarshal(m.Payload(), &event.Event); err != nil {
			return fmt.Errorf("read an event: %w", err)
		}
		if event.Diagnosis != nil {
			s.waiting = append(s.waiting, event)
		}
	}
	return nil
}

// flush prints the events that need not wait any more, in their order.
func (s *demoScreen) flush(now time.Time) error {
	for len(s.waiting) > 0 {
		e := s.waiting[0]
		advice, known := s.advice(e.Event)
		if !known && now.Sub(e.since) < demoPatience {
			return nil
		}
		s.waiting = s.waiting[1:]
		text := demoLines(e.Event, s.shown[e.Diagnosis.ID], advice)
		s.shown[e.Diagnosis.ID] = *e.Diagnosis
		if !e.Diagnosis.Open() {
			delete(s.shown, e.Diagnosis.ID)
		}
		if _, err := io.WriteString(s.stdout, text); err != nil {
			return err
		}
	}
	return nil
}

// advice finds what to do about the diagnosis of an event; not known while the
// snapshot is older than the event.
func (s *demoScreen) advice(e diagnose.Event) (diagnose.Advice, bool) {
	snapshot, ok := s.snapshots[e.Diagnosis.Device]
	if !ok || snapshot.UpdatedAt.Before(e.At.Time) {
		return diagnose.Advice{}, false
	}
	for _, d := range snapshot.Diagnoses {
		if d.ID == e.Diagnosis.ID {
			advice, _ := adviceIn("", d)
			return advice, true
		}
	}
	return diagnose.Advice{}, true
}

// demoLines tells an event in two lines: what, and the likely cause with the
// first step; in one where nothing is to be done, or still the same.
func demoLines(e diagnose.Event, before diagnose.Diagnosis, advice diagnose.Advice) string {
	d := e.Diagnosis
	line := fmt.Sprintf("%s  %-7s  %s: %s", demoClock(e.At.Time), strings.ToUpper(string(e.Type)),
		visible(cmp.Or(string(d.Device), "(site)")), d.Title)
	switch e.Type {
	case diagnose.Changed:
		line += " (" + cmp.Or(strings.Join(differences(before, *d), ", "), "changed") + ")"
		if before.Leading().Cause == d.Leading().Cause {
			return line + "\n"
		}
	case diagnose.Cleaned:
		return line + fmt.Sprintf(" (%s, after %s)\n", endedBy(d.ClearedBy), ago(d.ClearedAt.Sub(d.FirstSeen.Time)))
	case diagnose.Raised:
		if d.Flapping != nil {
			line += " (comes and goes: it is told once)"
		}
	case diagnose.Dropped:
	}
	cause := d.Leading()
	line += fmt.Sprintf("\n%-10s%-9s%s: %s.", "", "", verdictWord(cause.Verdict), strings.ReplaceAll(cause.Cause, "-", " "))
	if steps := stepsFor(advice, d.Audience); len(steps) > 0 {
		line += " First step: " + steps[0].Title
	}
	return line + "\n"
}

func demoClock(t time.Time) string { return t.Local().Format(time.TimeOnly) }
