package rules

import (
	"strconv"
	"strings"
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
	pack        *pack
	condition   ident
	codes       []codes
	names       []ident
	disabled    bool
	rule        diagnose.Rule
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

// codes is one number (low == high) or a range of them.
type codes struct {
	low, high int32
	at        place
}

func (c codes) holds(code int32) bool { return c.low <= code && code <= c.high }

func (c codes) String() string {
	if c.low == c.high {
		return strconv.Itoa(int(c.low))
	}
	return strconv.Itoa(int(c.low)) + ".." + strconv.Itoa(int(c.high))
}

// alias is another spelling of a code.
type alias struct {
	from, to int32
	at       place
}

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
	var common diagnose.Rule
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

// defaults reads what rules of the pack have when they do not say otherwise.
func (d *decoder) defaults(r *diagnose.Rule) func(*yaml.Node) {
	return func(n *yaml.Node) { d.object(n, d.common(r)...) }
}

// common are the keys that a rule and the defaults share. A group (confirm,
// clear, flap) replaces the default's group as a whole.
func (d *decoder) common(r *diagnose.Rule) []field {
	audiences := diagnose.Audiences()
	return []field{
		{"severity", false, oneOf(d, &r.Severity, "severity", severities())},
		{"kind", false, oneOf(d, &r.Kind, "kind", kinds())},
		{"audience", false, oneOf(d, &r.Audience, "reader", audiences)},
		{"confirm", false, d.confirm(&r.Confirm)},
		{"clear", false, d.clear(&r.Clear)},
		{"flap", false, d.flap(&r.Flap)},
	}
}

const maxReports = 10_000

func (d *decoder) confirm(dst *diagnose.Confirm) func(*yaml.Node) {
	return func(n *yaml.Node) {
		var v diagnose.Confirm
		d.object(n,
			field{"reports", false, d.count(&v.Reports, 1, maxReports)},
			field{"within", false, d.span(&v.Within, time.Second)},
			field{"spacing", false, d.span(&v.Spacing, 0)},
			field{"held", false, d.span(&v.Held, time.Second)},
		)
		d.checkConfirm(d.at(n), v)
		*dst = v
	}
}

// checkConfirm refuses bounds that can never be met.
func (d *decoder) checkConfirm(at place, v diagnose.Confirm) {
	needs := v.Spacing * time.Duration(max(0, v.Reports-1))
	switch {
	case v.Reports > 1 && v.Within == 0:
		d.add(at, "%d reports without a time (add within)", v.Reports)
	case v.Reports <= 1 && v.Within > 0:
		d.add(at, "within without reports (add reports, 2 or more)")
	case v.Within > 0 && needs > v.Within:
		d.add(at, "%d reports %v apart take %v, which is longer than within %v", v.Reports, v.Spacing, needs, v.Within)
	case v.Reports == 0 && v.Held == 0:
		d.add(at, "nothing confirms (reports with within, or held)")
	}
}

func (d *decoder) clear(dst *diagnose.Clear) func(*yaml.Node) {
	return func(n *yaml.Node) {
		var v diagnose.Clear
		d.object(n,
			field{"signal", false, d.signals(&v)},
			field{"quiet", false, d.span(&v.Quiet, time.Second)},
			field{"manual", false, d.flag(&v.Manual)},
		)
		*dst = v
		signal := v.OnSuccess || v.OnOnline
		switch {
		case v.Manual && (signal || v.Quiet > 0):
			d.add(d.at(n), "manual beside signal or quiet (manual: true means a person only)")
		case !v.Manual && !signal && v.Quiet == 0:
			d.add(d.at(n), "nothing ends it (signal: [success], quiet: 24h, or manual: true)")
		}
	}
}

func (d *decoder) signals(v *diagnose.Clear) func(*yaml.Node) {
	known := []string{"success", "online"}
	return d.list(func(n *yaml.Node) {
		var word string
		oneOf(d, &word, "signal", known)(n)
		v.OnSuccess = v.OnSuccess || word == known[0]
		v.OnOnline = v.OnOnline || word == known[1]
	})
}

func (d *decoder) flap(dst *diagnose.Flap) func(*yaml.Node) {
	return func(n *yaml.Node) {
		var v diagnose.Flap
		d.object(n,
			field{"openings", true, d.count(&v.Openings, 2, maxReports)},
			field{"within", true, d.span(&v.Within, time.Second)},
			field{"quiet", true, d.span(&v.Quiet, time.Second)},
		)
		*dst = v
	}
}

// bounds reads a pack's range, [low, high].
func (d *decoder) bounds(dst *codes) func(*yaml.Node) {
	return func(n *yaml.Node) {
		var ends []int32
		if n.Kind == yaml.SequenceNode {
			for _, item := range n.Content {
				if v, ok := d.code(item); ok {
					ends = append(ends, v)
				}
			}
		}
		if len(ends) != 2 || len(n.Content) != 2 || ends[0] > ends[1] {
			d.add(d.at(n), "no range (two codes, the lower first: [-999, -1])")
			return
		}
		*dst = codes{ends[0], ends[1], d.at(n)}
	}
}

// beyond reads a list of single codes.
func (d *decoder) beyond(dst *[]codes) func(*yaml.Node) {
	return d.list(func(n *yaml.Node) {
		if v, ok := d.code(n); ok {
			*dst = append(*dst, codes{v, v, d.at(n)})
		}
	})
}

func (d *decoder) aliases(dst *[]alias) func(*yaml.Node) {
	return func(n *yaml.Node) {
		d.pairs(n, func(key, value *yaml.Node) {
			from, ok := d.code(key)
			to, ok2 := d.code(value)
			switch {
			case !ok || !ok2:
			case from == to:
				d.add(d.at(key), "%d means itself", from)
			default:
				*dst = append(*dst, alias{from, to, d.at(key)})
			}
		})
	}
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

// code reads one vendor code: a number that fits 32 bits and is not 0, which
// is success.
func (d *decoder) code(n *yaml.Node) (int32, bool) {
	v, ok := whole(n)
	if !ok || v == 0 || v != int64(int32(v)) {
		d.add(d.at(n), "%s is no code (a whole number of 32 bits that is not 0)", kindOf(n))
		return 0, false
	}
	return int32(v), true
}

// codes reads one entry of a rule's codes: a number, or "LOW..HIGH".
func (d *decoder) codes(dst *[]codes) func(*yaml.Node) {
	return d.list(func(n *yaml.Node) {
		low, high, ranged := strings.Cut(n.Value, "..")
		if !ranged || n.Kind != yaml.ScalarNode {
			if v, ok := d.code(n); ok {
				*dst = append(*dst, codes{v, v, d.at(n)})
			}
			return
		}
		l, err := strconv.ParseInt(low, 10, 32)
		h, err2 := strconv.ParseInt(high, 10, 32)
		if err != nil || err2 != nil || l >= h || l <= 0 && h >= 0 {
			d.add(d.at(n), `%s is no range of codes ("LOW..HIGH", both below or both above 0)`, shorten(n.Value))
			return
		}
		*dst = append(*dst, codes{int32(l), int32(h), d.at(n)})
	})
}
