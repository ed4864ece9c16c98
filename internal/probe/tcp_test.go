package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"fieldmedic/internal/diagnose"
	"fieldmedic/test/fakenet"
)

// listening is an address on loopback where connections are accepted and
// closed.
func listening(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", fakenet.Loopback)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	return l.Addr().String()
}

func refused(t *testing.T) string {
	t.Helper()
	address, err := fakenet.RefusedPort()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

func blackHole(t *testing.T) string {
	t.Helper()
	hole, err := fakenet.StartBlackHole()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hole.Close)
	return hole.Addr
}

func TestTCP(t *testing.T) {
	open := listening(t)
	for name, c := range map[string]struct {
		address, result, observed string
	}{
		"open":    {open, "open", "[tcp " + open + "] (open) == open"},
		"refused": {refused(t), "refused", "(refused) == open"},
		"timeout": {blackHole(t), "timeout", "(timeout) == open"},
	} {
		site := Site{CloudHosts: []string{c.address}, Timeout: shortTry}
		for _, target := range []string{"", c.address} {
			got := site.Probes()[TCP](t.Context(), Target{Address: target})
			if got.Result != c.result || got.Target != c.address || !strings.HasSuffix(got.Observed, c.observed) {
				t.Errorf("%s, target %q: %+v, want %q", name, target, got, c.observed)
			}
		}
	}
}

// TestTCPName: the name is looked up at the site's resolvers, and what it leads
// to is looked at before anything is sent.
func TestTCPName(t *testing.T) {
	open := listening(t)
	_, port, err := net.SplitHostPort(open)
	if err != nil {
		t.Fatal(err)
	}
	resolver := startResolver(t, fakenet.Answering, map[string][]string{cloud: {"127.0.0.1"}})
	site := Site{Resolvers: []string{resolver.Addr}, CloudHosts: []string{cloud + ":" + port}, Timeout: time.Second}
	got := site.Probes()[TCP](t.Context(), Target{})
	// The resolver's own address is configured, and is the same.
	if got.Result != "open" || !strings.Contains(got.Observed, "(open at "+open+")") {
		t.Errorf("got %+v, want open at %s", got, open)
	}
	site.Targets = NewTargets(cloud + ":" + port)
	got = site.Probes()[TCP](t.Context(), Target{})
	if got.Verdict != diagnose.Inconclusive || !strings.Contains(got.Observed, "not aimed at: 127.0.0.1: it is a loopback address") {
		t.Errorf("a name that leads here: %+v, want it left alone", got)
	}
	resolver.Behave(fakenet.Nonexistent)
	if got := site.Probes()[TCP](t.Context(), Target{}); got.Verdict != diagnose.Inconclusive || !strings.Contains(got.Observed, "could not be looked up") {
		t.Errorf("a name that is none: %+v, want that it cannot be told", got)
	}
}

func TestTCPDoesNotApply(t *testing.T) {
	for name, c := range map[string]struct {
		site   Site
		target string
		want   diagnose.EvidenceVerdict
	}{
		"no cloud host":              {Site{}, "", diagnose.NotApplicable},
		"LAN-only":                   {Site{LANOnly: true, CloudHosts: []string{"cloud.example"}}, "", diagnose.NotApplicable},
		"LAN-only, named":            {Site{LANOnly: true, CloudHosts: []string{"cloud.example"}}, "cloud.example", diagnose.NotApplicable},
		"stands nowhere":             {Site{CloudHosts: []string{"cloud.example"}}, "192.0.2.1", diagnose.Inconclusive},
		"metadata, though it stands": {Site{CloudHosts: []string{"169.254.169.254:80"}}, "", diagnose.Inconclusive},
	} {
		for kind, probe := range c.site.Probes() {
			if kind == DNS || kind == Clock {
				continue
			}
			if got := probe(t.Context(), Target{Address: c.target}); got.Verdict != c.want || got.Result != "" {
				t.Errorf("%s, %s: %+v, want %s", name, kind, got, c.want)
			}
		}
	}
}

func TestConnectFailure(t *testing.T) {
	dial := func(err error) error { return &net.OpError{Op: "dial", Err: err} }
	for _, c := range []struct {
		err    error
		result string
	}{
		{dial(syscall.ECONNREFUSED), "refused"},
		{dial(syscall.ECONNRESET), "refused"},
		{dial(syscall.EHOSTUNREACH), "unreachable"},
		{dial(syscall.ENETUNREACH), "unreachable"},
		{dial(syscall.ETIMEDOUT), "timeout"},
		{dial(context.DeadlineExceeded), "timeout"},
		{dial(context.Canceled), ""},
		{dial(&net.DNSError{Err: "no such host", IsNotFound: true}), ""},
		{dial(&net.DNSError{Err: "i/o timeout", IsTimeout: true}), ""},
		{dial(syscall.EACCES), ""},
		{dial(syscall.EMFILE), ""},
		{dial(fmt.Errorf("control: %w", denied("127.0.0.1", "it is a loopback address"))), ""},
		{errors.New("something else"), ""},
	} {
		result, seen := connectFailure(c.err)
		if result != c.result || seen == "" {
			t.Errorf("%v: %q, %q, want %q", c.err, result, seen, c.result)
		}
	}
}
