package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// This file holds docs/schema by itself: that it can be used, that it says
// enough, and that it refuses and lets pass what it should. What it is held
// against stands in schemago_test.go (the Go structs) and schemalive_test.go
// (what an agent publishes).

const schemaDir = "../../docs/schema"

// node is one JSON object of a schema.
type node = map[string]any

// schemas are the files of docs/schema, by name without ending.
type schemas struct {
	t     *testing.T
	files map[string]node
	// open are the schemas as they stand; closed ones let no unknown field pass.
	open, closed map[string]*jsonschema.Schema
}

func readSchemas(t *testing.T) *schemas {
	t.Helper()
	s := &schemas{t: t, files: map[string]node{}}
	s.open, s.closed = s.compile(func(node) {}), s.compile(closeObjects)
	for name := range s.open {
		s.files[name] = readSchema(t, name)
	}
	return s
}

func readSchema(t *testing.T, name string) node {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(schemaDir, name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(content))
	if err != nil {
		t.Fatalf("%s.json: %v", name, err)
	}
	return doc.(node)
}

// compile checks each file against the meta-schema, follows its references, and
// lets change lay hands on it first.
func (s *schemas) compile(change func(node)) map[string]*jsonschema.Schema {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(schemaDir, "*.json"))
	if err != nil || len(files) == 0 {
		s.t.Fatalf("no schemas in %s (%v)", schemaDir, err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	all := map[string]*jsonschema.Schema{}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		doc := readSchema(s.t, name)
		if doc["$schema"] != "https://json-schema.org/draft/2020-12/schema" {
			s.t.Errorf("%s: $schema is %v", name, doc["$schema"])
		}
		change(doc)
		if err := c.AddResource("mem:///"+name+".json", doc); err != nil {
			s.t.Fatal(err)
		}
		all[name] = nil
	}
	for name := range all {
		if all[name], err = c.Compile("mem:///" + name + ".json"); err != nil {
			s.t.Fatal(err)
		}
	}
	return all
}

// eachNode calls f for every object in a schema; path is where it stands.
func eachNode(path string, value any, f func(path string, n node)) {
	switch v := value.(type) {
	case node:
		f(path, v)
		for _, key := range slices.Sorted(maps.Keys(v)) {
			eachNode(path+"/"+key, v[key], f)
		}
	case []any:
		for i, item := range v {
			eachNode(fmt.Sprintf("%s/%d", path, i), item, f)
		}
	}
}

// closeObjects makes unknown fields mistakes.
func closeObjects(doc node) {
	eachNode("", doc, func(_ string, n node) {
		if describesObject(n) && n["additionalProperties"] == nil {
			n["additionalProperties"] = false
		}
	})
}

// describesObject is false for what only sets a condition, as in if and then.
func describesObject(n node) bool {
	_, ok := n["properties"].(node)
	return ok && slices.Contains(jsonTypes(n), "object")
}

// jsonTypes are the types that a schema allows by type or const, sorted.
func jsonTypes(n node) []string {
	var list []string
	switch v := n["type"].(type) {
	case string:
		list = append(list, v)
	case []any:
		for _, name := range v {
			list = append(list, fmt.Sprint(name))
		}
	}
	switch n["const"].(type) {
	case string:
		list = append(list, "string")
	case bool:
		list = append(list, "boolean")
	}
	slices.Sort(list)
	return list
}

// follow goes along a reference to what it names; name is the file that n
// stands in.
func (s *schemas) follow(name string, n node) (string, node) {
	s.t.Helper()
	for {
		ref, ok := n["$ref"].(string)
		if !ok {
			return name, n
		}
		file, pointer, _ := strings.Cut(ref, "#")
		if file != "" {
			name = strings.TrimSuffix(file, ".json")
		}
		n = s.files[name]
		for part := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
			if part != "" {
				n, _ = n[part].(node)
			}
		}
		if n == nil {
			s.t.Fatalf("%s refers to %q, which is not there", name, ref)
		}
	}
}

// fits holds a message against a schema with no unknown field allowed.
func (s *schemas) fits(name string, message []byte) error {
	return validate(s.closed[name], message)
}

func validate(schema *jsonschema.Schema, message []byte) error {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(message))
	if err != nil {
		return err
	}
	return schema.Validate(value)
}

// TestSchemaWords: each field says in one sentence what it is, in what unit,
// and what null means; and no word is used whose meaning depends on the draft.
func TestSchemaWords(t *testing.T) {
	s := readSchemas(t)
	for name, doc := range s.files {
		eachNode(name, doc, func(path string, n node) {
			if n["$ref"] != nil && (len(n) > 2 || len(n) == 2 && n["description"] == nil) {
				t.Errorf("%s: beside $ref only a description may stand: draft-07 overlooks the rest", path)
			}
			for _, word := range []string{"unevaluatedProperties", "prefixItems", "dependentRequired", "dependentSchemas", "$id", "$anchor"} {
				if n[word] != nil {
					t.Errorf("%s: %s is not the same in draft-07", path, word)
				}
			}
			if n["additionalProperties"] == false && name != "request" {
				t.Errorf("%s: a field may be added, so additionalProperties must be open", path)
			}
			if !describesObject(n) {
				return
			}
			for field, value := range n["properties"].(node) {
				s.checkField(name, path+"."+field, field, value.(node), slices.Contains(texts(n["required"]), field))
			}
		})
	}
}

// checkField holds one field's description against what the field is.
func (s *schemas) checkField(file, path, field string, n node, required bool) {
	s.t.Helper()
	text, _ := n["description"].(string)
	if len(text) < 10 || !strings.HasSuffix(text, ".") || strings.Contains(text, ". ") {
		s.t.Errorf("%s: %q is not one sentence", path, text)
	}
	_, what := s.follow(file, n)
	nullable := slices.Contains(jsonTypes(what), "null")
	if nullable && !strings.Contains(text, "null") {
		s.t.Errorf("%s: %q does not say what null means", path, text)
	}
	if !required && file != "request" {
		if nullable {
			s.t.Errorf("%s may be absent, and null: what is the difference?", path)
		}
		if !strings.Contains(text, "absent") && !strings.Contains(path, "/facts.") {
			s.t.Errorf("%s: %q does not say when it is absent", path, text)
		}
	}
	for suffix, unit := range map[string]string{"_ms": "milliseconds", "_s": "seconds"} {
		if strings.HasSuffix(field, suffix) && !strings.Contains(strings.ToLower(text), unit) {
			s.t.Errorf("%s: %q does not name the unit", path, text)
		}
	}
}

// texts are the items of a JSON list, as texts.
func texts(list any) []string {
	items, _ := list.([]any)
	all := make([]string, len(items))
	for i, item := range items {
		all[i] = fmt.Sprint(item)
	}
	return all
}
