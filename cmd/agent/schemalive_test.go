package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"fieldmedic/internal/diagnose"
	"fieldmedic/test/mosquitto"
)

// heard is one message that the agent published, or was sent.
type heard struct {
	topic    string
	payload  []byte
	qos      byte
	retained bool
}

// witness hears everything below diagnostics.
type witness struct {
	t   *testing.T
	mu  sync.Mutex
	all []heard
}

// listen subscribes at QoS 2, so that a message comes with the QoS it was
// published with.
func listen(t *testing.T, address, clientID string) *witness {
	t.Helper()
	w := &witness{t: t}
	client := paho.NewClient(paho.NewClientOptions().AddBroker("mqtt://" + address).SetClientID(clientID).SetAutoReconnect(false))
	if token := client.Connect(); !token.WaitTimeout(5*time.Second) || token.Error() != nil {
		t.Fatal("connect:", token.Error())
	}
	t.Cleanup(func() { client.Disconnect(10) })
	token := client.Subscribe("diagnostics/#", 2, func(_ paho.Client, m paho.Message) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.all = append(w.all, heard{m.Topic(), m.Payload(), m.Qos(), m.Retained()})
	})
	if !token.WaitTimeout(5*time.Second) || token.Error() != nil {
		t.Fatal("subscribe:", token.Error())
	}
	return w
}

func (w *witness) messages() []heard {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.all)
}

// waitFor waits for a message that a situation is in.
func (w *witness) waitFor(what string) {
	w.t.Helper()
	is := situations()[what]
	eventually(w.t, what, func() bool {
		return slices.ContainsFunc(w.messages(), func(m heard) bool { return is(readHeard(m)) })
	})
}

// seen is a message, read: of its parts, those are set that its topic has.
type seen struct {
	topic    string
	payload  string
	state    map[string]any
	info     map[string]any
	response diagnose.Response
	event    diagnose.Event
	snapshot diagnose.SnapshotJSON
}

func readHeard(m heard) seen {
	s := seen{topic: strings.TrimPrefix(m.topic, "diagnostics/gw-01/"), payload: string(m.payload)}
	var into any
	switch {
	case s.topic == "state":
		into = &s.state
	case s.topic == "info":
		into = &s.info
	case s.topic == "event":
		into = &s.event
	case strings.HasPrefix(s.topic, "response/"):
		into = &s.response
	case s.topic == "site", strings.HasPrefix(s.topic, "device/"):
		into = &s.snapshot
	default:
		return s
	}
	_ = json.Unmarshal(m.payload, into) // whether it fits is checked elsewhere
	return s
}

// has tells that one of the snapshot's diagnoses is as wanted.
func (s *seen) has(is func(*diagnose.DiagnosisJSON) bool) bool {
	return slices.ContainsFunc(s.snapshot.Diagnoses, func(d diagnose.DiagnosisJSON) bool { return is(&d) })
}

