package main

import (
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
		found.unreadable(file, positionOf(root), "%s", misfit(root, aMapping))
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

// aMapping is what a section is, in the words of a message.
const aMapping = "keys with values"

// misfit says that a node is not what belongs in its place.
func misfit(n *yaml.Node, right string) string {
	if isNull(n) {
		return "the value is missing (" + right + ")"
	}
	return describe(n) + " does not fit (" + right + ")"
}

func (r *yamlReader) misfit(n *yaml.Node, path, right string) {
	r.misread(n, path, "%s", misfit(n, right))
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
		r.misfit(n, path, aMapping)
		return
	}
	first := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		if name.Kind != yaml.ScalarNode {
			r.found.add(r.where, positionOf(name), path, "%s cannot be a key (%s)", describe(name), strings.Join(siblings(prefix, keys), ", "))
			continue
		}
		if line, twice := first[name.Value]; twice {
			r.found.add(r.where, positionOf(name), prefix+name.Value, "the key is there twice (once; it stands in line %d too)", line)
			continue
		}
		first[name.Value] = name.Line
		r.value(name, value, prefix, keys, into)
	}
}

// value reads what stands under one name: a leaf, or a section.
func (r *yamlReader) value(name, value *yaml.Node, prefix string, keys []key, into map[string]any) {
	if !slices.Contains(siblings(prefix, keys), name.Value) {
		r.unknown(name, prefix, keys)
		return
	}
	path := prefix + name.Value
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

// unknown tells of a name that is no key. Of a key that was probably meant,
// nothing more is said.
func (r *yamlReader) unknown(name *yaml.Node, prefix string, keys []key) {
	path := prefix + name.Value
	meant, hint := nearestKey(prefix, name.Value, keys)
	for _, k := range meant {
		r.found.forget(k)
	}
	r.misread(name, path, "unknown key (%s)", hint)
}

// plain refuses aliases, anchors and tags. Without its anchor, a value can still
// be judged.
func (r *yamlReader) plain(n *yaml.Node, path string) bool {
	switch {
	case n.Kind == yaml.AliasNode:
		r.misread(n, path, "an alias is not followed (write the value out)")
		return false
	case n.Style&yaml.TaggedStyle != 0:
		r.misread(n, path, "a tag is not read (the plain value)")
		return false
	case n.Anchor != "":
		r.found.add(r.where, positionOf(n), path, "an anchor is of no use (write the value out where it is needed)")
	}
	return true
}

// leaf reads a value of a known kind. Scalars are kept as text.
func (r *yamlReader) leaf(n *yaml.Node, path string, k key) (any, bool) {
	if !r.plain(n, path) {
		return nil, false
	}
	quoted := n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0
	fits := k.kind.fits(n.Value)
	switch {
	case k.kind == kindTexts || k.kind == kindObjects:
		return r.list(n, path, k)
	case n.Kind != yaml.ScalarNode || isNull(n):
		r.misfit(n, path, k.kind.String())
	case k.kind == kindText && n.ShortTag() != "!!str":
		r.misread(n, path, "%s is no text (put it in quotes)", plainKey(n.Value))
	case quoted && fits && (k.kind == kindSwitch || k.kind == kindCount):
		r.misread(n, path, "%s in quotes is a text (%s, without quotes)", quote(n.Value), k.kind)
	case !fits:
		r.misfit(n, path, k.kind.String())
	default:
		return n.Value, true
	}
	return nil, false
}

// list reads a list of texts or of objects. An item that cannot be read keeps
// its place, so that those after it are counted right.
func (r *yamlReader) list(n *yaml.Node, path string, k key) (any, bool) {
	if n.Kind != yaml.SequenceNode {
		r.misfit(n, path, k.kind.String())
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
		r.section(node, at+".", under(at+".", k.fields), object)
		objects[i] = object
	}
	if k.kind == kindTexts {
		return texts, true
	}
	return objects, true
}

// under are the keys of an object under its prefix.
func under(prefix string, fields []key) []key {
	keys := slices.Clone(fields)
	for i := range keys {
		keys[i].name = prefix + keys[i].name
	}
	return keys
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

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
		if !k.kind.fits(text) {
			inside.misread(where, position{}, k.name, "%s does not fit (%s)", quote(text), k.kind)
		}
	}
	c.found = append(c.found, inside.found...)
	for path := range inside.unread {
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
