package main

import (
	"encoding/json"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	gotypes "go/types"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"fieldmedic/internal/diagnose"
	"fieldmedic/internal/mqtt"
)

// published are the Go structs of the schemas.
func published() map[string]reflect.Type {
	return map[string]reflect.Type{
		"diagnosis": reflect.TypeFor[diagnose.DiagnosisJSON](),
		"snapshot":  reflect.TypeFor[diagnose.SnapshotJSON](),
		"event":     reflect.TypeFor[diagnose.Event](),
		"state":     reflect.TypeFor[mqtt.StateJSON](),
		"info":      reflect.TypeFor[info](),
		"request":   reflect.TypeFor[diagnose.Request](),
		"response":  reflect.TypeFor[diagnose.Response](),
	}
}

// TestSchemaIsGo holds every field of the Go structs against the schemas, and
// the other way round: names, types, null, whether it may be absent, and the
// words of closed vocabularies.
func TestSchemaIsGo(t *testing.T) {
	c := comparison{schemas: readSchemas(t), words: vocabularies(t), used: map[string]bool{}}
	structs := published()
	if files, want := slices.Sorted(maps.Keys(c.files)), slices.Sorted(maps.Keys(structs)); !slices.Equal(files, want) {
		t.Errorf("schemas %v, structs for %v", files, want)
	}
	for name, typ := range structs {
		c.file = name
		c.object(name, name, c.files[name], typ)
	}
	for _, list := range []string{
		"Action", "Audience", "ChangeType", "ClearedBy", "EvidenceVerdict", "Family", "Health", "Kind", "Scope", "Severity",
		"Status", "Verdict",
	} {
		if !c.used[list] {
			t.Errorf("no field of a schema has the words of diagnose.%s", list)
		}
	}
}

// comparison holds one schema against one struct.
type comparison struct {
	*schemas
	file  string // whose struct is compared
	words map[string][]string
	used  map[string]bool // names of the vocabularies that were met
}

type goField struct {
	name     string
	typ      reflect.Type
	optional bool // left out when empty
}

// goFields are a struct's fields as encoding/json sees them.
func goFields(typ reflect.Type) []goField {
	var fields []goField
	for f := range typ.Fields() {
		tag := f.Tag.Get("json")
		name, options, _ := strings.Cut(tag, ",")
		switch {
		case f.Anonymous && tag == "":
			fields = append(fields, goFields(f.Type)...)
		case tag != "-":
			fields = append(fields, goField{name, f.Type, strings.Contains(options, "omitempty")})
		}
	}
	return fields
}

// object compares the fields. In a request nothing but the transaction is
// needed; that is TestSchemaRequest's.
func (c *comparison) object(at, file string, n node, typ reflect.Type) {
	c.t.Helper()
	if typ == reflect.TypeFor[diagnose.Diagnosis]() {
		typ = published()["diagnosis"] // an event has the same schema, and forbids the advice
	}
	properties, _ := n["properties"].(node)
	rest := maps.Clone(properties)
	var required []string
	for _, f := range goFields(typ) {
		delete(rest, f.name)
		// What is always there in a message is left out in the lines of replay.
		always := slices.Contains([]string{"id", "event_id", "epoch"}, f.name)
		if !f.optional || always {
			required = append(required, f.name)
		}
		property, ok := properties[f.name].(node)
		if !ok {
			c.t.Errorf("%s: the field %q of %v is not in the schema", at, f.name, typ)
			continue
		}
		c.value(at+"."+f.name, file, property, f.typ, f.optional)
	}
	for name := range rest {
		c.t.Errorf("%s: %v has no field %q", at, typ, name)
	}
	if slices.Sort(required); c.file == "request" {
		required = []string{"transaction"}
	}
	if have := slices.Sorted(slices.Values(texts(n["required"]))); !slices.Equal(have, required) {
		c.t.Errorf("%s: required is\n%v, want\n%v", at, have, required)
	}
}

// value compares one field. What the empty value is encoded as tells whether
// null may come; a list is never nil, and some times are always known.
func (c *comparison) value(at, file string, n node, typ reflect.Type, optional bool) {
	c.t.Helper()
	file, n = c.follow(file, n)
	kind := typ.Kind()
	null := !optional && kind != reflect.Slice && kind != reflect.Map && encodesAsNull(c.t, typ)
	switch typ {
	case reflect.TypeFor[diagnose.Stamp]():
		null = null && !alwaysKnown(at)
		if n["format"] != "date-time" {
			c.t.Errorf("%s: is no date-time", at)
		}
	case reflect.TypeFor[json.RawMessage]():
		null = true
	}
	if kind == reflect.Pointer {
		typ = typ.Elem()
	}
	want := typeNames(typ)
	if null {
		want = append(want, "null")
	}
	slices.Sort(want)
	if have := jsonTypes(n); !slices.Equal(have, want) {
		c.t.Errorf("%s: may be %v, want %v as %v is encoded", at, have, want, typ)
		return
	}
	c.vocabulary(at, n, typ, null)
	switch {
	case slices.Contains(want, "object") && typ.Kind() == reflect.Map:
		c.value(at+"{}", file, n["additionalProperties"].(node), typ.Elem(), false)
	case slices.Contains(want, "object"):
		c.object(at, file, n, typ)
	case slices.Contains(want, "array"):
		c.value(at+"[]", file, n["items"].(node), typ.Elem(), false)
	}
}

