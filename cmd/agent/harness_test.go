package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"fieldmedic/internal/diagnose"
	"fieldmedic/test/mosquitto"
)

// running is the whole program, in this process, on free ports and a state
// directory of its own.
type running struct {
	t          *testing.T
	mqtt, page string // HOST:PORT
	state      string
	stderr     *syncBuffer
	stop       func() int // ends it and answers the exit code
}

// syncBuffer may be read while it is written.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func freePort(t *testing.T) int {
	t.Helper()
	port, err := mosquitto.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// startAgent runs `fieldmedic run` with the given configuration text and flags,
// and waits until it is ready.
func startAgent(t *testing.T, config string, flags ...string) *running {
	t.Helper()
	r := launchAgent(t, config, flags...)
	r.waitReady()
	return r
}

func launchAgent(t *testing.T, config string, flags ...string) *running {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "fieldmedic.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	r := &running{
		t: t, mqtt: fmt.Sprintf("127.0.0.1:%d", freePort(t)), page: fmt.Sprintf("127.0.0.1:%d", freePort(t)),
		state: filepath.Join(dir, "state"), stderr: &syncBuffer{},
	}
	args := append([]string{
		"run", "--config", file, "--gateway", "gw-01", "--mqtt-listen", r.mqtt, "--web-listen", r.page, "--state-dir", r.state,
	}, flags...)
	ctx, cancel := context.WithCancel(context.Background())
	code := make(chan int, 1)
	go func() { code <- execute(ctx, args, io.Discard, r.stderr) }()
	var once sync.Once
	exit := -1
	r.stop = func() int {
		once.Do(func() {
			cancel()
			select {
			case exit = <-code:
			case <-time.After(20 * time.Second):
				t.Error("the agent does not end")
			}
		})
		return exit
	}
	t.Cleanup(func() {
		r.stop()
		if t.Failed() {
			t.Log("the agent said:\n" + r.stderr.String())
		}
	})
	return r
}

func (r *running) waitReady() {
	r.t.Helper()
	eventually(r.t, "the agent is ready", func() bool {
		resp, err := http.Get("http://" + r.page + "/readyz")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

func (r *running) get(path string) string {
	r.t.Helper()
	resp, err := http.Get("http://" + r.page + path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		r.t.Fatalf("GET %s: %s: %s", path, resp.Status, body)
	}
	return string(body)
}

// metric is the value of a line of /metrics, or "" when there is none.
func (r *running) metric(line string) string {
	for l := range strings.SplitSeq(r.get("/metrics"), "\n") {
		if value, ok := strings.CutPrefix(l, line+" "); ok {
			return value
		}
	}
	return ""
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 15 s: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// app is a program that reads diagnostics, and devices that report.
type app struct {
	t      *testing.T
	client paho.Client
	mu     sync.Mutex
	events []diagnose.Event
	// raw payloads by topic, in order.
	topics map[string][]string
	at     map[string]time.Time
}

// connectApp connects to a broker at HOST:PORT and subscribes to everything
// that the agent publishes.
func connectApp(t *testing.T, address string, more ...func(*paho.ClientOptions)) *app {
	t.Helper()
	a := &app{t: t, topics: make(map[string][]string), at: make(map[string]time.Time)}
	opts := paho.NewClientOptions().AddBroker("mqtt://" + address).SetClientID("app").SetAutoReconnect(false)
	for _, set := range more {
		set(opts)
	}
	a.client = paho.NewClient(opts)
	if token := a.client.Connect(); !token.WaitTimeout(5*time.Second) || token.Error() != nil {
		t.Fatal("the app cannot connect:", token.Error())
	}
	t.Cleanup(func() { a.client.Disconnect(10) })
	token := a.client.Subscribe("diagnostics/#", 1, func(_ paho.Client, m paho.Message) { a.take(m) })
	if !token.WaitTimeout(5*time.Second) || token.Error() != nil {
		t.Fatal("the app cannot subscribe:", token.Error())
	}
	return a
}

func (a *app) take(m paho.Message) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.topics[m.Topic()] = append(a.topics[m.Topic()], string(m.Payload()))
	a.at[m.Topic()] = time.Now()
	if !strings.HasSuffix(m.Topic(), "/event") {
		return
	}
	var ev diagnose.Event
	if err := json.Unmarshal(m.Payload(), &ev); err != nil {
		a.t.Errorf("event %s: %v", m.Payload(), err)
	}
	a.events = append(a.events, ev)
}

// report publishes what a device says, QoS 1.
func (a *app) report(topic, payload string) { a.publish(topic, payload, false) }

func (a *app) publish(topic, payload string, retained bool) {
	a.t.Helper()
	token := a.client.Publish(topic, 1, retained, payload)
	if !token.WaitTimeout(10*time.Second) || token.Error() != nil {
		a.t.Fatalf("publish %s: %v", topic, token.Error())
	}
}

// seen are the events of a device so far.
func (a *app) seen(device string) []diagnose.Event {
	a.mu.Lock()
	defer a.mu.Unlock()
	var found []diagnose.Event
	for _, ev := range a.events {
		if ev.Diagnosis != nil && string(ev.Diagnosis.Device) == device {
			found = append(found, ev)
		}
	}
	return found
}

// count of all events so far.
func (a *app) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.events)
}

// last payload of a topic, or "" when none came.
func (a *app) last(topic string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if all := a.topics[topic]; len(all) > 0 {
		return all[len(all)-1]
	}
	return ""
}

func (a *app) payloads(topic string) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]string(nil), a.topics[topic]...)
}

// snapshot is the device's last one.
func (a *app) snapshot(device string) (diagnose.SnapshotJSON, bool) {
	var s diagnose.SnapshotJSON
	text := a.last("diagnostics/gw-01/device/" + device)
	if text == "" {
		return s, false
	}
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		a.t.Errorf("snapshot %s: %v", text, err)
	}
	return s, true
}

func types(events []diagnose.Event) string {
	var all []string
	for _, ev := range events {
		all = append(all, string(ev.Type))
	}
	return strings.Join(all, " ")
}
