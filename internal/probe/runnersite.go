package probe

import (
	"crypto/x509"
	"net"
	"slices"
	"time"

	"fieldmedic/internal/diagnose"
)

// Site is what the probes of services need to know of the site: its profile
// (contract section 2, site.*), which is never written to afterwards.
type Site struct {
	// LANOnly: by design there is no internet (site.internet: false), so that
	// its absence is no finding.
	LANOnly bool
	// Resolvers of the site, IP or IP:PORT; empty: those of ResolvConf.
	Resolvers []string
	// Reference is a resolver to compare with; "": none.
	Reference string
	// CloudHosts are HOST or HOST:PORT of the vendor's cloud.
	CloudHosts []string
	// TimeServers are asked over SNTP, HOST or HOST:PORT.
	TimeServers []string
	// ResolvConf is the system's list of resolvers; "": /etc/resolv.conf.
	ResolvConf string
	// Timeout of one try; 0: 3 s.
	Timeout time.Duration
	// Targets may be aimed at; nil: what stands in this profile.
	Targets *Targets
	// Roots are trusted for certificates; nil: the system's.
	Roots *x509.CertPool
	// Built is a time that no clock can rightly be before, as that of the
	// program's last change; zero: not known.
	Built time.Time
	// Synced asks the kernel whether something keeps its clock in step; nil: it
	// is asked. Not ok: it cannot be told.
	Synced func() (synced, ok bool)
	// Now is this machine's clock; nil: time.Now.
	Now func() time.Time
}

// usualTimeout of one try (contract section 2, checks.timeout).
const usualTimeout = 3 * time.Second

// Probes are the probes of services: dns, tcp, tls, http and clock. A target
// without an address means what the profile names: the first cloud host, and
// for dns all of them.
func (s Site) Probes() map[Kind]Func {
	s = s.completed()
	return map[Kind]Func{DNS: s.dns, TCP: s.tcp, TLS: s.tls, HTTP: s.http, Clock: s.clock}
}

func (s Site) completed() Site {
	if s.ResolvConf == "" {
		s.ResolvConf = "/etc/resolv.conf"
	}
	if s.Timeout <= 0 {
		s.Timeout = usualTimeout
	}
	if s.Now == nil {
		s.Now = time.Now
	}
	if s.Synced == nil {
		s.Synced = kernelSynced
	}
	if s.Targets == nil {
		s.Targets = NewTargets(s.Named()...)
	}
	return s
}

// Named lists all addresses that the profile names, for NewTargets. The
// system's resolvers are among them where no others are named.
func (s Site) Named() []string {
	named := slices.Concat(s.resolvers(), s.CloudHosts, s.TimeServers)
	if s.Reference != "" {
		named = append(named, s.Reference)
	}
	return named
}

// dialer dials for the probes: bounded, guarded, and with the names looked up
// at the resolvers of the profile.
func (s Site) dialer() *net.Dialer {
	return &net.Dialer{Timeout: s.Timeout, Control: s.Targets.Control, Resolver: s.Lookup()}
}

// server is what tcp, tls and http aim at: HOST:PORT. An answer is due at once
// where there is nothing to aim at, or where that is no fault.
func (s Site) server(kind Kind, t Target) (string, *Answer) {
	address := t.Address
	if address == "" && len(s.CloudHosts) > 0 {
		address = s.CloudHosts[0]
	}
	var a Answer
	switch {
	case address == "":
		a = doesNotApply(kind, "cloud", "no cloud host is configured")
	case s.LANOnly && (t.Address == "" || slices.Contains(s.CloudHosts, t.Address)):
		a = doesNotApply(kind, address, "LAN-only by design")
	default:
		address = withPort(address, "443")
		err := s.Targets.Permit(address)
		if err == nil {
			return address, nil
		}
		a = cannotTell(kind, address, err.Error(), good(kind))
	}
	return "", &a
}

// doesNotApply is the answer of a probe that makes no sense at this site.
func doesNotApply(kind Kind, target, why string) Answer {
	return Answer{Target: target, Verdict: diagnose.NotApplicable, Observed: observed(kind, target, why, good(kind))}
}

// good is the result that a probe hopes for.
func good(kind Kind) string {
	switch kind {
	case TCP:
		return "open"
	case Clock:
		return "in-step"
	case Hello:
		return "unlocked"
	case Neighbour:
		return "match"
	case DNS, Ping:
		return "answered"
	}
	return "ok"
}

// Good tells whether a result is what one hopes for; all other words, but for
// the empty one, are findings. A hello that is "answered" came from a device
// without a lock.
func Good(kind Kind, result string) bool {
	return result == good(kind) || kind == Hello && result == "answered"
}
