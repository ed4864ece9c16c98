package probe

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fieldmedic/internal/diagnose"
	"fieldmedic/test/fakenet"
)

const cloud = "app-service-deu-0a1b2c3d.example"

// publicZone, otherZone and privateZone are what resolvers may say of the cloud:
// different addresses at different resolvers are no fault.
var (
	publicZone  = map[string][]string{cloud: {"203.0.113.7", "2001:db8::7"}}
	otherZone   = map[string][]string{cloud: {"198.51.100.9"}}
	privateZone = map[string][]string{cloud: {"10.0.0.9"}}
)

func startResolver(t *testing.T, manner fakenet.Manner, zone map[string][]string) *fakenet.Resolver {
	t.Helper()
	r, err := fakenet.StartResolver(fakenet.Loopback, manner, zone)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// closedResolver is an address where no name service is.
func closedResolver(t *testing.T) string {
	t.Helper()
	r, err := fakenet.StartResolver(fakenet.Loopback, fakenet.Answering, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	return r.Addr
}

const shortTry = 150 * time.Millisecond

func TestDNSOneResolver(t *testing.T) {
	for _, c := range []struct {
		manner fakenet.Manner
		zone   map[string][]string
		result string
		seen   string
	}{
		{fakenet.Answering, publicZone, "answered", "answered"},
		{fakenet.Answering, map[string][]string{cloud: {"2001:db8::1"}}, "answered", "answered"},
		{fakenet.Answering, privateZone, "answered", "the private address 10.0.0.9"},
		{fakenet.Answering, nil, "nxdomain", "NXDOMAIN"},
		{fakenet.Nonexistent, nil, "nxdomain", "NXDOMAIN"},
		{fakenet.Empty, nil, "nxdomain", "no address"},
		{fakenet.Failing, nil, "servfail", "SERVFAIL"},
		{fakenet.Refusing, nil, "servfail", "REFUSED"},
		{fakenet.NotImplemented, nil, "servfail", "NOTIMP"},
		{fakenet.Garbage, nil, "servfail", "cannot be read"},
		{fakenet.WrongQuestion, publicZone, "servfail", "cannot be read"},
		{fakenet.Silent, publicZone, "timeout", "timeout"},
		{fakenet.WrongID, publicZone, "timeout", "timeout"},
		{fakenet.Sinkholing, publicZone, "sinkhole", "0.0.0.0"},
		{fakenet.Answering, map[string][]string{cloud: {"127.0.0.1"}}, "sinkhole", "127.0.0.1"},
		{fakenet.Answering, map[string][]string{cloud: {"203.0.113.7", "::"}}, "sinkhole", "::"},
		{fakenet.Truncating, publicZone, "answered", "answered"},
		{fakenet.LosingOne, publicZone, "answered", "answered"},
	} {
		t.Run(string(c.manner)+" "+c.seen, func(t *testing.T) {
			t.Parallel()
			r := startResolver(t, c.manner, c.zone)
			site := Site{Resolvers: []string{r.Addr}, CloudHosts: []string{cloud + ":443"}, Timeout: shortTry}
			got := site.Probes()[DNS](t.Context(), Target{})
			if got.Result != c.result || got.Verdict != "" || got.Target != r.Addr {
				t.Errorf("got %+v, want the result %q of %s", got, c.result, r.Addr)
			}
			if want := "[dns " + r.Addr + "] (" + cloud + ": "; !strings.HasPrefix(got.Observed, want) ||
				!strings.Contains(got.Observed, c.seen) || !strings.HasSuffix(got.Observed, ") == answered") {
				t.Errorf("observed %q, want %q and %q in it", got.Observed, want, c.seen)
			}
			if n := r.Asked(); n > 4 {
				t.Errorf("%d questions were asked, more than 4", n)
			}
		})
	}
}

// TestDNSCompared: the same failure means another cause when the reference or
// another resolver of the site sees it too.
func TestDNSCompared(t *testing.T) {
	type manner = fakenet.Manner
	for _, c := range []struct {
		name      string
		site      []manner
		reference manner
		result    string
	}{
		{"only the site's is silent", []manner{fakenet.Silent}, fakenet.Answering, "resolver-only"},
		{"only the site's fails", []manner{fakenet.Failing}, fakenet.Answering, "resolver-only"},
		{"only the site's refuses", []manner{fakenet.Refusing}, fakenet.Answering, "resolver-only"},
		{"only the site's does not know it", []manner{fakenet.Nonexistent}, fakenet.Answering, "resolver-only"},
		{"silent where the name does not exist", []manner{fakenet.Silent}, fakenet.Nonexistent, "resolver-only"},
		{"sinkhole", []manner{fakenet.Sinkholing}, fakenet.Answering, "sinkhole"},
		{"sinkhole, reference dead", []manner{fakenet.Sinkholing}, fakenet.Silent, "sinkhole"},
		{"all silent", []manner{fakenet.Silent}, fakenet.Silent, "all-fail"},
		{"the router says SERVFAIL, the reference nothing", []manner{fakenet.Failing}, fakenet.Silent, "all-fail"},
		{"nobody knows the name", []manner{fakenet.Nonexistent}, fakenet.Nonexistent, "nxdomain"},
		{"no such name, reference dead", []manner{fakenet.Nonexistent}, fakenet.Silent, "nxdomain"},
		{"only the reference fails", []manner{fakenet.Answering}, fakenet.Silent, "answered"},
		{"all answer", []manner{fakenet.Answering}, fakenet.Answering, "answered"},
		{"one of two is dead", []manner{fakenet.Answering, fakenet.Silent}, "", "resolver-only"},
		{"one of two does not know it", []manner{fakenet.Nonexistent, fakenet.Answering}, "", "resolver-only"},
		{"two fail, nothing to compare with", []manner{fakenet.Silent, fakenet.Failing}, "", "servfail"},
		{"two are silent", []manner{fakenet.Silent, fakenet.Silent}, "", "timeout"},
		{"two and the reference fail", []manner{fakenet.Silent, fakenet.Failing}, fakenet.Failing, "all-fail"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			site := Site{CloudHosts: []string{cloud}, Timeout: shortTry}
			for _, m := range c.site {
				site.Resolvers = append(site.Resolvers, startResolver(t, m, publicZone).Addr)
			}
			if c.reference != "" {
				site.Reference = startResolver(t, c.reference, otherZone).Addr
			}
			got := site.Probes()[DNS](t.Context(), Target{})
			if got.Result != c.result {
				t.Errorf("got %+v, want %q", got, c.result)
			}
			if got.Target != strings.Join(site.Resolvers, " ") {
				t.Errorf("the target is %q", got.Target)
			}
			if site.Reference != "" && !strings.Contains(got.Observed, "reference "+site.Reference) {
				t.Errorf("the reference is not in %q", got.Observed)
			}
		})
	}
}

// TestDNSPrivate: a private address is a sinkhole only where others say that
// the name is public.
func TestDNSPrivate(t *testing.T) {
	for _, c := range []struct {
		name      string
		reference map[string][]string
		result    string
	}{
		{"public elsewhere", publicZone, "sinkhole"},
		{"private everywhere", privateZone, "answered"},
		{"unknown elsewhere", nil, "answered"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			site := Site{
				CloudHosts: []string{cloud}, Timeout: shortTry,
				Resolvers: []string{startResolver(t, fakenet.Answering, privateZone).Addr},
				Reference: startResolver(t, fakenet.Answering, c.reference).Addr,
			}
			if got := site.Probes()[DNS](t.Context(), Target{}); got.Result != c.result {
				t.Errorf("got %+v, want %q", got, c.result)
			}
		})
	}
}

