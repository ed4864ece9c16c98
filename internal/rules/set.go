package rules

import (
	"maps"
	"slices"

	"fieldmedic/internal/diagnose"
)

// Set is all rules and their words. It never changes, and may be used from
// several goroutines. It implements diagnose.Rulebook and diagnose.Words.
type Set struct {
	languages []string
	// byName are the indexes of languages in the order of their names.
	byName  []int
	packs   []Pack
	missing map[string][]string
	// codes are the answers for the numbers that rules name, and for aliases;
	// names those for vendor's names, by nameKey.
	codes map[int32]diagnose.Match
	names map[string]diagnose.Match
	// ranges are few; the last that holds a code answers, so that a range that
	// is switched off gives way to one in force.
	ranges []ranged
	// families are the vendor's ranges.
	families []familyRange
	// beyond are single codes outside of these, as a pack says.
	beyond map[int32]diagnose.Family
	// exact are the codes that rules in force name.
	exact []int32
	// rules in force by condition.
	rules       map[string]*entry
	completions *completions
}

// entry is one condition: its rule, and its words by language.
type entry struct {
	rule  *diagnose.Rule
	words []*words
}

// ranged is a range of codes with its rule.
type ranged struct {
	low, high int32
	match     diagnose.Match
}

type familyRange struct {
	low, high int32
	family    diagnose.Family
}

// Pack is one pack as it was loaded.
type Pack struct {
	Name    string
	Version int
	// Site is true for an operator's own pack.
	Site bool
	// Rules counts the rules of the pack that are in force: neither replaced
	// nor switched off by the site.
	Rules int
}

var (
	_ diagnose.Rulebook = (*Set)(nil)
	_ diagnose.Words    = (*Set)(nil)
)

// Match finds the rule for a fault: an exact number before a range, a name
// however it is spelt. What no rule knows gets a completed rule of the pack
// "unknown". It does not allocate for what is known.
func (s *Set) Match(k diagnose.Key) diagnose.Match {
	if k.Name != "" {
		return s.matchName(k)
	}
	if k.Producer != diagnose.ProducerDNA && k.Producer != "" {
		return s.unknown(k.Code)
	}
	if m, ok := s.codes[k.Code]; ok {
		return m
	}
	for i := len(s.ranges) - 1; i >= 0; i-- {
		if r := &s.ranges[i]; r.low <= k.Code && k.Code <= r.high {
			m := r.match
			m.Code, m.Family = k.Code, s.family(k.Code, m.Rule.Family)
			return m
		}
	}
	return s.unknown(k.Code)
}

func (s *Set) unknown(code int32) diagnose.Match {
	var room [maxName]byte
	return diagnose.Match{
		Rule:   s.completions.rule(codeCondition(room[:0], code), s.rules[unknownCode].rule),
		Code:   code,
		Family: s.family(code, diagnose.FamilyUnknown),
	}
}

func (s *Set) matchName(k diagnose.Key) diagnose.Match {
	var room [2 * maxName]byte
	if len(k.Name) < maxMessageName {
		if m, ok := s.names[string(appendNameKey(room[:0], producerFamily(k.Producer), k.Name))]; ok {
			return m
		}
	}
	return diagnose.Match{
		Rule:   s.completions.rule(nameCondition(room[:0], k.Name), s.rules[unknownError].rule),
		Family: diagnose.FamilyUnknown,
	}
}

// maxMessageName bounds the names that are looked up at all: the longest that
// a rule may name, with as much of other signs between.
const maxMessageName = 2 * maxName

// nameKey keeps the name spaces apart: what a vendor's SDK calls a name, what
// an availability message says, and what the agent says of itself.
func nameKey(f diagnose.Family, name string) string {
	return string(appendNameKey(nil, f, name))
}

func appendNameKey(b []byte, f diagnose.Family, name string) []byte {
	space := byte('d')
	switch f {
	case diagnose.FamilyAvailability:
		space = 'a'
	case diagnose.FamilySite, diagnose.FamilyAgent:
		space = 's'
	}
	b = append(b, space, ':')
	return appendSqueezed(b, name)
}

func producerFamily(p diagnose.Producer) diagnose.Family {
	switch p {
	case diagnose.ProducerAvailability:
		return diagnose.FamilyAvailability
	case diagnose.ProducerAgent:
		return diagnose.FamilyAgent
	}
	return diagnose.FamilyUnknown
}

// family is that of the vendor's range that holds the code, else that of the
// pack which says that the code is its own, else other.
func (s *Set) family(code int32, other diagnose.Family) diagnose.Family {
	for _, f := range s.families {
		if f.low <= code && code <= f.high {
			return f.family
		}
	}
	if f, ok := s.beyond[code]; ok {
		return f
	}
	return other
}

// Rule finds a condition's rule by name, also of an unknown code or name; nil
// when there is none, or the site switched it off.
func (s *Set) Rule(condition string) *diagnose.Rule {
	if e := s.rules[condition]; e != nil {
		if isTemplate(condition) {
			return nil // never raised by itself
		}
		return e.rule
	}
	if of := templateOf(condition); of != "" {
		return s.completions.rule([]byte(condition), s.rules[of].rule)
	}
	return nil
}

// entry is what a condition's words are taken from.
func (s *Set) entry(condition string) *entry {
	if e := s.rules[condition]; e != nil {
		return e
	}
	return s.rules[templateOf(condition)]
}

// Packs are the packs, shipped ones first, then the site's, by name.
func (s *Set) Packs() []Pack { return slices.Clone(s.packs) }

// Languages are the configured languages in canonical form; the first is the
// default.
func (s *Set) Languages() []string { return slices.Clone(s.languages) }

// Missing names the packs that have rules without words in a configured
// language; these speak another one there: English, or what the site wrote.
func (s *Set) Missing(lang string) []string { return slices.Clone(s.missing[lang]) }

// Codes are all codes that a rule in force names exactly, sorted; neither
// aliases nor what is in a range only.
func (s *Set) Codes() []int32 { return slices.Clone(s.exact) }

// Conditions are the names of all rules in force, sorted; those of unknown
// codes and names stand for all they are completed to.
func (s *Set) Conditions() []string { return slices.Sorted(maps.Keys(s.rules)) }
