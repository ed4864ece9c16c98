package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v4"

	"fieldmedic/internal/rules"
)

const (
	defaultConfigFile = "/etc/fieldmedic/fieldmedic.yaml"
	// maxConfig is the largest configuration file in bytes.
	maxConfig = 1 << 20
)

// position counts from 1.
type position struct{ line, col int }

// configTree is a file, read: the values that are what they should be, and
// where each stands. Viper knows neither lines nor duplicate keys, so this
// pass goes first.
type configTree struct {
	file   string
	values map[string]any
	places map[string]position
}

// place finds a path, or the nearest thing above it that is in the file.
func (t *configTree) place(path string) (position, bool) {
	for path != "" {
		if at, ok := t.places[path]; ok {
			return at, true
		}
		i := strings.LastIndexByte(path, '.')
		if i < 0 {
			break
		}
		path = path[:i]
	}
	return position{}, false
}

// readConfigFile reads the named file, or the usual one if it is there.
func readConfigFile(flags *pflag.FlagSet, found *collector) (string, []byte) {
	file, named := defaultConfigFile, false
	if f := flags.Lookup("config"); f != nil && f.Changed {
		file, named = f.Value.String(), true
	}
	content, err := readAtMost(file, maxConfig)
	switch {
	case err == nil:
		return file, content
	case !named && errors.Is(err, os.ErrNotExist):
		return "", nil
	}
	found.misread(file, 0, 0, "", "%v", plainFileError(err))
	return file, nil
}

func readAtMost(file string, most int64) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	content, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(content)) > most {
		err = fmt.Errorf("the file is larger than %d KiB", most>>10)
	}
	return content, err
}

// plainFileError says what the system said, without the path said already.
func plainFileError(err error) error {
	var pathError *os.PathError
	if errors.As(err, &pathError) {
		return fmt.Errorf("cannot be read: %w", pathError.Err)
	}
	return err
}

// readYAML reads a file's content against the known keys.
func readYAML(file string, content []byte, found *collector) configTree {
	t := configTree{file: file, values: map[string]any{}, places: map[string]position{}}
	root := parseYAML(file, content, found)
	if root == nil {
		return t
	}
	r := yamlReader{where: file, found: found, places: t.places}
	r.section(root, "", configKeys(), t.values)
	return t
}

// parseYAML reads one document; nil for an empty one or a broken one.
func parseYAML(where string, content []byte, found *collector) *yaml.Node {
	if !utf8.Valid(content) {
		found.misread(where, 0, 0, "", "is not UTF-8 text")
		return nil
	}
	loader, err := yaml.NewLoader(bytes.NewReader(content))
	if err != nil {
		found.misread(where, 0, 0, "", "cannot be read: %v", err)
		return nil
	}
	var doc, second yaml.Node
	if err := loader.Load(&doc); err != nil {
		syntaxError(where, err, found)
		return nil
	}
	if err := loader.Load(&second); err == nil {
		found.misread(where, second.Line, second.Column, "", "a second document (one document a file)")
	} else if !errors.Is(err, io.EOF) {
		syntaxError(where, err, found)
	}
	if len(doc.Content) != 1 || doc.Content[0].ShortTag() == "!!null" {
		return nil
	}
	return doc.Content[0]
}

func syntaxError(where string, err error, found *collector) {
	if errors.Is(err, io.EOF) {
		return // an empty file: every key has its default
	}
	var load *yaml.LoadError
	if errors.As(err, &load) {
		found.misread(where, max(1, load.Mark.Line), max(1, load.Mark.Column), "", "cannot be read as YAML: %s", load.Message)
		return
	}
	found.misread(where, 1, 1, "", "cannot be read as YAML: %v", err)
}

// yamlReader walks nodes against keys.
type yamlReader struct {
	where  string
	found  *collector
	places map[string]position
}

func (r *yamlReader) misread(n *yaml.Node, key, format string, args ...any) {
	r.found.misread(r.where, n.Line, n.Column, key, format, args...)
}

// section reads a mapping whose keys are those below prefix.
func (r *yamlReader) section(n *yaml.Node, prefix string, keys []key, into map[string]any) {
	if n.Kind != yaml.MappingNode {
		r.misread(n, strings.TrimSuffix(prefix, "."), "%s (keys with values)", describe(n))
		return
	}
	first := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		path := prefix + name.Value
		if line, twice := first[name.Value]; twice {
			r.misread(name, path, "the key is there twice (first in line %d)", line)
			continue
		}
		first[name.Value] = name.Line
		r.places[path] = position{value.Line, value.Column}
		r.value(name, value, path, keys, into)
	}
}