func TestDNSRoot(t *testing.T) {
	for _, c := range []struct {
		manner fakenet.Manner
		result string
	}{
		{fakenet.Answering, "answered"}, {fakenet.Failing, "servfail"}, {fakenet.Silent, "timeout"},
	} {
		r := startResolver(t, c.manner, nil)
		site := Site{Resolvers: []string{r.Addr}, CloudHosts: []string{"203.0.113.7:1812"}, Timeout: shortTry}
		got := site.Probes()[DNS](t.Context(), Target{})
		if got.Result != c.result || !strings.Contains(got.Observed, "NS of the root: ") {
			t.Errorf("%s: got %+v, want %q on the root", c.manner, got, c.result)
		}
		if want := map[bool]int{true: 2, false: 1}[c.manner == fakenet.Silent]; r.Asked() != want {
			t.Errorf("%s: asked %d times, want %d", c.manner, r.Asked(), want)
		}
	}
}

// TestDNSManyNames: one name that nobody can look up is not the uplink, and the
// worst finding leads.
func TestDNSManyNames(t *testing.T) {
	known := startResolver(t, fakenet.Answering, map[string][]string{"a.example": {"203.0.113.1"}, "b.example": {"203.0.113.2"}})
	site := Site{Resolvers: []string{known.Addr}, CloudHosts: []string{"a.example", "b.example", "c.example"}, Timeout: shortTry}
	got := site.Probes()[DNS](t.Context(), Target{})
	if got.Result != "nxdomain" || !strings.Contains(got.Observed, "c.example: NXDOMAIN") {
		t.Errorf("got %+v, want the name that is not known", got)
	}
	site.CloudHosts = site.CloudHosts[:2]
	got = site.Probes()[DNS](t.Context(), Target{})
	if got.Result != "answered" || !strings.Contains(got.Observed, "and 1 more name)") {
		t.Errorf("got %+v, want all answered", got)
	}
	table := []nameAnswers{
		{"a.example.", []dnsAnswer{{class: classAnswered}, {class: classAnswered}}},
		{"b.example.", []dnsAnswer{{class: classServFail, seen: "SERVFAIL"}, {class: classTimeout}}},
	}
	if got := judgeNames("x", []string{"x"}, "r", table); got.Result != "servfail" {
		t.Errorf("a name that all fail on, where another is answered: %+v, want servfail", got)
	}
}

