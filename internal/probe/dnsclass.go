package probe

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// dnsClass is the class of an answer: what resolvers are compared by. Its words
// are results, but for unknown, no-data and refused.
type dnsClass string

const (
	classUnknown  dnsClass = ""         // not asked
	classAnswered dnsClass = "answered" // addresses, or that there are name servers
	classNoData   dnsClass = "no-data"  // the name is there, without an address
	classNXDomain dnsClass = "nxdomain" // no such name
	classRefused  dnsClass = "refused"  // REFUSED: it does not serve us
	classServFail dnsClass = "servfail" // any other error, or nonsense
	classTimeout  dnsClass = "timeout"  // nothing came
	classSinkhole dnsClass = "sinkhole" // an address that leads nowhere
)

// Results that only the comparison gives.
const (
	dnsResolverOnly = "resolver-only" // the site's fails where another works
	dnsAllFail      = "all-fail"      // the reference fails, too
)

// dnsAnswer is one resolver's answer on one name.
type dnsAnswer struct {
	class dnsClass
	// seen is the class as evidence shows it.
	seen string
	// addressed: there was an address; public, private: of which kind.
	addressed, public, private bool
}

// add notes one address of the answer.
func (a *dnsAnswer) add(ip netip.Addr) {
	a.addressed = true
	switch {
	case ip.IsUnspecified() || ip.IsLoopback():
		// What filters answer in place of a name that they block.
		a.class, a.seen = classSinkhole, ip.String()
	case ip.IsPrivate() || ip.IsLinkLocalUnicast() || isShared(ip):
		a.private = true
		if a.class == classAnswered {
			a.seen = "the private address " + ip.String()
		}
	default:
		a.public = true
	}
}

// isShared knows the carriers' own addresses (RFC 6598).
func isShared(ip netip.Addr) bool {
	return ip.Is4() && netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64}), 10).Contains(ip)
}

// bothFamilies joins the answers on A and AAAA. One good answer is enough: few
// names have both, and a device uses what it gets.
func bothFamilies(four, six dnsAnswer) dnsAnswer {
	switch {
	case four.class == classSinkhole || four.class == classAnswered && six.class != classSinkhole:
		four.public, four.private = four.public || six.public, four.private || six.private
		return four
	case six.class == classSinkhole || six.class == classAnswered:
		return six
	case four.class == classNoData && six.class != classUnknown:
		return six
	}
	return four
}

// works tells that the resolver answered: that there is no such name is an
// answer as well.
func (a dnsAnswer) works() bool {
	return slices.Contains([]dnsClass{classAnswered, classNoData, classNXDomain, classSinkhole}, a.class)
}

// word is the result that a class alone gives.
func (a dnsAnswer) word() string {
	switch a.class {
	case classNoData:
		return string(classNXDomain) // for a device it is the same
	case classRefused:
		return string(classServFail)
	}
	return string(a.class)
}

// result compares the answers on one name: those of the site, and that of the
// reference, which may be unknown. "" means that nobody could be asked.
func (n nameAnswers) result(sites int) string {
	site, reference := n.known(sites)
	if len(site) == 0 {
		return ""
	}
	others := append(slices.Clone(site), reference)
	if i := slices.IndexFunc(site, func(a dnsAnswer) bool { return a.isSinkhole(others) }); i >= 0 {
		return string(classSinkhole)
	}
	bad := slices.DeleteFunc(slices.Clone(site), func(a dnsAnswer) bool { return a.class == classAnswered })
	if len(bad) == 0 {
		return string(classAnswered)
	}
	for _, b := range bad {
		for _, o := range others {
			if o.class == classAnswered || o.class == classSinkhole || o.works() && !b.works() {
				return dnsResolverOnly
			}
		}
	}
	worst := bad[0]
	for _, b := range bad {
		if b.works() {
			// It told that there is no such name: it reaches the world.
			return b.word()
		}
		if b.class != classTimeout {
			worst = b
		}
	}
	if reference.class != classUnknown {
		return dnsAllFail
	}
	return worst.word()
}

// isSinkhole tells that an answer leads nowhere: by itself, or because it is a
// private address for a name that others call public.
func (a dnsAnswer) isSinkhole(others []dnsAnswer) bool {
	return a.class == classSinkhole ||
		a.private && !a.public && slices.ContainsFunc(others, func(o dnsAnswer) bool { return o.public })
}

// known separates the site's answers that are there from the reference's.
func (n nameAnswers) known(sites int) (site []dnsAnswer, reference dnsAnswer) {
	for _, a := range n.answers[:sites] {
		if a.class != classUnknown {
			site = append(site, a)
		}
	}
	if len(n.answers) > sites {
		reference = n.answers[sites]
	}
	return site, reference
}

// judgeNames takes the worst over all names.
func judgeNames(target string, servers []string, reference string, table []nameAnswers) Answer {
	worst, result := table[0], ""
	reached := slices.ContainsFunc(table, func(n nameAnswers) bool {
		return slices.ContainsFunc(n.answers, dnsAnswer.works)
	})
	for _, n := range table {
		r := n.result(len(servers))
		if r == dnsAllFail && reached {
			// The world is there; it is this name that nobody can look up.
			site, _ := n.known(len(servers))
			r = site[0].word()
		}
		if weight(r) > weight(result) {
			worst, result = n, r
		}
	}
	seen := worst.text(servers, reference)
	if more := len(table) - 1; more == 1 && result == string(classAnswered) {
		seen += ", and 1 more name"
	} else if more > 1 && result == string(classAnswered) {
		seen += fmt.Sprintf(", and %d more names", more)
	}
	if result == "" {
		return cannotTell(DNS, target, seen, good(DNS))
	}
	return found(DNS, target, result, seen, good(DNS))
}

// weight orders results: what is the worse finding has the more weight.
func weight(result string) int {
	return slices.Index([]string{
		"", string(classAnswered), string(classNXDomain), string(classServFail), string(classTimeout),
		dnsAllFail, dnsResolverOnly, string(classSinkhole),
	}, result)
}

// text shows who said what on the name.
func (n nameAnswers) text(servers []string, reference string) string {
	var parts []string
	for i, a := range n.answers {
		who := ""
		switch {
		case i >= len(servers):
			who = "reference " + reference + " "
		case len(servers) > 1:
			who = servers[i] + " "
		}
		parts = append(parts, who+cmp.Or(a.seen, "not asked"))
	}
	subject := "NS of the root"
	if n.name != rootName {
		subject = strings.TrimSuffix(n.name, ".")
	}
	return subject + ": " + strings.Join(parts, ", ")
}
