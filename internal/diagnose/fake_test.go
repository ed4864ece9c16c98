package diagnose

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// book is a small rule set written by hand.
type book struct {
	rules   map[string]*Rule
	codes   map[int32]string
	names   map[string]string
	ignored map[int32]bool
}

func (b *book) Match(k Key) Match {
	m := Match{Code: k.Code, Family: FamilyFirmware, Known: true, Ignored: b.ignored[k.Code]}
	if k.Code < -1000 {
		m.Family = FamilyDNASDK
	}
	name := b.codes[k.Code]
	if k.Name != "" {
		name = b.names[k.Name]
	}
	if name == "" {
		m.Known = false
		name = "unknown-code-" + strconv.Itoa(-int(k.Code))
	}
	m.Rule = b.Rule(name)
	return m
}

func (b *book) Rule(condition string) *Rule {
	if r := b.rules[condition]; r != nil {
		return r
	}
	if b.rules["unknown-code"] == nil || !strings.HasPrefix(condition, "unknown-code-") {
		return nil
	}
	r := *b.rules["unknown-code"]
	r.Condition = condition
	return &r
}

// without is the same rule set less one condition.
func (b *book) without(condition string) *book {
	c := &book{rules: make(map[string]*Rule), codes: b.codes, names: b.names, ignored: b.ignored}
	for name, r := range b.rules {
		if name != condition {
			c.rules[name] = r
		}
	}
	return c
}

var often = Flap{Openings: 3, Within: 30 * time.Minute, Quiet: 10 * time.Minute}

// newBook makes the rule set that the tests speak of:
//
//	-7      session-expired   three causes, confirmed by 3 reports in 30m, 10s apart
//	-4 -4022 not-supported    two codes of one meaning, of two families
//	-4000   network-timeout   confirmed when held for 5m; ends by success only
//	-9      device-reset      supersedes network-timeout and device-lost; a person ends it
//	-10     device-busy       ends after 20m of quiet, or by success
//	-4013   dns-failed        causes by the payload's clock; has no flapping
//	-11     user-cancelled    one report confirms
//	lost    device-lost       held for 2m; "online" ends it
//	-100    is switched off
//	storage-full, slow-turn   the agent's own; the latter held for 2m
//	internet-down             the site's
func newBook() *book {
	b := &book{
		rules: make(map[string]*Rule), codes: make(map[int32]string), names: map[string]string{
			"lost": "device-lost", "storage-full": "storage-full", "storage-failed": "storage-failed", "slow-turn": "slow-turn", "internet-down": "internet-down",
		},
		ignored: map[int32]bool{-100: true},
	}
	byCode := Clear{OnSuccess: true, Quiet: 24 * time.Hour}
	one := func(a Action) []Cause { return []Cause{{Name: "cause", Action: a}} }
	add := func(r Rule, codes ...int32) {
		if r.EarlySeverity == "" {
			r.EarlySeverity = r.Severity
		}
		r.Kind, r.Audience, r.Ref = Permanent, Technician, "test/"+r.Condition+"@1"
		r.RankPlainly()
		b.rules[r.Condition] = &r
		for _, c := range codes {
			b.codes[c] = r.Condition
		}
	}
	hello := func(results ...string) []CheckResult { return []CheckResult{{Check: "hello", Results: results}} }
	add(Rule{
		Condition: "session-expired", Severity: Major, EarlySeverity: Warning, Clear: byCode, Flap: often,
		Confirm: Confirm{Reports: 3, Within: 30 * time.Minute, Spacing: 10 * time.Second},
		Causes: []Cause{
			{Name: "key-old", Action: ActReauthenticate, RefutedBy: []CheckResult{{Check: "ping", Results: []string{"lost"}}}},
			{Name: "locked", Action: ActUnlockDevice, SupportedBy: hello("locked"), RefutedBy: hello("unlocked")},
			{Name: "re-paired", Action: ActRepair, FirstIf: []When{
				{ID: "was-reset", Open: []string{"device-reset", "device-busy"}},
				{ID: "said-so", Field: "msg", Matches: regexp.MustCompile("paired")},
				{ID: "keeps-coming", Reports: 5},
			}, RefutedBy: hello("locked", "unlocked")},
		},
	}, -7)
	add(Rule{Condition: "not-supported", Severity: Minor, Clear: byCode, Flap: often, Causes: one(ActUseSupported)}, -4, -4022)
	add(Rule{
		Condition: "network-timeout", Severity: Major, EarlySeverity: Minor, Clear: Clear{OnSuccess: true}, Flap: often,
		Confirm: Confirm{Held: 5 * time.Minute}, Causes: one(ActCheckNetwork),
	}, -4000)
	add(Rule{
		Condition: "device-reset", Severity: Critical, Clear: Clear{Manual: true}, Flap: often,
		Supersedes: []string{"network-timeout", "device-lost"}, Causes: one(ActRepair),
	}, -9)
	add(Rule{
		Condition: "device-busy", Severity: Minor, Clear: Clear{OnSuccess: true, Quiet: 20 * time.Minute}, Flap: often,
		Causes: one(ActWait),
	}, -10)
	add(Rule{Condition: "dns-failed", Severity: Major, Clear: byCode, Causes: []Cause{
		{Name: "resolver", Action: ActCheckDNS},
		{Name: "clock", Action: ActCheckClock, FirstIf: []When{{ID: "clock-differs", Skew: 5 * time.Minute}}},
	}}, -4013)
	add(Rule{
		Condition: "device-lost", Severity: Major, Clear: Clear{OnOnline: true}, Flap: often, Hold: 2 * time.Minute,
		Causes: one(ActCheckPower),
	})
	add(Rule{
		Condition: "user-cancelled", Severity: Info, Clear: byCode, Flap: often, Confirm: Confirm{Reports: 1}, Causes: one(ActNone),
	}, -11)
	add(Rule{Condition: "storage-full", Scope: ScopeAgent, Severity: Critical, Flap: often, Causes: one(ActFreeStorage)})
	add(Rule{Condition: "storage-failed", Scope: ScopeAgent, Severity: Critical, Flap: often, Causes: one(ActCheckHost)})
	add(Rule{Condition: "slow-turn", Scope: ScopeAgent, Severity: Minor, Flap: often, Hold: 2 * time.Minute, Causes: one(ActCheckHost)})
	add(Rule{Condition: "internet-down", Scope: ScopeSite, Severity: Major, Clear: Clear{Quiet: time.Hour}, Causes: one(ActCheckNetwork)})
	add(Rule{Condition: "unknown-code", Severity: Info, Clear: byCode, Flap: often, Causes: one(ActContactSupport)})
	return b
}

// plainWords says everything in one plain way.
type plainWords struct{ advice int } // bytes of one summary

func (plainWords) Title(d *Diagnosis) string                  { return "title of " + d.Condition }
func (plainWords) Because(_ *Diagnosis, c RankedCause) string { return "because of " + c.Cause }
func (w plainWords) Advice(d *Diagnosis) map[string]Advice {
	return map[string]Advice{"en": {Title: w.Title(d), Summary: strings.Repeat("x", w.advice)}}
}

func (w plainWords) AppendAdvice(b []byte, d *Diagnosis) []byte {
	advice, err := json.Marshal(w.Advice(d))
	if err != nil {
		return b // texts always encode
	}
	return append(b, advice...)
}

// counter makes ids that tell their order.
func counter() func(time.Time) string {
	n := 0
	return func(time.Time) string { n++; return fmt.Sprintf("id-%d", n) }
}
