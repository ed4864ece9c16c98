package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"fieldmedic/internal/diagnose"
)

// TestAsyncAPI holds the document by itself: its references, parameters,
// vocabularies and examples.
func TestAsyncAPI(t *testing.T) {
	s := readSchemas(t)
	doc, refs := readAsyncAPI(t, s)
	if doc.AsyncAPI != "3.0.0" || doc.Info.Version != diagnose.Schema {
		t.Errorf("asyncapi %q, version %q, want 3.0.0 and the version of the schemas, %q", doc.AsyncAPI, doc.Info.Version, diagnose.Schema)
	}
	checkUsed(t, s, refs)
	placeholder := regexp.MustCompile(`\{(\w+)\}`)
	for name, channel := range doc.Channels {
		var inAddress []string
		for _, match := range placeholder.FindAllStringSubmatch(channel.Address, -1) {
			inAddress = append(inAddress, match[1])
		}
		if slices.Sort(inAddress); !slices.Equal(inAddress, slices.Sorted(maps.Keys(channel.Parameters))) {
			t.Errorf("%s: the address has %v, the parameters are %v", name, inAddress, slices.Sorted(maps.Keys(channel.Parameters)))
		}
		for parameter, p := range channel.Parameters {
			if p.Description == "" {
				t.Errorf("%s: the parameter %s has no description", name, parameter)
			}
			if parameter == "verb" {
				checkVerbs(t, name, p)
			}
		}
		if channel.Description == "" || len(channel.Messages) == 0 {
			t.Errorf("%s: no description, or no message", name)
		}
		op, err := doc.operation(name)
		if err != nil {
			t.Error(err)
		}
		if reply := op.Reply; (name == "request") != (reply != nil) || reply != nil && reply.Channel.Address != doc.Channels["response"].Address {
			t.Errorf("%s: the reply is %v", name, reply)
		}
		for _, m := range channel.Messages {
			checkExamples(t, name, m)
		}
	}
	will := doc.Servers["embedded"].Bindings.MQTT.LastWill
	if will != (asyncWill{Topic: doc.Channels["state"].Address, QoS: 1, Retain: true}) {
		t.Errorf("the will is %+v", will)
	}
}

// checkUsed wants each component and each schema to be referred to.
func checkUsed(t *testing.T, s *schemas, refs *references) {
	t.Helper()
	for kind, parts := range refs.at("components").(node) {
		for name := range parts.(node) {
			if ref := "#/components/" + kind + "/" + name; !refs.used[ref] {
				t.Errorf("nothing refers to %s", ref)
			}
		}
	}
	for name := range s.files {
		within := slices.ContainsFunc(slices.Collect(maps.Values(s.files)), func(n node) bool {
			body, err := json.Marshal(n)
			if err != nil {
				t.Fatal(err)
			}
			return bytes.Contains(body, []byte(`"`+name+`.json`))
		})
		if !refs.used["schema/"+name+".json"] && !within {
			t.Errorf("nothing refers to %s.json", name)
		}
	}
}

func checkVerbs(t *testing.T, channel string, p asyncParameter) {
	t.Helper()
	verbs := asTexts(diagnose.Verbs())
	if !slices.Equal(p.Enum, verbs) {
		t.Errorf("%s: verbs %v, want %v", channel, p.Enum, verbs)
	}
	for _, verb := range verbs {
		if !strings.Contains(p.Description, "`"+verb+"`") {
			t.Errorf("%s: the description does not say what %s is", channel, verb)
		}
	}
}

// checkExamples holds examples against their schema, and those of requests
// against the reader of requests.
func checkExamples(t *testing.T, channel string, m *asyncMessage) {
	t.Helper()
	for _, example := range m.Examples {
		body, err := json.Marshal(example.Payload)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.validate(body); err != nil {
			t.Errorf("%s: the example %s: %v", channel, example.Name, err)
		}
		if channel == "request" {
			if _, err := diagnose.ParseRequest(diagnose.Acknowledge, body); err != nil {
				t.Errorf("%s: the example %s: %v", channel, example.Name, err)
			}
		}
	}
	if want := channel == "request" || channel == "response"; want != (m.Correlation != nil) ||
		want && m.Correlation.Location != "$message.payload#/transaction" {
		t.Errorf("%s: the correlation id is %v", channel, m.Correlation)
	}
}