func TestDNSTarget(t *testing.T) {
	good := startResolver(t, fakenet.Answering, publicZone)
	bad := startResolver(t, fakenet.Failing, nil)
	site := Site{Resolvers: []string{good.Addr}, Timeout: shortTry, Targets: AnyTarget()}
	dns := site.Probes()[DNS]
	if got := dns(t.Context(), Target{Address: cloud}); got.Result != "answered" {
		t.Errorf("a name: %+v, want answered", got)
	}
	if got := dns(t.Context(), Target{Address: "nowhere.example"}); got.Result != "nxdomain" {
		t.Errorf("a name that is none: %+v, want nxdomain", got)
	}
	if got := dns(t.Context(), Target{Address: bad.Addr}); got.Result != "servfail" || got.Target != bad.Addr {
		t.Errorf("a resolver: %+v, want servfail of it", got)
	}
	site.Targets = nil
	if got := site.Probes()[DNS](t.Context(), Target{Address: bad.Addr}); got.Verdict != diagnose.Inconclusive || bad.Asked() != 1 {
		t.Errorf("a resolver that stands nowhere: %+v, asked %d times, want it left alone", got, bad.Asked())
	}
}

func TestDNSSystemResolvers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resolv.conf")
	content := "search home.arpa\nnameserver 192.0.2.1\nnameserver fe80::1%lan0\nnameserver 192.0.2.3\nnameserver 192.0.2.4\n"
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	site := Site{ResolvConf: file, CloudHosts: []string{"a.example", "b.example"}, Reference: "192.0.2.9"}
	if got := strings.Join(site.resolvers(), " "); got != "192.0.2.1 fe80::1%lan0 192.0.2.3" {
		t.Errorf("resolvers %q", got)
	}
	if got := site.dnsCost(Target{}); got != 8 {
		t.Errorf("4 servers and 2 names cost %d, want 8", got)
	}
	site.Resolvers = []string{"192.0.2.7:5353"}
	if got := site.resolvers(); len(got) != 1 || got[0] != "192.0.2.7:5353" {
		t.Errorf("configured resolvers %q", got)
	}
}

func TestDNSCannotTell(t *testing.T) {
	none := Site{ResolvConf: filepath.Join(t.TempDir(), "none")}
	if got := none.Probes()[DNS](t.Context(), Target{}); got.Verdict != diagnose.Inconclusive || got.Result != "" {
		t.Errorf("no resolver: %+v", got)
	}
	lan := Site{LANOnly: true, Resolvers: []string{"192.0.2.1"}}
	if got := lan.Probes()[DNS](t.Context(), Target{}); got.Verdict != diagnose.NotApplicable {
		t.Errorf("LAN-only: %+v", got)
	}
	for _, never := range []string{"169.254.169.254", "224.0.0.251", "255.255.255.255"} {
		site := Site{Resolvers: []string{never}, Timeout: shortTry}
		if got := site.Probes()[DNS](t.Context(), Target{}); got.Verdict != diagnose.Inconclusive {
			t.Errorf("resolver %s: %+v, want it left alone", never, got)
		}
	}
	silent := Site{Resolvers: []string{startResolver(t, fakenet.Silent, nil).Addr}, Timeout: time.Second}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if got := silent.Probes()[DNS](ctx, Target{}); got.Verdict != diagnose.Inconclusive {
		t.Errorf("stopped: %+v", got)
	}
	closed := Site{Resolvers: []string{closedResolver(t)}, Timeout: shortTry}
	if got := closed.Probes()[DNS](t.Context(), Target{}); got.Result != "timeout" || !strings.Contains(got.Observed, "no name service") {
		t.Errorf("nothing on the port: %+v", got)
	}
}

// TestDNSShareOfTime: what time there is is enough for both tries.
func TestDNSShareOfTime(t *testing.T) {
	t.Parallel()
	r := startResolver(t, fakenet.LosingOne, publicZone)
	site := Site{Resolvers: []string{r.Addr}, CloudHosts: []string{cloud}, Timeout: MaxProbe}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if got := site.Probes()[DNS](ctx, Target{}); got.Result != "answered" {
		t.Errorf("got %+v, want answered at the second try", got)
	}
}

func TestClassUnknown(t *testing.T) {
	a := nameAnswers{"a.example.", []dnsAnswer{{seen: "not asked"}, {class: classAnswered}}}
	if got := judgeNames("x", []string{"x"}, "r", []nameAnswers{a}); got.Verdict != diagnose.Inconclusive {
		t.Errorf("no resolver of the site could be asked: %+v", got)
	}
}