// value reads what stands under one name: a leaf, or a section.
func (r *yamlReader) value(name, value *yaml.Node, path string, keys []key, into map[string]any) {
	i := slices.IndexFunc(keys, func(k key) bool { return k.name == path })
	if i >= 0 {
		if v, ok := r.leaf(value, path, keys[i]); ok {
			into[name.Value] = v
		}
		return
	}
	if !slices.ContainsFunc(keys, func(k key) bool { return strings.HasPrefix(k.name, path+".") }) {
		r.misread(name, path, "unknown key%s", nearestKey(path, keys))
		return
	}
	if value.Kind == yaml.ScalarNode && value.ShortTag() == "!!null" {
		return // a section with everything commented out
	}
	below := map[string]any{}
	r.section(value, path+".", keys, below)
	into[name.Value] = below
}

// leaf reads a value of a known kind.
func (r *yamlReader) leaf(n *yaml.Node, path string, k key) (any, bool) {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		r.misread(n, path, "an anchor or alias (write the value out)")
		return nil, false
	case k.kind == kindTexts || k.kind == kindObjects:
		return r.list(n, path, k)
	case n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null":
		r.misread(n, path, "%s (%s)", describe(n), k.kind)
		return nil, false
	case k.kind == kindText && n.ShortTag() != "!!str":
		r.misread(n, path, "%s (a text; put it in quotes)", describe(n))
		return nil, false
	case k.kind == kindSwitch && n.ShortTag() != "!!bool", k.kind == kindCount && n.ShortTag() != "!!int":
		r.misread(n, path, "%s (%s)", describe(n), k.kind)
		return nil, false
	}
	if err := k.kind.fits(n.Value); err != nil {
		r.misread(n, path, "%v", err)
		return nil, false
	}
	return n.Value, true
}

func (r *yamlReader) list(n *yaml.Node, path string, k key) (any, bool) {
	if n.Kind != yaml.SequenceNode {
		r.misread(n, path, "%s (%s)", describe(n), k.kind)
		return nil, false
	}
	texts, objects := []string{}, []any{}
	for i, item := range n.Content {
		at := path + "." + strconv.Itoa(i)
		r.places[at] = position{item.Line, item.Column}
		if k.kind == kindTexts {
			if text, ok := r.leaf(item, at, key{name: at, kind: kindText}); ok {
				texts = append(texts, text.(string))
			}
			continue
		}
		object := map[string]any{}
		r.section(item, at+".", prefixed(k.fields, at+"."), object)
		objects = append(objects, object)
	}
	if k.kind == kindTexts {
		return texts, true
	}
	return objects, true
}

func prefixed(fields []key, prefix string) []key {
	keys := slices.Clone(fields)
	for i := range keys {
		keys[i].name = prefix + keys[i].name
	}
	return keys
}

// describe says what a node is, in the words of a person.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	if n.ShortTag() == "!!null" {
		return "nothing"
	}
	return strconv.Quote(n.Value)
}

// nearestKey is a hint at the key that was probably meant.
func nearestKey(path string, keys []key) string {
	names := make([]string, 0, len(keys))
	for _, k := range keys {
		names = append(names, k.name)
	}
	if near := rules.Nearest(path, names); near != "" {
		return fmt.Sprintf(" (did you mean %s?)", near)
	}
	return " (see configs/fieldmedic.yaml for all keys)"
}

// fromText checks the text of a variable or a flag against the key's kind.
func (c *collector) fromText(where string, k key, text string) {
	switch k.kind {
	case kindObjects:
		root := parseYAML(where, []byte(text), c)
		if root == nil {
			return
		}
		r := yamlReader{where: where, found: c, places: map[string]position{}}
		r.list(root, k.name, k)
	case kindTexts:
	default:
		if err := k.kind.fits(text); err != nil {
			c.misread(where, 0, 0, "", "%v", err)
		}
	}
}

// strangeVariables finds variables that look like ours and set nothing. They
// are worth a warning and no more: the name may be somebody else's.
func strangeVariables(environ []string) []string {
	var known, strange []string
	for _, k := range configKeys() {
		known = append(known, envName(k.name))
	}
	for _, pair := range environ {
		name, _, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, envPrefix) || slices.Contains(known, name) {
			continue
		}
		if near := rules.Nearest(name, known); near != "" {
			name += " (did you mean " + near + "?)"
		}
		strange = append(strange, name)
	}
	return strange
}
