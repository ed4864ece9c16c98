package rules

import (
	"bufio"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"fieldmedic/internal/diagnose"

	"go.yaml.in/yaml/v4"
)

// ownConditions are the names that the agent raises: the test's own list, so
// that one that is renamed on either side shows.
func ownConditions() []string {
	return []string{
		"broker-acl-denied", "broker-auth-failed", "broker-client-id-conflict", "broker-stalled", "broker-tls-expired",
		"broker-tls-failed", "broker-unreachable", "clock-suspect", "configuration-rejected", "events-dropped",
		"gateway-id-conflict", "input-dropped", "slow-turn", "storage-failed", "storage-full", "store-damaged",
	}
}

// agentKey is the agent's own word.
func agentKey(name string) diagnose.Key {
	return diagnose.Key{Producer: diagnose.ProducerAgent, Name: name}
}

// TestAgentNames: each of the agent's own faults is known by its name, is of
// the agent, and has at least one way to end that the agent can see.
func TestAgentNames(t *testing.T) {
	s := shippedSet(t)
	var found []string
	for _, condition := range s.Conditions() {
		if s.rules[condition].rule.Scope != diagnose.ScopeDevice {
			found = append(found, condition)
		}
	}
	if !slices.Equal(found, ownConditions()) {
		t.Errorf("conditions of the agent\n%v, want\n%v", found, ownConditions())
	}
	for _, name := range ownConditions() {
		m := s.Match(agentKey(name))
		r := m.Rule
		if !m.Known || r.Condition != name || r.Scope != diagnose.ScopeAgent || m.Family != diagnose.FamilyAgent {
			t.Errorf("%s: %s, scope %s, family %s", name, r.Condition, r.Scope, m.Family)
		}
		if r.Clear.OnSuccess || r.Clear.OnOnline || r.Clear.Manual {
			t.Errorf("%s: clear %+v: nothing that a device says ends it", name, r.Clear)
		}
		for _, producer := range []diagnose.Producer{diagnose.ProducerDNA, diagnose.ProducerAvailability} {
			if s.Match(diagnose.Key{Producer: producer, Name: name}).Known {
				t.Errorf("%s: a device can raise it, by %s", name, producer)
			}
		}
	}
	for _, code := range s.Codes() {
		if r := s.Match(diagnose.Key{Code: code}).Rule; r.Scope != diagnose.ScopeDevice {
			t.Errorf("code %d: scope %s", code, r.Scope)
		}
	}
}

// TestAgentCalls: nobody is called for what heals by itself, or has happened
// and cannot be undone.
func TestAgentCalls(t *testing.T) {
	s := shippedSet(t)
	wakes := func(v diagnose.Severity) bool { return v == diagnose.Critical || v == diagnose.Major }
	for _, name := range ownConditions() {
		r := s.Match(agentKey(name)).Rule
		store := name == "storage-full" || name == "storage-failed"
		switch {
		case store && (!wakes(r.Severity) || r.EarlySeverity != r.Severity || r.Hold > 0 || r.Confirm.Reports != 1):
			t.Errorf("%s: %+v: no time passes while it lasts, so that it is told at once or never", name, r)
		case !store && wakes(r.EarlySeverity):
			t.Errorf("%s: %s at once", name, r.EarlySeverity)
		case !store && wakes(r.Severity) && r.Hold+r.Confirm.Held < 5*time.Minute:
			t.Errorf("%s: %s after %v", name, r.Severity, r.Hold+r.Confirm.Held)
		}
	}
	if r := s.Rule("broker-unreachable"); r.Hold < time.Minute {
		t.Errorf("a broker that restarts is told after %v", r.Hold)
	}
}

// TestAgentActions holds what leads against a list that was made before the
// rules were.
func TestAgentActions(t *testing.T) {
	s := shippedSet(t)
	f, err := os.Open("testdata/expected-agent.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var told []string
	first := 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		condition, list, ok := strings.Cut(lines.Text(), "\t")
		if strings.HasPrefix(condition, "#") || !ok {
			continue
		}
		told = append(told, condition)
		actions := strings.Split(list, ",")
		got := string(s.Match(agentKey(condition)).Rule.Causes[0].Action)
		if !slices.Contains(actions, got) {
			t.Errorf("%s: %s leads, want one of %v", condition, got, actions)
		}
		if got == actions[0] {
			first++
		}
	}
	slices.Sort(told)
	if !slices.Equal(told, ownConditions()) {
		t.Errorf("expectations for\n%v, want\n%v", told, ownConditions())
	}
	if first < 14 {
		t.Errorf("only %d leading actions are the first choice of the list", first)
	}
}

// agentCase is one of packs/agent/cases.yaml.
type agentCase struct {
	Case string
	Say  []struct {
		At          time.Duration
		Fault, Over string
		Msg         string
	}
	Until time.Duration
	Want  []string
}

// TestAgentCases plays the pack's cases through the engine, and wants a case
// for each rule, and for each thing that moves a cause up.
func TestAgentCases(t *testing.T) {
	s := shippedSet(t)
	data, err := os.ReadFile("packs/agent/cases.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []agentCase }
	if err := yaml.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	left := map[string]bool{}
	for _, name := range ownConditions() {
		left[name] = true
		for _, c := range s.Rule(name).Causes {
			for _, w := range c.FirstIf {
				left[name+" "+c.Name+" "+w.ID] = true
			}
		}
	}
	for _, c := range file.Cases {
		t.Run(c.Case, func(t *testing.T) {
			var got []string
			for _, change := range c.play(s) {
				d := &change.Diagnosis
				if d.Scope != diagnose.ScopeAgent || d.Device != "" || d.Gateway != "gw-1" {
					t.Errorf("%s: scope %s, device %q, gateway %q", d.Condition, d.Scope, d.Device, d.Gateway)
				}
				lead := d.Leading()
				delete(left, d.Condition)
				delete(left, d.Condition+" "+lead.Cause+" "+lead.Reason)
				line := fmt.Sprintf("%v %s %s %s %s %s", change.At.Sub(caseStart), change.Type, d.Condition, d.Status, d.Severity, lead.Cause)
				if d.Flapping != nil {
					line += " flapping"
				}
				got = append(got, line)
			}
			if !slices.Equal(got, c.Want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.Want, "\n"))
			}
		})
	}
	for what := range maps.Keys(left) {
		t.Errorf("no case shows %s", what)
	}
}

var caseStart = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// play lets an engine live through a case.
func (c *agentCase) play(s *Set) []diagnose.Change {
	n := 0
	e := diagnose.NewEngine(diagnose.Options{Gateway: "gw-1", Rules: s, NewID: func(time.Time) string {
		n++
		return fmt.Sprintf("id-%d", n)
	}})
	var all []diagnose.Change
	pass := func(until time.Time) {
		for next := e.Next(); !next.IsZero() && !next.After(until); next = e.Next() {
			all = append(all, e.Tick(next).Changes...)
		}
	}
	for _, say := range c.Say {
		now := caseStart.Add(say.At)
		pass(now)
		o := diagnose.Observation{Source: "agent", At: now, Key: agentKey(say.Fault), CodeRaw: say.Fault, Msg: say.Msg}
		if say.Over != "" {
			o.Says, o.Key = diagnose.SaysOver, agentKey(say.Over)
		}
		all = append(all, e.Observe(now, o).Changes...)
	}
	pass(caseStart.Add(c.Until))
	return all
}
