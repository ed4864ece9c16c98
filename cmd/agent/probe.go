package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fieldmedic/internal/diagnose"
	"fieldmedic/internal/probe"
)

func newProbe() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "probe KIND [TARGET]",
		Short: "Run one check by hand",
		Long: `Run one check from this machine, as the service would, and say what it found. It
needs no running service. Checks only look, and change nothing.

` + probeKindsHelp() + `
A TARGET is an IP address, a host name, or the id of a device of site.devices;
HOST:PORT where the kind has no port of its own. Whoever types it may aim where
they like, but for multicast, broadcast and metadata addresses; the service by
itself aims only at what stands in the site profile and in the inventory.

What is seen is seen from this machine: a device on another network, or with
another resolver or clock, may see something else.

Exit code: 0 when the answer is good, 3 when a fault was found, 1 when it could
not be told or does not apply here.`,
		Example: `  fieldmedic probe dns
  fieldmedic probe hello 192.168.1.20
  fieldmedic probe tls cloud.example:443 -o json`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: completeProbe,
	}
	addConfigFlags(cmd.Flags())
	output := addOutput(cmd, formatText)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		kind, typed, err := probeArguments(args)
		if err != nil {
			return usage(err)
		}
		cfg, err := loadConfig(cmd.Flags())
		if err != nil {
			return usage(err)
		}
		target, err := probeTarget(cfg, kind, typed)
		if err != nil {
			return usage(err)
		}
		runner := handRunner(cfg)
		defer runner.Close()
		answer, took := runner.Run(cmd.Context(), kind, target)
		report := newProbeReport(kind, answer, took)
		if output.word == formatJSON {
			err = printJSON(cmd.OutOrStdout(), report)
		} else {
			err = report.print(cmd.OutOrStdout())
		}
		if err != nil {
			return err
		}
		return report.exit()
	}
	return cmd
}

// probeNeed tells whether a kind takes a target.
type probeNeed int

const (
	noTarget   probeNeed = iota // it looks at this machine
	mayTarget                   // without, the configuration says where
	mustTarget                  // it looks at what is named
)

// probeKind says of a kind what a person must know.
type probeKind struct {
	kind probe.Kind
	need probeNeed
	says string
}

func probeKinds() []probeKind {
	return []probeKind{
		{probe.Host, noTarget, "descriptors, memory and sockets of this machine"},
		{probe.Route, noTarget, "the default route, and whether its gateway is there"},
		{probe.Clock, mayTarget, "this machine's clock against HOST's (HOST:123: by SNTP)"},
		{probe.DNS, mayTarget, "the resolvers; TARGET is a name to ask for, or a resolver"},
		{probe.TCP, mayTarget, "whether a connection can be made"},
		{probe.TLS, mayTarget, "whether the certificate holds, and for how long"},
		{probe.HTTP, mayTarget, "what the server says: HOST[:PORT] or a base URL"},
		{probe.Hello, mustTarget, "the vendor's LAN hello: alive, locked, moved; TARGET may be a MAC"},
		{probe.Neighbour, mustTarget, "who holds an address on the LAN"},
		{probe.Ping, mustTarget, "ICMP echo, without privileges"},
	}
}

func probeKindsHelp() string {
	var b strings.Builder
	b.WriteString("KIND is one of:\n")
	for _, k := range probeKinds() {
		fmt.Fprintf(&b, "  %-10s %s\n", k.kind, k.says)
	}
	return b.String()
}

func completeProbe(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var words []string
	if len(args) == 0 {
		for _, k := range probeKinds() {
			words = append(words, cobra.CompletionWithDesc(string(k.kind), k.says))
		}
	}
	return words, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}

// probeArguments reads KIND and TARGET.
func probeArguments(args []string) (kind probe.Kind, target string, err error) {
	kinds := probeKinds()
	i := slices.IndexFunc(kinds, func(k probeKind) bool { return string(k.kind) == args[0] })
	if i < 0 {
		words := make([]string, len(kinds))
		for i, k := range kinds {
			words[i] = string(k.kind)
		}
		return "", "", fmt.Errorf("%q is no kind of check (%s)", args[0], strings.Join(words, ", "))
	}
	if len(args) > 1 {
		target = strings.TrimPrefix(args[1], numberMark)
	}
	switch need := kinds[i].need; {
	case need == noTarget && target != "":
		return "", "", fmt.Errorf("%s looks at this machine, but there is %q (no TARGET)", args[0], target)
	case need == mustTarget && target == "":
		return "", "", fmt.Errorf("%s needs a TARGET (an address, or the id of a device of site.devices)", args[0])
	}
	return kinds[i].kind, target, nil
}

