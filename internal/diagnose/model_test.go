package diagnose

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// The model knows seven conditions by heart, keeps no timers, and works out by
// plain comparison what should be open: what the engine does with heaps,
// flags and deltas must come out the same.
type modelRule struct {
	success, online bool
	quiet, hold     time.Duration
}

var modelRules = map[string]modelRule{
	"session-expired": {success: true, quiet: 24 * time.Hour},
	"not-supported":   {success: true, quiet: 24 * time.Hour},
	"device-busy":     {success: true, quiet: 20 * time.Minute},
	"device-reset":    {},
	"device-lost":     {online: true, hold: 2 * time.Minute},
	"storage-full":    {},
	"slow-turn":       {hold: 2 * time.Minute},
}

var modelCodes = map[int32]string{-7: "session-expired", -4: "not-supported", -4022: "not-supported", -10: "device-busy", -9: "device-reset"}

type modelProblem struct {
	open, told, flapping, faulty, held bool
	occ                                int
	since, fault                       time.Time // of holding, of the last fault
	openings                           []time.Time
}

type model struct {
	problems map[string]*modelProblem // "device condition"
	events   []string
}

func (m *model) get(device, condition string) *modelProblem {
	key := device + " " + condition
	if m.problems[key] == nil {
		m.problems[key] = &modelProblem{}
	}
	return m.problems[key]
}

func (m *model) keys() []string { return slices.Sorted(maps.Keys(m.problems)) }

func (m *model) event(kind, key string, p *modelProblem) {
	m.events = append(m.events, fmt.Sprintf("%s %s occ=%d flapping=%v", kind, key, p.occ, p.flapping))
}

func (m *model) begin(key string, p *modelProblem, tell bool) {
	p.open, p.told, p.held, p.faulty = true, tell, false, true
	p.occ++
	if p.flapping = tell && len(p.openings) >= 3; tell {
		m.event("raised", key, p)
	}
}

func (m *model) end(key string, p *modelProblem) {
	if p.open && p.told {
		m.event("cleared", key, p)
	}
	if p.flapping {
		p.openings = nil
	}
	p.open, p.held, p.flapping = false, false, false
}

func (p *modelProblem) onset(now time.Time) {
	p.openings = slices.DeleteFunc(append(p.openings, now), func(t time.Time) bool { return now.Sub(t) > 30*time.Minute })
}

func (m *model) fault(now time.Time, device, condition string, retained bool) {
	p, key := m.get(device, condition), device+" "+condition
	if condition == "device-reset" && !retained {
		m.end(device+" device-lost", m.get(device, "device-lost"))
	}
	switch {
	case retained:
		if !p.open && !p.held && p.occ == 0 {
			p.fault = now
			m.begin(key, p, false)
		}
	case p.open && !p.told:
		p.onset(now)
		p.told, p.fault = true, now
		p.flapping = len(p.openings) >= 3
		m.event("raised", key, p)
	case p.open:
		p.fault, p.faulty = now, true
	case p.held:
	default:
		p.onset(now)
		p.fault = now
		if modelRules[condition].hold > 0 && len(p.openings) < 3 {
			p.held, p.since = true, now
			return
		}
		m.begin(key, p, true)
	}
}

func (m *model) signal(device string, proves func(modelRule) bool) {
	m.over(device, func(condition string) bool { return proves(modelRules[condition]) })
}

func (m *model) over(device string, ends func(condition string) bool) {
	for _, key := range m.keys() {
		dev, condition, _ := strings.Cut(key, " ")
		p := m.problems[key]
		switch {
		case dev != device || !ends(condition):
		case p.open && p.flapping:
			p.faulty = false
		default:
			m.end(key, p)
		}
	}
}

// until lets time pass, a second a step.
func (m *model) until(from, to time.Time) {
	for now := from; !now.After(to); now = now.Add(time.Second) {
		for _, key := range m.keys() {
			_, condition, _ := strings.Cut(key, " ")
			p, r := m.problems[key], modelRules[condition]
			switch {
			case p.held && now.Sub(p.since) >= r.hold:
				p.fault = now
				m.begin(key, p, true)
			case p.open && p.flapping && !p.faulty && now.Sub(p.fault) >= 10*time.Minute,
				p.open && r.quiet > 0 && !(p.flapping && !p.faulty) && now.Sub(p.fault) >= r.quiet:
				m.end(key, p)
			}
		}
	}
}

func (m *model) drop(device string) {
	for _, key := range m.keys() {
		if strings.HasPrefix(key, device+" ") {
			m.end(key, m.problems[key])
			delete(m.problems, key)
		}
	}
}

func (m *model) restart(now time.Time) {
	for _, p := range m.problems {
		if p.open {
			p.fault = now
		}
		p.since = now
	}
}

func (m *model) open() map[string]int {
	set := make(map[string]int)
	for key, p := range m.problems {
		if p.open {
			set[key] = p.occ
		}
	}
	return set
}
