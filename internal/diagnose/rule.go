package diagnose

import (
	"regexp"
	"time"
)

// Rule is one condition's compiled, immutable rule. Rules come from YAML
// (package rules); the engine only reads them. Two rules are the same rule
// where their pointers are equal.
type Rule struct {
	// Condition is the stable kebab-case name of the fault.
	Condition string
	// Ref is "pack/condition@version".
	Ref string
	// Family is the pack's; a code inside another family's range overrules it.
	Family Family
	// Scope of what it makes: a device's, the site's, or the agent's own.
	Scope    Scope
	Severity Severity
	// EarlySeverity is the severity while suspected; the same as Severity
	// unless the rule says otherwise.
	EarlySeverity Severity
	Kind          Kind
	Audience      Audience
	// Hold is how long an availability condition must last before it is told
	// at all; 0 for codes, which raise at their first report.
	Hold    time.Duration
	Confirm Confirm
	Clear   Clear
	Flap    Flap
	// Supersedes names the conditions of the same device that a report of
	// this one ends.
	Supersedes []string
	// Causes in the rule's own order, most likely first; never empty.
	Causes []Cause
	// Ranking is how the causes stand while nothing speaks for one of them;
	// see RankPlainly. All diagnoses share it, and nobody may write to it. With
	// nil, each diagnosis has its own.
	Ranking []RankedCause
	// ExplainedBy names site or root conditions that explain this one.
	ExplainedBy []string
	// Deprecated marks a code that the vendor says is not in use: seeing it
	// is itself worth telling.
	Deprecated bool
}

// Confirm says when a suspected condition is taken as confirmed. Either bound
// suffices; zero switches one off.
type Confirm struct {
	// Reports that many live reports within Within, each counted only when
	// Spacing has passed since the one counted before: a burst of retries is
	// one piece of evidence, not five.
	Reports int
	Within  time.Duration
	Spacing time.Duration
	// Held confirms when the condition stayed open that long.
	Held time.Duration
}

// Clear says how a condition ends. At least one way is always there.
type Clear struct {
	// OnSuccess: code 0 from the device disproves it.
	OnSuccess bool
	// OnOnline: an availability message "online" disproves it.
	OnOnline bool
	// Quiet ends it when no report came for that long; 0: never.
	Quiet time.Duration
	// Manual only: neither signal nor time, a person must say so.
	Manual bool
}

// Flap says when a condition that comes and goes is told once, as flapping.
type Flap struct {
	// Openings within Within make it flapping; 0 switches it off.
	Openings int
	Within   time.Duration
	// Quiet is how long after the last fault, with a success as the last
	// word, a flapping condition ends.
	Quiet time.Duration
}

// Cause is one possible reason for a condition.
type Cause struct {
	// Name in kebab-case, unique within the rule.
	Name   string
	Action Action
	// FirstIf moves the cause ahead of those before it when one of its
	// entries holds.
	FirstIf []When
	// SupportedBy and RefutedBy name check results: one that supports
	// confirms the cause, one that refutes excludes it.
	SupportedBy []CheckResult
	RefutedBy   []CheckResult
}

// When is a conjunction of what else is known; unset parts hold.
type When struct {
	// ID names the sentence that tells why (text key), kebab-case.
	ID string
	// Open: one of these conditions is open on the same device.
	Open []string
	// Field and Matches: a payload field (model, fw, pid, did, mac, ip, msg)
	// matches the expression.
	Field   string
	Matches *regexp.Regexp
	// Reports: at least so many spaced reports (Confirm.Spacing) in this
	// occurrence.
	Reports int
	// Skew: the payload's clock is at least that far off the gateway's.
	Skew time.Duration
}

// RankPlainly makes the rule's Ranking, when its causes are complete: the first
// is likely, the others are possible.
func (r *Rule) RankPlainly() {
	r.Ranking = make([]RankedCause, len(r.Causes))
	for i, c := range r.Causes {
		r.Ranking[i] = RankedCause{Cause: c.Name, Action: c.Action, Verdict: VerdictPossible}
	}
	if len(r.Ranking) > 0 {
		r.Ranking[0].Verdict = VerdictLikely
	}
}

// CheckResult names results of one kind of check.
type CheckResult struct {
	Check   string
	Results []string
}

// Rulebook is what the engine asks of the rules. Its answers never change: a
// reload is a new Rulebook.
type Rulebook interface {
	// Match finds the rule for a fault, the code to publish (aliases resolved)
	// and the code's family. For a code no rule knows, it answers the rule of
	// unknown codes with the condition's name completed. It never answers nil.
	Match(k Key) Match
	// Rule finds a condition's rule by name, also of an unknown code; nil
	// when there is none (any more).
	Rule(condition string) *Rule
}

// Match is a Rulebook's answer for one key.
type Match struct {
	Rule   *Rule
	Code   int32 // the canonical number: -49010 is published as -490010
	Family Family
	Known  bool // false for a code that no rule knows
	// Ignored: a site rule switched the condition off; nothing is raised.
	Ignored bool
}