// probeTarget finds out what is meant: a device of the inventory, by its id or
// by its address, a MAC, or an address of no device.
func probeTarget(cfg *Config, kind probe.Kind, typed string) (probe.Target, error) {
	for _, d := range cfg.Site.Devices {
		if typed != "" && (d.ID == typed || d.Address == typed) {
			if d.Address == "" && (d.MAC == "" || kind != probe.Hello) {
				return probe.Target{}, fmt.Errorf("%s has no address in site.devices (an address)", typed)
			}
			return permitted(probe.Target{Address: d.Address, MAC: d.MAC})
		}
	}
	if typed == "" {
		if needsCloud(kind) && len(cfg.Site.CloudHosts) == 0 {
			return probe.Target{}, fmt.Errorf("%s needs a TARGET, for site.cloud_hosts is empty (a host)", kind)
		}
		return probe.Target{}, nil
	}
	if mac, err := net.ParseMAC(typed); kind == probe.Hello && err == nil && len(mac) == 6 {
		return probe.Target{MAC: mac.String()}, nil
	}
	return permitted(probe.Target{Address: typed})
}

func needsCloud(kind probe.Kind) bool {
	return slices.Contains([]probe.Kind{probe.TCP, probe.TLS, probe.HTTP}, kind)
}

// permitted refuses what nobody may aim at.
func permitted(t probe.Target) (probe.Target, error) {
	if t.Address == "" {
		return t, nil
	}
	if err := probe.AnyTarget().Permit(probe.HostPort(t.Address)); errors.Is(err, probe.ErrDenied) {
		return t, fmt.Errorf("%w (a host of the site or of the cloud)", err)
	}
	return t, nil
}

// siteProfile is what the probes need to know of the configuration.
func siteProfile(cfg *Config) probe.Site {
	return probe.Site{
		LANOnly: !cfg.Site.Internet, Resolvers: cfg.Site.Resolvers, Reference: cfg.Site.ReferenceResolver,
		CloudHosts: cfg.Site.CloudHosts, Timeout: cfg.Checks.Timeout, Built: built(),
	}
}

// handRunner runs checks that a person asked for: anywhere, and on a site
// without internet as well, since they ask for it.
func handRunner(cfg *Config) *probe.Runner {
	site := siteProfile(cfg)
	site.LANOnly = false
	site.Targets = probe.AnyTarget()
	lookup := site.Lookup()
	return probe.New(probe.Options{Site: site, PerMinute: maxPerMinute, Probes: map[probe.Kind]probe.Func{
		probe.Host:      probe.NewHost(probe.HostOptions{}),
		probe.Route:     probe.NewRoute(probe.RouteOptions{}),
		probe.Neighbour: probe.NewNeighbour(probe.NeighbourOptions{Targets: site.Targets, Resolver: lookup}),
		probe.Ping:      probe.NewPing(probe.PingOptions{Targets: site.Targets, Resolver: lookup}),
		probe.Hello: probe.NewHello(probe.HelloOptions{
			Targets: site.Targets, Resolver: lookup, MayBroadcast: func() bool { return true },
		}),
	}})
}

// built is when the program's source was last changed; zero where the build
// does not know.
func built() time.Time {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return time.Time{}
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.time" {
			if at, err := time.Parse(time.RFC3339, s.Value); err == nil {
				return at
			}
		}
	}
	return time.Time{}
}

// Verdicts on a check by hand, which supports or refutes nothing.
const (
	verdictGood  = "good"
	verdictFault = "fault"
)

// probeReport is one check as it is printed.
type probeReport struct {
	Check  probe.Kind `json:"check"`
	Target string     `json:"target"`
	// Result is the class of the answer; empty where there is none.
	Result string `json:"result"`
	// Verdict is good, fault, inconclusive or not-applicable.
	Verdict  string `json:"verdict"`
	Observed string `json:"observed"`
	TookMS   int64  `json:"took_ms"`
}

func newProbeReport(kind probe.Kind, a probe.Answer, took time.Duration) probeReport {
	verdict := string(a.Verdict)
	switch {
	case verdict != "":
	case probe.Good(kind, a.Result):
		verdict = verdictGood
	default:
		verdict = verdictFault
	}
	return probeReport{kind, a.Target, a.Result, verdict, a.Observed, took.Milliseconds()}
}

func (r *probeReport) print(w io.Writer) error {
	said := r.Result + " (" + r.Verdict + ")"
	switch r.Verdict {
	case string(diagnose.Inconclusive):
		said = "could not be told"
	case string(diagnose.NotApplicable):
		said = "does not apply here"
	}
	_, err := fmt.Fprintf(w, "%s %s: %s\n%s\nSeen from this machine in %d ms.\n",
		r.Check, visible(r.Target), visible(said), visible(r.Observed), r.TookMS)
	return err
}

// exit is the exit code as an error without a text.
func (r *probeReport) exit() error {
	switch r.Verdict {
	case verdictGood:
		return nil
	case verdictFault:
		return &exitError{code: exitFaults}
	}
	return &exitError{code: exitFailed}
}
