package main

import (
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// position counts from 1; the zero position is none.
type position struct{ line, col int }

func positionOf(n *yaml.Node) position { return position{n.Line, n.Column} }

// configTree is a file, read: the values that are what they should be, and
// where each stands. Viper knows neither lines nor duplicate keys, so this
// pass goes first.
type configTree struct {
	file   string
	values map[string]any
	places map[string]position
}

// readYAML reads a file's content against the known keys.
func readYAML(file string, content []byte, found *collector) configTree {
	t := configTree{file: file, values: map[string]any{}, places: map[string]position{}}
	root := parseYAML(file, content, found)
	if root == nil {
		return t
	}
	if root.Kind != yaml.MappingNode {
		found.unreadable(file, positionOf(root), "%s (keys with values)", describe(root))
		return t
	}
	r := yamlReader{where: file, found: found, places: t.places}
	r.section(root, "", configKeys(), t.values)
	return t
}

// yamlReader walks nodes against keys.
type yamlReader struct {
	where  string
	found  *collector
	places map[string]position
}

func (r *yamlReader) misread(n *yaml.Node, path, format string, args ...any) {
	r.found.misread(r.where, positionOf(n), path, format, args...)
}

// section reads a mapping whose keys are those below prefix, which is empty or
// ends in a dot.
func (r *yamlReader) section(n *yaml.Node, prefix string, keys []key, into map[string]any) {
	path := strings.TrimSuffix(prefix, ".")
	if !r.plain(n, path) {
		return
	}
	if n.Kind != yaml.MappingNode {
		r.misread(n, path, "%s (keys with values)", describe(n))
		return
	}
	first := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		if name.Kind != yaml.ScalarNode {
			r.found.add(r.where, positionOf(name), path, "%s as a key (one of %s)", describe(name), list(names(prefix, keys)))
			continue
		}
		below := prefix + name.Value
		if line, twice := first[name.Value]; twice {
			r.found.add(r.where, positionOf(name), below, "the key is there twice (once; it stands in line %d too)", line)
			continue
		}
		first[name.Value] = name.Line
		r.value(name, value, below, keys, into)
	}
}

// value reads what stands under one name: a leaf, or a section.
func (r *yamlReader) value(name, value *yaml.Node, path string, keys []key, into map[string]any) {
	prefix := strings.TrimSuffix(path, name.Value)
	if !slices.Contains(names(prefix, keys), name.Value) {
		r.unknown(name, prefix, keys)
		return
	}
	r.places[path] = positionOf(value)
	i := slices.IndexFunc(keys, func(k key) bool { return k.name == path })
	switch {
	case i >= 0:
		if v, ok := r.leaf(value, path, keys[i]); ok {
			into[name.Value] = v
		}
	case !isNull(value):
		below := map[string]any{}
		r.section(value, path+".", keys, below)
		into[name.Value] = below
	default: // a section with everything commented out
	}
}

// unknown tells of a name that is no key. Of the key that was probably meant,
// nothing more is said.
func (r *yamlReader) unknown(name *yaml.Node, prefix string, keys []key) {
	path := prefix + name.Value
	near, hint := nearestKey(prefix, name.Value, keys)
	if near != "" {
		r.found.forget(near)
	}
	r.misread(name, path, "unknown key (%s)", hint)
}

// plain refuses anchors, aliases and tags.
func (r *yamlReader) plain(n *yaml.Node, path string) bool {
	switch {
	case n.Kind == yaml.AliasNode:
		r.misread(n, path, "an alias (write the value out)")
	case n.Anchor != "":
		r.misread(n, path, "an anchor (write the value out where it is needed)")
	case n.Style&yaml.TaggedStyle != 0:
		r.misread(n, path, "a tag (a plain value)")
	default:
		return true
	}
	return false
}

// leaf reads a value of a known kind. Scalars are kept as text.
func (r *yamlReader) leaf(n *yaml.Node, path string, k key) (any, bool) {
	if !r.plain(n, path) {
		return nil, false
	}
	tag := n.ShortTag()
	switch {
	case k.kind == kindTexts || k.kind == kindObjects:
		return r.list(n, path, k)
	case n.Kind != yaml.ScalarNode || tag == "!!null":
		r.misread(n, path, "%s (%s)", describe(n), k.kind)
		return nil, false
	case k.kind == kindText && tag != "!!str":
		r.misread(n, path, "%s is no text (put it in quotes)", n.Value)
		return nil, false
	case k.kind == kindSwitch && tag != "!!bool", k.kind == kindCount && tag != "!!int":
		r.misread(n, path, "%s is not %s", describe(n), k.kind)
		return nil, false
	}
	if err := k.kind.fits(n.Value); err != nil {
		r.misread(n, path, "%v", err)
		return nil, false
	}
	return n.Value, true
}

// list reads a list of texts or of objects. An item that cannot be read keeps
// its place, so that those after it are counted right.
func (r *yamlReader) list(n *yaml.Node, path string, k key) (any, bool) {
	if n.Kind != yaml.SequenceNode {
		r.misread(n, path, "%s (%s)", describe(n), k.kind)
		return nil, false
	}
	texts, objects := make([]string, len(n.Content)), make([]any, len(n.Content))
	for i, node := range n.Content {
		at := item(path, i)
		r.places[at] = positionOf(node)
		if k.kind == kindTexts {
			if text, ok := r.leaf(node, at, key{name: at, kind: kindText}); ok {
				texts[i], _ = text.(string)
			}
			continue
		}
		object := map[string]any{}
		r.section(node, at+".", below(k.fields, at+"."), object)
		objects[i] = object
	}
	if k.kind == kindTexts {
		return texts, true
	}
	return objects, true
}

// below are keys under a prefix.
func below(fields []key, prefix string) []key {
	keys := slices.Clone(fields)
	for i := range keys {
		keys[i].name = prefix + keys[i].name
	}
	return keys
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// describe says what a node is, in the words of a person.
func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.AliasNode:
		return "an alias"
	case isNull(n):
		return "no value"
	}
	return quote(n.Value)
}

// fromText reads the text of a variable or a flag as its key's kind, and tells
// whether it can be. Of a list of objects it answers where each thing stands.
func (c *collector) fromText(where string, k key, text string) (map[string]position, bool) {
	var inside collector
	places := map[string]position{}
	switch k.kind {
	case kindObjects:
		objectsFromText(where, k, text, &inside, places)
	case kindTexts:
	case kindText, kindSwitch, kindCount, kindDuration, kindSize:
		if err := k.kind.fits(text); err != nil {
			inside.misread(where, position{}, k.name, "%v", err)
		}
	}
	c.found = append(c.found, inside.found...)
	for path := range maps.Keys(inside.unread) {
		c.forget(path)
	}
	if inside.broken {
		c.forget(k.name)
	}
	return places, !inside.broken && !inside.unread[k.name]
}

// objectsFromText reads a list of objects that was written as YAML.
func objectsFromText(where string, k key, text string, found *collector, places map[string]position) any {
	root := parseYAML(where, []byte(text), found)
	if root == nil {
		return []any{}
	}
	r := yamlReader{where: where, found: found, places: places}
	value, _ := r.leaf(root, k.name, k)
	return value
}