// situations are what the schemas must be held against, each with how it is
// told in one message.
func situations() map[string]func(seen) bool {
	diagnosis := func(is func(*diagnose.DiagnosisJSON) bool) func(seen) bool {
		return func(s seen) bool { return s.has(is) }
	}
	event := func(kind diagnose.ChangeType, is func(*diagnose.Diagnosis) bool) func(seen) bool {
		return func(s seen) bool { return s.event.Type == kind && is(s.event.Diagnosis) }
	}
	health := func(h diagnose.Health) func(seen) bool { return func(s seen) bool { return s.snapshot.Health == h } }
	always := func(*diagnose.Diagnosis) bool { return true }
	response := func(topic string, ok bool) func(seen) bool {
		return func(s seen) bool { return s.topic == "response/"+topic && s.response.OK == ok }
	}
	return map[string]func(seen) bool{
		"online":           func(s seen) bool { return s.state["state"] == "online" },
		"offline":          func(s seen) bool { return s.state["state"] == "offline" },
		"info":             func(s seen) bool { return s.info != nil && s.info["reload_error"] == nil },
		"reload refused":   func(s seen) bool { return s.info["reload_error"] != nil },
		"site":             func(s seen) bool { return s.topic == "site" && s.snapshot.Health == diagnose.HealthOK },
		"removed":          func(s seen) bool { return s.topic == "device/gone" && s.payload == "" },
		"retracted":        func(s seen) bool { return s.topic == "device/ac-7" && s.payload == "" },
		"encoded id":       func(s seen) bool { return s.topic == "device/hall%20lamp" && s.snapshot.Device == "hall lamp" },
		"ok":               health(diagnose.HealthOK),
		"attention":        health(diagnose.HealthAttention),
		"failed":           health(diagnose.HealthFailed),
		"never heard":      health(diagnose.HealthUnknown),
		"truncated":        func(s seen) bool { return s.snapshot.Truncated },
		"raised":           event(diagnose.Raised, always),
		"changed":          event(diagnose.Changed, func(d *diagnose.Diagnosis) bool { return d.Acknowledged != nil }),
		"cleared":          event(diagnose.Cleaned, func(d *diagnose.Diagnosis) bool { return d.ClearedBy == diagnose.BySignal }),
		"retired":          event(diagnose.Cleaned, func(d *diagnose.Diagnosis) bool { return d.ClearedBy == diagnose.ByRetired }),
		"flapping":         event(diagnose.Raised, func(d *diagnose.Diagnosis) bool { return d.Flapping != nil }),
		"no code":          event(diagnose.Raised, func(d *diagnose.Diagnosis) bool { return d.Code == nil }),
		"evidence":         event(diagnose.Raised, func(d *diagnose.Diagnosis) bool { return len(d.Evidence) > 0 }),
		"listed, cleared":  diagnosis(func(d *diagnose.DiagnosisJSON) bool { return d.Status == diagnose.Cleared }),
		"listed, flapping": diagnosis(func(d *diagnose.DiagnosisJSON) bool { return d.Flapping != nil }),
		"stale, retained":  diagnosis(func(d *diagnose.DiagnosisJSON) bool { return d.Stale && d.Reports == 0 }),
		"stale, restored":  diagnosis(func(d *diagnose.DiagnosisJSON) bool { return d.Stale && d.Reports > 0 }),
		"acknowledged":     diagnosis(func(d *diagnose.DiagnosisJSON) bool { return d.Acknowledged != nil && !d.Acknowledged.Until.IsZero() }),
		"ignored":          diagnosis(func(d *diagnose.DiagnosisJSON) bool { return d.Ignored != nil && d.Ignored.Until.IsZero() }),
		"note":             diagnosis(func(d *diagnose.DiagnosisJSON) bool { return len(d.Notes) > 0 }),
		"two languages": diagnosis(func(d *diagnose.DiagnosisJSON) bool {
			return len(d.Advice["en"].User) > 0 && len(d.Advice["zh-Hans"].User) > 0 && d.Advice["en"].Title != d.Advice["zh-Hans"].Title
		}),
		"done":           response("acknowledge", true),
		"ignoring":       response("ignore", true),
		"noted":          response("note", true),
		"refused":        response("resolve", false),
		"unknown verb":   response("bogus", false),
		"no transaction": func(s seen) bool { return s.topic == "response/forget" && s.response.Transaction == "" },
	}
}

