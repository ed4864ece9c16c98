package rules

import "fieldmedic/internal/diagnose"

// This file keeps apart what raises and ends a condition: a device's code, its
// presence, or the agent's own word.

// nameItself gives a rule for the agent's own words the name that these have:
// the condition's, unless the rule says another.
func (r *ruleDef) nameItself() {
	if ownWords(r.pack.family) && len(r.names)+len(r.codes) == 0 && r.condition.name != "" {
		r.names = []ident{{squeeze(r.condition.name), r.condition.at}}
	}
}

// ownWords tells that the agent itself raises a family's conditions, by name.
func ownWords(f diagnose.Family) bool {
	return f == diagnose.FamilySite || f == diagnose.FamilyAgent
}

// checkFamily holds apart what belongs to codes, to availability, and to the
// agent's own words.
func (d *decoder) checkFamily(r *ruleDef) {
	family := r.pack.family
	codes := false
	switch {
	case ownWords(family), family == diagnose.FamilyAvailability:
		if len(r.codes) > 0 {
			d.add(r.codes[0].at, "codes in family %s (names)", family)
		}
		if len(r.names) == 0 && family == diagnose.FamilyAvailability {
			d.add(r.condition.at, "no names: nothing raises it")
		}
	default:
		codes = true
		if len(r.codes)+len(r.names) == 0 && family != diagnose.FamilyUnknown {
			d.add(r.condition.at, "neither codes nor names: nothing raises it")
		}
	}
	if codes && r.rule.Hold > 0 {
		d.add(r.condition.at, "hold in family %s (availability, site and agent only: a code raises at once)", family)
	}
	d.checkScope(r)
	d.checkSignals(r)
}

// checkScope wants the agent's own words to be of no device, and all others to
// be of one: a report names the device it is about.
func (d *decoder) checkScope(r *ruleDef) {
	scope, family := r.rule.Scope, r.pack.family
	switch own := ownWords(family); {
	case own && (scope == diagnose.ScopeDevice || scope == ""):
		d.add(r.condition.at, "scope %s in family %s (agent or site: what the agent says by itself is of no device)", diagnose.ScopeDevice, family)
	case !own && scope != diagnose.ScopeDevice && scope != "":
		d.add(r.condition.at, "scope %s in family %s (%s: only names that the agent says by itself, in families agent and site, have another)",
			scope, family, diagnose.ScopeDevice)
	}
}

// checkSignals refuses to wait for a signal that never comes.
func (d *decoder) checkSignals(r *ruleDef) {
	at, family, c := r.condition.at, r.pack.family, r.rule.Clear
	own := ownWords(family)
	if c.OnOnline && family != diagnose.FamilyAvailability {
		d.add(at, "signal online in family %s (availability only; %s)", family, signalOf(own))
	}
	if c.OnSuccess && own {
		d.add(at, "signal success in family %s (%s)", family, signalOf(own))
	}
	if r.over && !own {
		d.add(at, "signal over in family %s (agent and site only: there the agent itself says that it is over)", family)
	}
}

// signalOf says what disproves a fault.
func signalOf(own bool) string {
	if own {
		return "the agent's own is over"
	}
	return "a code is disproved by success"
}