// alwaysKnown are times that are never null. All others may be.
func alwaysKnown(at string) bool {
	parts := strings.Split(at, ".")
	return slices.Contains([]string{"at", "since", "updated_at", "started_at"}, parts[len(parts)-1])
}

func encodesAsNull(t *testing.T, typ reflect.Type) bool {
	t.Helper()
	body, err := json.Marshal(reflect.Zero(typ).Interface())
	if err != nil {
		t.Fatal(err)
	}
	return string(body) == "null"
}

func typeNames(typ reflect.Type) []string {
	switch typ {
	case reflect.TypeFor[diagnose.Stamp]():
		return []string{"string"}
	case reflect.TypeFor[json.RawMessage]():
		return []string{"number", "string"}
	}
	switch typ.Kind() {
	case reflect.String:
		return []string{"string"}
	case reflect.Bool:
		return []string{"boolean"}
	case reflect.Int, reflect.Int32, reflect.Int64:
		return []string{"integer"}
	case reflect.Slice:
		return []string{"array"}
	case reflect.Map, reflect.Struct:
		return []string{"object"}
	}
	return []string{"unknown"}
}

// vocabulary wants the words of a Go type with constants, in their order, and
// no list of words where Go has none.
func (c *comparison) vocabulary(at string, n node, typ reflect.Type, null bool) {
	c.t.Helper()
	words := c.words[typ.Name()]
	if len(words) > 0 {
		c.used[typ.Name()] = true
	}
	switch at {
	case "state.state": // both words are seen in TestPublished
		words = []string{"online", "offline"}
	case "request.scope": // see TestSchemaRequest
		words = []string{string(diagnose.ScopeDevice), string(diagnose.ScopeSite)}
	case "snapshot.schema", "event.schema", "info.schema":
		if n["const"] != diagnose.Schema {
			c.t.Errorf("%s: const is %v, want %q", at, n["const"], diagnose.Schema)
		}
	}
	if null && len(words) > 0 {
		words = append(slices.Clone(words), "<nil>")
	}
	if have := texts(n["enum"]); !slices.Equal(have, words) {
		c.t.Errorf("%s: the words are\n%v, want\n%v", at, have, words)
	}
}

// vocabularies are the words of each Go type of texts in internal/diagnose that
// has constants, in the order in which they are written.
func vocabularies(t *testing.T) map[string][]string {
	t.Helper()
	const dir = "../../internal/diagnose"
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, filepath.Join(dir, e.Name()), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	// Imports are not looked up: constants of the package's own types need none.
	config := gotypes.Config{Error: func(error) {}, Importer: noImports{}}
	pkg, _ := config.Check("diagnose", fset, files, nil)
	var constants []*gotypes.Const
	for _, name := range pkg.Scope().Names() {
		if k, ok := pkg.Scope().Lookup(name).(*gotypes.Const); ok && k.Val().Kind() == constant.String {
			constants = append(constants, k)
		}
	}
	slices.SortFunc(constants, func(a, b *gotypes.Const) int { return int(a.Pos() - b.Pos()) })
	words := map[string][]string{}
	for _, k := range constants {
		if named, ok := k.Type().(*gotypes.Named); ok {
			words[named.Obj().Name()] = append(words[named.Obj().Name()], constant.StringVal(k.Val()))
		}
	}
	return words
}

type noImports struct{}

func (noImports) Import(path string) (*gotypes.Package, error) {
	return gotypes.NewPackage(path, ""), nil
}

// TestVocabularies holds the lists that Go hands out against its constants: a
// word that is in no list would be in no schema.
func TestVocabularies(t *testing.T) {
	words := vocabularies(t)
	for name, list := range map[string][]string{
		"Action":   asTexts(diagnose.Actions()),
		"Audience": asTexts(diagnose.Audiences()),
		"Verb":     asTexts(diagnose.Verbs()),
	} {
		if !slices.Equal(words[name], list) {
			t.Errorf("%s: constants\n%v, list\n%v", name, words[name], list)
		}
	}
	if len(words["Action"]) != 31 {
		t.Errorf("%d actions, the contract has 31", len(words["Action"]))
	}
}

func asTexts[T ~string](list []T) []string {
	all := make([]string, len(list))
	for i, w := range list {
		all[i] = string(w)
	}
	return all
}
