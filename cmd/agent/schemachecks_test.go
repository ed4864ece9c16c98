package main

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"fieldmedic/internal/diagnose"
)

// This file is what TestPublished holds the messages against.

// checkMessages holds each message against its channel, and answers with the
// names of the channels that were used.
func checkMessages(t *testing.T, doc *asyncDoc, all []heard) map[string]bool {
	t.Helper()
	used := map[string]bool{"report": true} // liveReports uses it
	for _, m := range all {
		name, err := doc.covering(m.topic)
		if err != nil {
			t.Error(err)
			continue
		}
		used[name] = true
		op, err := doc.operation(name)
		if err != nil {
			t.Error(err)
			continue
		}
		if op.Action == "receive" {
			continue // ours
		}
		if m.qos != op.Bindings.MQTT.QoS {
			t.Errorf("%s came with QoS %d, asyncapi.yaml says %d", m.topic, m.qos, op.Bindings.MQTT.QoS)
		}
		if err := doc.Channels[name].fits(m.payload); err != nil {
			t.Errorf("%s: %v\n%s", m.topic, err, m.payload)
		}
		if read := readHeard(m); name == "device" && len(m.payload) > 0 && read.snapshot.Device == "" || name == "site" && read.snapshot.Device != "" {
			t.Errorf("%s: its device is %q", m.topic, read.snapshot.Device)
		}
	}
	for name := range doc.Channels {
		if !used[name] {
			t.Errorf("asyncapi.yaml has the channel %s, and no message came on it", name)
		}
	}
	return used
}

// checkRetained wants those channels retained that the document says are.
func checkRetained(t *testing.T, doc *asyncDoc, used map[string]bool, retained []heard) {
	t.Helper()
	kept := map[string]bool{}
	for _, m := range retained {
		if name, err := doc.covering(m.topic); err == nil && m.retained {
			kept[name] = true
		}
	}
	for name := range used {
		op, err := doc.operation(name)
		if err != nil || op.Action == "receive" {
			continue
		}
		if retain := op.Bindings.MQTT.Retain; retain == nil || *retain != kept[name] {
			t.Errorf("%s: retained is %v, asyncapi.yaml says otherwise", name, kept[name])
		}
	}
}

// checkSubscriptions reads the broker's log: what the agent subscribes to is
// what it receives by the document, and for itself only what it sends.
func checkSubscriptions(t *testing.T, doc *asyncDoc, log string) {
	t.Helper()
	want, have := map[string]bool{}, map[string]bool{}
	for name, channel := range doc.Channels {
		if op, err := doc.operation(name); err == nil && op.Action == "receive" {
			want[channel.filter()] = true
		}
	}
	own := 0
	for line := range strings.Lines(log) {
		// 1763805601: CLIENT QOS FILTER
		words := strings.SplitN(strings.TrimSpace(line), " ", 4)
		if len(words) < 4 || !strings.HasPrefix(words[1], "fieldmedic-") {
			continue
		}
		client, filter := words[1], words[3]
		if !strings.HasSuffix(client, "-out") {
			have[filter] = true
			continue
		}
		own++
		name, err := doc.covering(filter)
		if err != nil {
			t.Errorf("the agent subscribes to %s: %v", filter, err)
			continue
		}
		if op, err := doc.operation(name); err != nil || op.Action != "send" {
			t.Errorf("the publishing connection subscribes to %s, of the channel %s", filter, name)
		}
	}
	if !maps.Equal(want, have) || own == 0 {
		t.Errorf("asyncapi.yaml receives %v, the agent subscribes to %v (and %d of its own)\n%s",
			slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(have)), own, log)
	}
}

// checkVerbWords wants the document to say of a verb that it is not available
// where the agent answers so.
func checkVerbWords(t *testing.T, doc *asyncDoc, all []heard) {
	t.Helper()
	const words = "in this version"
	text := doc.Channels["request"].Parameters["verb"].Description
	for _, verb := range diagnose.Verbs() {
		_, about, _ := strings.Cut(text, "- `"+string(verb))
		about, _, _ = strings.Cut(about, "\n")
		answer := ""
		for _, m := range all {
			if read := readHeard(m); read.topic == "response/"+string(verb) && read.response.Transaction == "nobody" {
				answer = read.response.Error
			}
		}
		switch verb {
		case diagnose.Unacknowledge, diagnose.Unignore:
			continue // told with what they take back
		}
		if about == "" || answer == "" || strings.Contains(about, words) != strings.Contains(answer, words) {
			t.Errorf("%s: asyncapi.yaml says %q, the agent answers %q", verb, about, answer)
		}
	}
}

// checkFields wants each field of the schemas to have been seen in some
// message, so that none is there on paper only.
func checkFields(t *testing.T, s *schemas, all []heard) {
	t.Helper()
	later := []string{
		"diagnosis.members", "diagnosis.members_total", // no rule of scope site exists yet
		"event.from_seq", "event.to_seq", // no outbox is full here
		"event.clock_suspect", // and no clock jumps
	}
	met := map[string]bool{}
	for _, m := range all {
		var value any
		name, _, _ := strings.Cut(strings.TrimPrefix(m.topic, "diagnostics/gw-01/"), "/")
		file := map[string]string{"device": "snapshot", "site": "snapshot"}[name]
		if file == "" {
			file = name
		}
		if s.files[file] == nil || json.Unmarshal(m.payload, &value) != nil {
			continue
		}
		s.meet(file, file, s.files[file], value, met)
	}
	for file, doc := range s.files {
		if file == "request" {
			continue // TestSchemaRequest
		}
		for _, field := range s.fields(file, file, doc) {
			switch unmet := slices.Contains(later, field); {
			case met[field] && unmet:
				t.Errorf("%s is published now: take it off the list above", field)
			case !met[field] && !unmet:
				t.Errorf("%s stands in the schema, and no message had it", field)
			}
		}
	}
}

// meet notes the fields of a message. A file's fields are named after the
// file, wherever it is referred to.
func (s *schemas) meet(at, file string, n node, value any, met map[string]bool) {
	s.t.Helper()
	file, n, at = s.enter(at, file, n)
	switch v := value.(type) {
	case node:
		properties, _ := n["properties"].(node)
		for key, item := range v {
			if property, ok := properties[key].(node); ok {
				met[at+"."+key] = true
				s.meet(at+"."+key, file, property, item, met)
			} else if others, ok := n["additionalProperties"].(node); ok {
				s.meet(at+"{}", file, others, item, met)
			}
		}
	case []any:
		items, _ := n["items"].(node)
		for _, item := range v {
			s.meet(at+"[]", file, items, item, met)
		}
	}
}

// fields are the names that meet gives to what a file has.
func (s *schemas) fields(at, file string, n node) []string {
	s.t.Helper()
	root := file
	file, n, at = s.enter(at, file, n)
	if file != root && at == file {
		return nil // named by itself
	}
	var names []string
	properties, _ := n["properties"].(node)
	for key, property := range properties {
		names = append(append(names, at+"."+key), s.fields(at+"."+key, file, property.(node))...)
	}
	for suffix, word := range map[string]string{"{}": "additionalProperties", "[]": "items"} {
		if inner, ok := n[word].(node); ok {
			names = append(names, s.fields(at+suffix, file, inner)...)
		}
	}
	return names
}

// enter follows a reference; a whole file begins a new name.
func (s *schemas) enter(at, file string, n node) (string, node, string) {
	s.t.Helper()
	ref, _ := n["$ref"].(string)
	file, n = s.follow(file, n)
	if ref != "" && !strings.Contains(ref, "#") {
		at = file
	}
	return file, n, at
}
