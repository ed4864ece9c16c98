package main

import (
	"os"
	"slices"
	"strings"
	"time"

	"fieldmedic/internal/mqtt"
	"fieldmedic/internal/rules"
)

// Bounds of values that nothing else bounds.
const (
	minTimeout   = 100 * time.Millisecond
	maxTimeout   = 5 * time.Second // a check as a whole ends then
	maxPerMinute = 600
	minRetention = time.Hour
	minStore     = Size(1 << 20)
)

// check judges the values as a whole, section by section.
func (c *Config) check(k *checker) {
	if !mqtt.ValidID(c.Gateway) {
		k.wrong("gateway", "%s cannot be a level of a topic (1 to %d bytes without /, +, # and control characters)", quote(c.Gateway), mqtt.MaxID)
	}
	c.checkLanguages(k)
	c.checkPlaces(k)
	c.checkMQTT(k)
	c.checkSources(k)
	c.checkSite(k)
	c.checkBounds(k)
	c.checkWeb(k)
	oneOf(k, "log.level", c.Log.Level, "debug", "info", "warn", "error")
	oneOf(k, "log.format", c.Log.Format, "auto", "text", "json")
}

// oneOf holds a value against the known ones.
func oneOf(k *checker, path, value string, known ...string) {
	if slices.Contains(known, value) {
		return
	}
	if near := rules.Nearest(strings.ToLower(value), known); near != "" {
		k.wrong(path, "%s is not known (did you mean %s?)", quote(value), near)
		return
	}
	k.wrong(path, "%s is not known (%s)", quote(value), strings.Join(known, ", "))
}

// noRepeats finds texts that are in a list twice.
func noRepeats(k *checker, path string, items []string) {
	for i, text := range items {
		if slices.Contains(items[:i], text) {
			k.wrong(item(path, i), "%s is there twice (once)", text)
		}
	}
}

func (c *Config) checkLanguages(k *checker) {
	if len(c.Languages) == 0 {
		k.wrong("languages", "the list is empty (at least one language, as [en])")
	}
	for i, lang := range c.Languages {
		if _, ok := rules.Canonical(lang); !ok {
			k.wrong(item("languages", i), "%s is no language (a BCP 47 tag such as en, de-AT or zh-Hans)", quote(lang))
		}
	}
	noRepeats(k, "languages", c.Languages)
}

// checkPlaces looks at the two directories. That of the state is made when it
// is not there; that of the rules is the operator's.
func (c *Config) checkPlaces(k *checker) {
	if c.State.Dir == "" {
		k.wrong("state.dir", "no place for the state is known (a directory; neither $STATE_DIRECTORY nor $HOME is set)")
	} else if info, err := os.Stat(c.State.Dir); err == nil && !info.IsDir() {
		k.wrong("state.dir", "%s is no directory (one that may be written to)", c.State.Dir)
	}
	if c.Rules.Dir == "" {
		return
	}
	if info, err := os.Stat(c.Rules.Dir); err != nil {
		k.wrong("rules.dir", "%s %v (a directory with site rules, or \"\")", c.Rules.Dir, plainFileError(err))
	} else if !info.IsDir() {
		k.wrong("rules.dir", "%s is no directory (one with site rules, or \"\")", c.Rules.Dir)
	}
}

func (c *Config) checkBounds(k *checker) {
	if t := c.Checks.Timeout; t < minTimeout || t > maxTimeout {
		k.wrong("checks.timeout", "%v is out of bounds (%v to %v)", t, minTimeout, maxTimeout)
	}
	if n := c.Checks.PerMinute; n < 1 || n > maxPerMinute {
		k.wrong("checks.per_minute", "%d is out of bounds (1 to %d; checks.enabled: false switches checks off)", n, maxPerMinute)
	}
	if c.Store.Retention < minRetention {
		k.wrong("store.retention", "%v is too short (1h or more)", c.Store.Retention)
	}
	if c.Store.MaxSize < minStore {
		k.wrong("store.max_size", "%v is too small (%v or more)", c.Store.MaxSize, minStore)
	}
}
