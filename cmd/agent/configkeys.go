package main

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes, written as 64MiB.
type Size int64

// maxWritten is the largest Size that may be written, 1 TiB.
const maxWritten = 1 << 40

// parseSize reads a size: a whole number above 0 with a unit, 1 TiB at most.
func parseSize(text string) (Size, bool) {
	units := []struct {
		suffix string
		bytes  int64
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"B", 1}} // B is the end of all others
	for _, u := range units {
		digits, ok := strings.CutSuffix(text, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || n <= 0 || n > maxWritten/u.bytes || strconv.FormatInt(n, 10) != digits {
			return 0, false
		}
		return Size(n * u.bytes), true
	}
	return 0, false
}

// String is the size in the largest unit that divides it.
func (s Size) String() string {
	switch {
	case s != 0 && s%(1<<30) == 0:
		return strconv.FormatInt(int64(s>>30), 10) + "GiB"
	case s != 0 && s%(1<<20) == 0:
		return strconv.FormatInt(int64(s>>20), 10) + "MiB"
	case s != 0 && s%(1<<10) == 0:
		return strconv.FormatInt(int64(s>>10), 10) + "KiB"
	}
	return strconv.FormatInt(int64(s), 10) + "B"
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
	for f := range t.Fields() {
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

// fits tells whether a text is a scalar of this kind.
func (k kind) fits(text string) bool {
	fits := true
	switch k {
	case kindSwitch:
		fits = text == "true" || text == "false"
	case kindCount:
		n, err := strconv.Atoi(text)
		fits = err == nil && strconv.Itoa(n) == text
	case kindDuration:
		_, err := time.ParseDuration(text)
		fits = err == nil
	case kindSize:
		_, fits = parseSize(text)
	case kindText, kindTexts, kindObjects:
	}
	return fits
}

// listFromText makes a list of what a variable or a flag gave: texts by comma,
// objects as YAML. That it can be read was found out before.
func listFromText(from, to reflect.Type, data any) (any, error) {
	text, ok := data.(string)
	if !ok || from.Kind() != reflect.String || to.Kind() != reflect.Slice {
		return data, nil
	}
	if to.Elem().Kind() == reflect.String {
		return splitList(text), nil
	}
	k := key{kind: kindObjects, fields: keysOf(to.Elem(), "")}
	return objectsFromText("", k, text, new(collector), map[string]position{}), nil
}

// splitList splits at commas. Blanks around an item are not part of it, and an
// empty text is an empty list.
func splitList(text string) []string {
	if strings.TrimSpace(text) == "" {
		return []string{}
	}
	items := strings.Split(text, ",")
	for i := range items {
		items[i] = strings.TrimSpace(items[i])
	}
	return items
}

func sizeFromText(_, to reflect.Type, data any) (any, error) {
	text, ok := data.(string)
	if !ok || to != reflect.TypeFor[Size]() {
		return data, nil
	}
	size, ok := parseSize(text)
	if !ok {
		return nil, fmt.Errorf("%s does not fit (%s)", quote(text), kindSize)
	}
	return size, nil
}
