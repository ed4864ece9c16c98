package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"
)

// asyncDoc is what the tests read of docs/asyncapi.yaml, with every reference
// inside it followed; those to schemas stay.
type asyncDoc struct {
	AsyncAPI string `json:"asyncapi"`
	Info     struct {
		Version string `json:"version"`
	} `json:"info"`
	Servers    map[string]asyncServer    `json:"servers"`
	Channels   map[string]*asyncChannel  `json:"channels"`
	Operations map[string]asyncOperation `json:"operations"`
}

type asyncServer struct {
	Bindings struct {
		MQTT struct {
			LastWill asyncWill `json:"lastWill"`
		} `json:"mqtt"`
	} `json:"bindings"`
}

type asyncWill struct {
	Topic  string `json:"topic"`
	QoS    byte   `json:"qos"`
	Retain bool   `json:"retain"`
}

type asyncChannel struct {
	Address     string                    `json:"address"`
	Description string                    `json:"description"`
	Parameters  map[string]asyncParameter `json:"parameters"`
	Messages    map[string]*asyncMessage  `json:"messages"`
}

type asyncParameter struct {
	Description string   `json:"description"`
	Enum        []string `json:"enum"`
}

type asyncMessage struct {
	Title       string `json:"title"`
	ContentType string `json:"contentType"`
	Payload     node   `json:"payload"`
	Examples    []struct {
		Name    string `json:"name"`
		Payload any    `json:"payload"`
	} `json:"examples"`
	Correlation *struct {
		Location string `json:"location"`
	} `json:"correlationId"`
	schema *jsonschema.Schema // nil: anything goes
}

type asyncOperation struct {
	Action  string       `json:"action"`
	Channel asyncChannel `json:"channel"`
	Reply   *struct {
		Channel asyncChannel `json:"channel"`
	} `json:"reply"`
	Bindings struct {
		MQTT struct {
			QoS    byte  `json:"qos"`
			Retain *bool `json:"retain"`
		} `json:"mqtt"`
	} `json:"bindings"`
}

// references follows those inside the document, and keeps count of all.
type references struct {
	t    *testing.T
	root any
	used map[string]bool
}

func (r *references) follow(value any) any {
	r.t.Helper()
	switch v := value.(type) {
	case []any:
		list := make([]any, len(v))
		for i, item := range v {
			list[i] = r.follow(item)
		}
		return list
	case node:
		if ref, ok := v["$ref"].(string); ok {
			r.used[ref] = true
			if pointer, inside := strings.CutPrefix(ref, "#/"); inside {
				return r.follow(r.at(pointer))
			}
			return v
		}
		all := node{}
		for key, item := range v {
			all[key] = r.follow(item)
		}
		return all
	}
	return value
}

func (r *references) at(pointer string) any {
	r.t.Helper()
	at := r.root
	for part := range strings.SplitSeq(pointer, "/") {
		object, _ := at.(node)
		if at = object[part]; at == nil {
			r.t.Fatalf("#/%s is not there", pointer)
		}
		if ref, ok := at.(node)["$ref"].(string); ok && strings.HasPrefix(ref, "#/") {
			at = r.at(strings.TrimPrefix(ref, "#/"))
		}
	}
	return at
}

// readAsyncAPI reads the document, and compiles what its messages refer to so
// that unknown fields are mistakes.
func readAsyncAPI(t *testing.T, s *schemas) (*asyncDoc, *references) {
	t.Helper()
	content, err := os.ReadFile("../../docs/asyncapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	r := &references{t: t, used: map[string]bool{}}
	if err := yaml.Unmarshal(content, &r.root); err != nil {
		t.Fatal("asyncapi.yaml: ", err)
	}
	body, err := json.Marshal(r.follow(r.root))
	if err != nil {
		t.Fatal(err)
	}
	doc := new(asyncDoc)
	if err := json.Unmarshal(body, doc); err != nil {
		t.Fatal("asyncapi.yaml: ", err)
	}
	for name, channel := range doc.Channels {
		for _, m := range channel.Messages {
			m.compile(t, s, name)
		}
	}
	return doc, r
}

func (m *asyncMessage) compile(t *testing.T, s *schemas, channel string) {
	t.Helper()
	switch ref, ok := m.Payload["$ref"].(string); {
	case m.Payload == nil:
	case ok:
		name := strings.TrimSuffix(strings.TrimPrefix(ref, "schema/"), ".json")
		if m.schema = s.closed[name]; m.schema == nil || ref != "schema/"+name+".json" {
			t.Errorf("channel %s: the schema %s is not there", channel, ref)
		}
	default:
		c := jsonschema.NewCompiler()
		if err := c.AddResource("mem:///payload.json", m.Payload); err != nil {
			t.Fatal(err)
		}
		var err error
		if m.schema, err = c.Compile("mem:///payload.json"); err != nil {
			t.Fatalf("channel %s: %v", channel, err)
		}
	}
}

// validate holds a payload against the message; what is not JSON is a text.
func (m *asyncMessage) validate(payload []byte) error {
	if m.schema == nil {
		return nil
	}
	if m.ContentType == "text/plain" {
		return m.schema.Validate(string(payload))
	}
	return validate(m.schema, payload)
}

// fits wants one of the channel's messages to take the payload.
func (c *asyncChannel) fits(payload []byte) error {
	var all []string
	for name, m := range c.Messages {
		err := m.validate(payload)
		if err == nil {
			return nil
		}
		all = append(all, fmt.Sprintf("is no %s: %v", name, err))
	}
	return fmt.Errorf("%s", strings.Join(all, "\n"))
}

// filter is the MQTT filter for a channel of the gateway of the tests.
func (c *asyncChannel) filter() string {
	address := strings.ReplaceAll(c.Address, "{gateway}", "gw-01")
	return regexp.MustCompile(`\{\w+\}`).ReplaceAllString(address, "+")
}

// covers tells whether a topic, or a filter, is one of the channel.
func (c *asyncChannel) covers(topic string) bool {
	want, have := strings.Split(c.filter(), "/"), strings.Split(topic, "/")
	return len(want) == len(have) && !slices.ContainsFunc(want, func(w string) bool {
		h := have[0]
		have = have[1:]
		return w != h && (w != "+" || h == "")
	})
}

// covering finds the channel of a topic: exactly one.
func (d *asyncDoc) covering(topic string) (string, error) {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(d.Channels)) {
		if d.Channels[name].covers(topic) {
			names = append(names, name)
		}
	}
	if len(names) != 1 {
		return "", fmt.Errorf("asyncapi.yaml has %d channels %v for %s", len(names), names, topic)
	}
	return names[0], nil
}

// operation finds what the agent does on a channel: exactly one thing.
func (d *asyncDoc) operation(channel string) (asyncOperation, error) {
	var found []asyncOperation
	for _, op := range d.Operations {
		if op.Channel.Address == d.Channels[channel].Address {
			found = append(found, op)
		}
	}
	if len(found) != 1 {
		return asyncOperation{}, fmt.Errorf("asyncapi.yaml has %d operations on the channel %s", len(found), channel)
	}
	return found[0], nil
}
