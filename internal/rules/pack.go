package rules

import (
	"time"

	"fieldmedic/internal/diagnose"

	"go.yaml.in/yaml/v4"
)

// pack is one rules.yaml with its words, as read: places are kept for the
// checks, and nothing is looked up yet.
type pack struct {
	file    string
	site    bool
	name    ident
	version int
	family  diagnose.Family
	// span is the vendor's range of this family; zero when there is none.
	span codes
	// beyond are codes outside every range that are of this family, even where
	// another pack's rule has them.
	beyond  []codes
	aliases []alias
	waits   []wait
	rules   []*ruleDef
	// texts by language.
	texts map[string]*textFile
}

// ruleDef is one rule as read. Its diagnose.Rule lacks only what the checks
// between rules have to confirm first.
type ruleDef struct {
	shared
	pack        *pack
	condition   ident
	codes       []codes
	names       []ident
	disabled    bool
	supersedes  []ident
	explainedBy []ident
	steps       readerSteps
	causes      []*causeDef
}

type causeDef struct {
	name    ident
	cause   diagnose.Cause
	firstIf []*whenDef
	steps   readerSteps
}

type whenDef struct {
	id   ident
	open []ident
	when diagnose.When
}

// readerSteps are step ids by reader, in the order of diagnose.Audiences.
type readerSteps [3][]ident

// wait is how long the agent's own signal takes after a step.
type wait struct {
	step   ident
	within time.Duration
}

func families() []diagnose.Family {
	return []diagnose.Family{
		diagnose.FamilyFirmware, diagnose.FamilyAccount, diagnose.FamilyHome, diagnose.FamilyAppSDK,
		diagnose.FamilyDNASDK, diagnose.FamilyAppService, diagnose.FamilyAvailability, diagnose.FamilySite,
		diagnose.FamilyAgent, diagnose.FamilyUnknown,
	}
}

func severities() []diagnose.Severity {
	return []diagnose.Severity{
		diagnose.Critical, diagnose.Major, diagnose.Minor, diagnose.Warning, diagnose.Info,
	}
}

func scopes() []diagnose.Scope {
	return []diagnose.Scope{diagnose.ScopeDevice, diagnose.ScopeSite, diagnose.ScopeAgent}
}

func kinds() []diagnose.Kind { return []diagnose.Kind{diagnose.Permanent, diagnose.Transient} }

// readPack reads a rules.yaml. The pack's name must be want: the name of the
// directory, or of the file.
func readPack(file string, data []byte, want string, site bool, c *collector) *pack {
	root := parse(file, data, c)
	if root == nil {
		return nil
	}
	d := &decoder{file, c}
	p := &pack{file: file, site: site, texts: map[string]*textFile{}}
	var common shared
	var list *yaml.Node
	d.object(root,
		field{"pack", true, d.name(&p.name)},
		field{"version", true, d.count(&p.version, 1, 1_000_000)},
		field{"family", true, oneOf(d, &p.family, "family", families())},
		field{"range", false, d.bounds(&p.span)},
		field{"beyond", false, d.beyond(&p.beyond)},
		field{"aliases", false, d.aliases(&p.aliases)},
		field{"defaults", false, d.defaults(&common)},
		field{"steps", false, d.waits(&p.waits)},
		field{"rules", true, func(n *yaml.Node) { list = n }},
	)
	if p.name.name != "" && p.name.name != want {
		d.add(p.name.at, "pack %q (%q, as the file is called)", p.name.name, want)
	}
	if list != nil {
		// After the defaults, wherever these stand in the file.
		d.list(func(n *yaml.Node) { d.rule(n, p, common) })(list)
	}
	return p
}

func (d *decoder) waits(dst *[]wait) func(*yaml.Node) {
	return func(n *yaml.Node) {
		d.keyed(n, func(key ident, value *yaml.Node) {
			w := wait{step: key}
			d.object(value, field{"within", true, d.span(&w.within, time.Second)})
			if w.within%time.Second != 0 {
				d.add(d.at(value), "%v is no whole number of seconds", w.within)
			}
			*dst = append(*dst, w)
		})
	}
}
