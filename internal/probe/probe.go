// Package probe looks at the site from the gateway: is there a route, who has
// this address, does the device answer, does the resolver. Probes only read;
// each is bounded in time and packets, all share a budget, and they aim only
// at what is configured or inventoried.
//
// What a probe sees is seen from the gateway. It is evidence, never a proof of
// what a phone or a device on another network sees.
package probe

import (
	"context"
	"fmt"
	"time"

	"fieldmedic/internal/diagnose"
)

// Kind of a probe; the word stands in rules, in evidence and on the command
// line.
type Kind string

// The kinds.
const (
	Route     Kind = "route"     // default route, and the neighbour it goes by
	Neighbour Kind = "neighbour" // who holds an address on the LAN
	Ping      Kind = "ping"      // ICMP echo, unprivileged
	Hello     Kind = "hello"     // the vendor's LAN hello, nothing else of that protocol
	DNS       Kind = "dns"       // each resolver by class of answer
	TCP       Kind = "tcp"       // can a connection be made
	TLS       Kind = "tls"       // does the certificate hold
	HTTP      Kind = "http"      // what does the server say
	Clock     Kind = "clock"     // this machine's clock against others
	Host      Kind = "host"      // descriptors, memory, sockets of this machine
)

// Kinds lists all kinds, cheapest first.
func Kinds() []Kind {
	return []Kind{Host, Route, Neighbour, Clock, Hello, DNS, TCP, TLS, HTTP, Ping}
}

// Target is what a probe aims at; each kind uses its own part.
type Target struct {
	// Address is an IP address or a host name, with a port where the kind has
	// none of its own.
	Address string
	// MAC that is expected at the address; empty: not known.
	MAC string
}

// Answer is what a probe found.
type Answer struct {
	// Target as it is shown: an address, a resolver, "default".
	Target string
	// Result is the class of the answer, the word that rules match ("locked",
	// "timeout"). Empty where the probe could not tell.
	Result string
	// Verdict is Inconclusive where the probe could not tell and NotApplicable
	// where it makes no sense here; empty else: the rule says what a result
	// means.
	Verdict diagnose.EvidenceVerdict
	// Observed is the rule with the value seen inside:
	// "[dns 192.0.2.1] (SERVFAIL) == answered".
	Observed string
}

// Func is one probe. It ends with ctx at the latest, and never fails: that it
// could not tell is an answer.
type Func func(ctx context.Context, t Target) Answer

// found is an answer that tells something.
func found(kind Kind, target, result, seen, wanted string) Answer {
	return Answer{Target: target, Result: result, Observed: observed(kind, target, seen, wanted)}
}

// cannotTell is the answer of a probe that was not able to look.
func cannotTell(kind Kind, target, why, wanted string) Answer {
	return Answer{Target: target, Verdict: diagnose.Inconclusive, Observed: observed(kind, target, why, wanted)}
}

func observed(kind Kind, target, seen, wanted string) string {
	return fmt.Sprintf("[%s %s] (%s) == %s", kind, target, seen, wanted)
}

// MaxProbe is the longest that a probe as a whole may take, tries included.
const MaxProbe = 5 * time.Second
