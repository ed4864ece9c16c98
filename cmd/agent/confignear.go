package main

import (
	"slices"
	"strings"

	"fieldmedic/internal/rules"
)

// siblings are the names that may stand right below prefix, in their order:
// leaves and sections.
func siblings(prefix string, keys []key) []string {
	var names []string
	for _, k := range keys {
		rest, ok := strings.CutPrefix(k.name, prefix)
		if !ok {
			continue
		}
		name, _, _ := strings.Cut(rest, ".")
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// nearestKey looks for what was probably meant by an unknown name below prefix.
// It answers the keys, and in words what would be right.
func nearestKey(prefix, name string, keys []key) (meant []string, hint string) {
	known := siblings(prefix, keys)
	if section, rest, dotted := strings.Cut(name, "."); dotted && slices.Contains(known, section) {
		return []string{prefix + name}, "write it as two levels, " + section + ": and " + plainKey(rest) + ": below it"
	}
	// The right name in the wrong place.
	for _, k := range keys {
		if k.name == name || strings.HasSuffix(k.name, "."+name) {
			meant = append(meant, k.name)
		}
	}
	if len(meant) == 0 {
		if near := rules.Nearest(strings.ToLower(name), known); near != "" {
			meant = append(meant, prefix+near)
		}
	}
	// Half a name, as password for password_file.
	half := func(k string) bool { return len(name) > 2 && strings.HasPrefix(k, name+"_") }
	if i := slices.IndexFunc(known, half); i >= 0 && len(meant) == 0 {
		meant = append(meant, prefix+known[i])
	}
	if len(meant) == 0 {
		return nil, "known here: " + strings.Join(known, ", ")
	}
	return meant, "did you mean " + strings.Join(meant, " or ") + "?"
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