// TestPublished lets an agent do all it can, on a real broker, and holds each
// of its messages against docs/schema and docs/asyncapi.yaml: topic, QoS,
// whether it is retained, and payload. No field may be unknown there.
func TestPublished(t *testing.T) {
	s := readSchemas(t)
	doc, _ := readAsyncAPI(t, s)
	b, err := mosquitto.Start(mosquitto.Options{Dir: t.TempDir(), Lines: []string{"log_type subscribe"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Kill() })
	w := listen(t, b.Address(), "witness")
	retained := liveAgents(t, b, w, doc)
	all := w.messages()
	for what, is := range situations() {
		if !slices.ContainsFunc(all, func(m heard) bool { return is(readHeard(m)) }) {
			t.Errorf("no message told of: %s", what)
		}
	}
	used := checkMessages(t, doc, all)
	checkRetained(t, doc, used, retained)
	checkFields(t, s, all)
	checkVerbWords(t, doc, all)
	if err := b.Kill(); err != nil {
		t.Fatal(err)
	}
	checkSubscriptions(t, doc, b.Log())
}

// liveAgents is the story that the messages come from: an agent that is
// reported to, asked, reloaded, stopped, started and killed, and another one
// that takes its place with an empty store. It answers with what the broker
// retained in between.
func liveAgents(t *testing.T, b *mosquitto.Broker, w *witness, doc *asyncDoc) []heard {
	t.Helper()
	a := connectApp(t, b.Address())
	a.publish("devices/old/status", `{"status":-3}`, true)
	a.publish("devices/gone/status", `{"status":-3}`, true)
	file := filepath.Join(t.TempDir(), "fieldmedic.yaml")
	config := fmt.Sprintf("languages: [en, zh-Hans]\nmqtt: {broker: %s, requests: [%s]}\nsite: {devices: [{id: spare}]}\n",
		b.URL(), strings.Join(asTexts(diagnose.Verbs()), ", "))
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(config)
	service := newService(t, "--config", file)
	service.start()
	w.waitFor("stale, retained")
	liveReports(t, a, w, doc)
	liveRequests(a, w)
	write("langages: [en]\n")
	signal := func(s os.Signal) {
		if err := service.cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	signal(syscall.SIGHUP)
	w.waitFor("reload refused")
	write(config)
	a.publish("devices/gone/status", "", true)
	w.waitFor("removed")
	signal(syscall.SIGTERM)
	if err := service.cmd.Wait(); err != nil {
		t.Errorf("a clean stop: %v", err)
	}
	w.waitFor("offline")
	service.start()
	w.waitFor("stale, restored")
	later := listen(t, b.Address(), "later")
	eventually(t, "what is retained", func() bool {
		return slices.ContainsFunc(later.messages(), func(m heard) bool { return strings.HasSuffix(m.topic, "/state") })
	})
	service.kill()
	stops := func() (n int) {
		for _, text := range a.payloads("diagnostics/gw-01/state") {
			if strings.Contains(text, "offline") {
				n++
			}
		}
		return n
	}
	eventually(t, "the will", func() bool { return stops() == 2 })
	other := newService(t, "--config", file)
	other.start()
	w.waitFor("retracted")
	other.kill()
	eventually(t, "the other's will", func() bool { return stops() == 3 })
	return later.messages()
}

// liveReports are the devices' part.
func liveReports(t *testing.T, a *app, w *witness, doc *asyncDoc) {
	t.Helper()
	a.report("devices/ac-7/status", `{"status":-4013,"msg":"Failed to resolve DNS","did":"00000000000000000000b4430d000007","pid":"0000000000000000000000003c4e0000",`+
		`"mac":"b4:43:0d:00:00:07","ip":"192.0.2.7","model":"RM4","fw":"44017","ts":1000000000}`)
	a.report("devices/reset/status", `{"status":-4012,"msg":"device was reset"}`)
	a.report("devices/minor/status", `{"status":-4}`)
	a.report("devices/gone/status", `{"status":-3}`)
	for range 3 {
		a.report("devices/hall lamp/status", `{"status":-4013}`)
		a.report("devices/hall lamp/status", `{"status":0}`)
	}
	for code, family := range vendorCodes(t) {
		if family == "dnasdk" {
			a.report("devices/full/status", fmt.Sprint(code))
		}
	}
	// The document's own examples are reports, too: none may be refused, for
	// what is refused makes no device known.
	for _, example := range doc.Channels["report"].Messages["report"].Examples {
		body, err := json.Marshal(example.Payload)
		if err != nil {
			t.Fatal(err)
		}
		a.report("devices/example-"+example.Name+"/status", string(body))
		eventually(t, "a snapshot for the example "+example.Name, func() bool {
			_, ok := a.snapshot("example-" + example.Name)
			return ok
		})
	}
	for _, what := range []string{"flapping", "listed, flapping", "truncated", "evidence", "no code"} {
		w.waitFor(what)
	}
}

// liveRequests are the people's part.
func liveRequests(a *app, w *witness) {
	a.t.Helper()
	until := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	ask := func(verb, request, answer string) {
		a.report("diagnostics/gw-01/request/"+verb, request)
		w.waitFor(answer)
	}
	ask("acknowledge", `{"transaction":"1","device":"ac-7","by":"anna","note":"the router is being replaced","until":"`+until+`"}`, "done")
	ask("ignore", `{"transaction":"2","device":"minor","condition":null,"by":"anna","until":null}`, "ignoring")
	ask("note", `{"transaction":"3","device":"ac-7","by":"anna","note":"seen"}`, "noted")
	ask("resolve", `{"transaction":"4","device":"nobody"}`, "refused")
	ask("bogus", `{"transaction":"6"}`, "unknown verb")
	ask("forget", `not JSON`, "no transaction")
	for _, verb := range diagnose.Verbs() { // see checkVerbWords
		a.report("diagnostics/gw-01/request/"+string(verb), `{"transaction":"nobody","device":"nobody","note":"x"}`)
	}
	for _, what := range []string{"changed", "acknowledged", "ignored", "note"} {
		w.waitFor(what)
	}
}
