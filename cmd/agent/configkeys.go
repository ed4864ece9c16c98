package main

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// Size is a number of bytes, written as 64MiB.
type Size int64

// Units of a Size; the longest suffix comes first.
func sizeUnits() []struct {
	suffix string
	bytes  int64
} {
	return []struct {
		suffix string
		bytes  int64
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"B", 1}}
}

// parseSize reads a size: a whole number with a unit.
func parseSize(s string) (Size, error) {
	for _, u := range sizeUnits() {
		digits, ok := strings.CutSuffix(s, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		if err == nil && n > 0 && n <= 1<<40/u.bytes {
			return Size(n * u.bytes), nil
		}
		break
	}
	return 0, fmt.Errorf("%q is no size (a whole number with its unit: 64MiB)", s)
}

// kind is what the value of a key looks like.
type kind int

const (
	kindText kind = iota
	kindSwitch
	kindCount
	kindDuration
	kindSize
	kindTexts
	kindObjects
)

// String names the kind as in a message.
func (k kind) String() string {
	switch k {
	case kindText:
		return "a text"
	case kindSwitch:
		return "true or false"
	case kindCount:
		return "a whole number"
	case kindDuration:
		return "a duration such as 3s, 5m or 720h"
	case kindSize:
		return "a size such as 64MiB"
	case kindTexts:
		return "a list of texts"
	case kindObjects:
		return "a list of objects"
	}
	return "a value"
}

// key is one leaf of the configuration.
type key struct {
	name string
	kind kind
	// fields of each object of a list of objects.
	fields []key
}

// configKeys lists every key, in the order of Config.
func configKeys() []key { return keysOf(reflect.TypeFor[Config](), "") }

func keysOf(t reflect.Type, prefix string) []key {
	var keys []key
	for i := range t.NumField() {
		f := t.Field(i)
		name := prefix + f.Tag.Get("mapstructure")
		switch {
		case f.Type.Kind() == reflect.Struct:
			keys = append(keys, keysOf(f.Type, name+".")...)
		case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct:
			keys = append(keys, key{name, kindObjects, keysOf(f.Type.Elem(), "")})
		default:
			keys = append(keys, key{name: name, kind: kindOfType(f.Type)})
		}
	}
	return keys
}

func kindOfType(t reflect.Type) kind {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return kindDuration
	case t == reflect.TypeFor[Size]():
		return kindSize
	case t.Kind() == reflect.Bool:
		return kindSwitch
	case t.Kind() == reflect.Int:
		return kindCount
	case t.Kind() == reflect.Slice:
		return kindTexts
	}
	return kindText
}

// fits tells what is wrong with a scalar of this kind, or nil.
func (k kind) fits(text string) error {
	var err error
	switch k {
	case kindSwitch:
		if text != "true" && text != "false" {
			err = fmt.Errorf("%q is no switch", text)
		}
	case kindCount:
		if n, e := strconv.Atoi(text); e != nil || strconv.Itoa(n) != text {
			err = fmt.Errorf("%q is no whole number", text)
		}
	case kindDuration:
		if _, e := time.ParseDuration(text); e != nil {
			err = fmt.Errorf("%q is no duration", text)
		}
	case kindSize:
		_, sizeErr := parseSize(text)
		return sizeErr
	case kindText, kindTexts, kindObjects:
	}
	if err != nil {
		return fmt.Errorf("%w (%s)", err, k)
	}
	return nil
}

// listFromText lets the environment and flags give lists: texts by comma,
// objects as YAML.
func listFromText(from, to reflect.Type, data any) (any, error) {
	text, ok := data.(string)
	if !ok || from.Kind() != reflect.String || to.Kind() != reflect.Slice {
		return data, nil
	}
	if to.Elem().Kind() == reflect.String {
		return splitList(text), nil
	}
	var objects []map[string]any
	if err := yaml.Unmarshal([]byte(text), &objects); err != nil {
		return nil, fmt.Errorf("read the list: %w", err)
	}
	return objects, nil
}

func splitList(text string) []string {
	list := []string{}
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			list = append(list, item)
		}
	}
	return list
}

func sizeFromText(_, to reflect.Type, data any) (any, error) {
	if text, ok := data.(string); ok && to == reflect.TypeFor[Size]() {
		return parseSize(text)
	}
	return data, nil
}
