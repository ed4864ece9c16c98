package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"fieldmedic/internal/diagnose"
	"fieldmedic/internal/probe"
	"fieldmedic/test/fakenet"
)

// runProbe runs the command and answers its report and its exit code.
func runProbe(t *testing.T, args ...string) (probeReport, int) {
	t.Helper()
	var out, errs bytes.Buffer
	code := execute(t.Context(), append([]string{"probe", "-o", "json"}, args...), &out, &errs)
	var r probeReport
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("probe %q: %v: %s%s", args, err, out.String(), errs.String())
	}
	return r, code
}

// TestProbeServices: what the person reads, against servers that are known.
func TestProbeServices(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	start := func(manner fakenet.Manner) string {
		r, err := fakenet.StartResolver(fakenet.Loopback, manner, map[string][]string{"cloud.example": {"203.0.113.7"}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(r.Close)
		return r.Addr
	}
	site, dead, reference := start(fakenet.Answering), start(fakenet.Failing), start(fakenet.Answering)
	web, err := fakenet.StartWeb(fakenet.Loopback, fakenet.GatewayError, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(web.Close)
	clock, err := fakenet.StartWeb(fakenet.Loopback, fakenet.JSONPage, time.Hour, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(clock.Close)
	ca, err := fakenet.NewCA("nobody's")
	if err != nil {
		t.Fatal(err)
	}
	secure, err := fakenet.StartTLS(fakenet.Loopback, fakenet.Valid, ca, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(secure.Close)

	for _, c := range []struct {
		args    []string
		result  string
		verdict string
		code    int
	}{
		{[]string{"dns", "--site-resolvers", site, "--site-cloud-hosts", "cloud.example"}, "answered", "good", 0},
		{[]string{"dns", "cloud.example", "--site-resolvers", dead, "--site-reference-resolver", reference}, "resolver-only", "fault", 3},
		{[]string{"dns", dead}, "servfail", "fault", 3},
		{[]string{"dns", "--site-resolvers", site, "--site-internet=false"}, "answered", "good", 0},
		{[]string{"tcp", web.Addr}, "open", "good", 0},
		{[]string{"tls", secure.Addr}, "unknown-authority", "fault", 3},
		{[]string{"http", "http://" + web.Addr}, "server-error", "fault", 3},
		{[]string{"http", "http://" + clock.Addr}, "ok", "good", 0},
	} {
		r, code := runProbe(t, c.args...)
		if r.Result != c.result || r.Verdict != c.verdict || code != c.code || r.Check != probe.Kind(c.args[0]) {
			t.Errorf("probe %q: %+v and exit code %d, want %s, %s, %d", c.args, r, code, c.result, c.verdict, c.code)
		}
	}
}

// TestProbeKinds: every kind that there is can be run by hand, and has its help.
func TestProbeKinds(t *testing.T) {
	have := map[probe.Kind]bool{}
	for _, k := range probeKinds() {
		have[k.kind] = true
		if k.says == "" || strings.Count(probeKindsHelp(), "\n  "+string(k.kind)+" ") != 1 {
			t.Errorf("%s has no help", k.kind)
		}
	}
	want := map[probe.Kind]bool{}
	for _, k := range probe.Kinds() {
		want[k] = true
	}
	if !maps.Equal(have, want) {
		t.Errorf("kinds %v, want %v", slices.Sorted(maps.Keys(have)), slices.Sorted(maps.Keys(want)))
	}
	for line := range strings.Lines(probeKindsHelp()) {
		if len(line) > 81 {
			t.Errorf("too wide: %q", line)
		}
	}
}

func TestProbeTarget(t *testing.T) {
	const mac = "34:ea:34:00:00:01"
	cfg := &Config{Site: SiteConfig{
		CloudHosts: []string{"cloud.example"},
		Devices:    []DeviceConfig{{ID: "ac-7", Address: "192.0.2.20", MAC: mac}, {ID: "ac-8", MAC: mac}},
	}}
	for _, c := range []struct {
		kind  probe.Kind
		typed string
		want  probe.Target
		fails bool
	}{
		{probe.Hello, "ac-7", probe.Target{Address: "192.0.2.20", MAC: mac}, false},
		{probe.Hello, "192.0.2.20", probe.Target{Address: "192.0.2.20", MAC: mac}, false},
		{probe.Hello, "192.0.2.21", probe.Target{Address: "192.0.2.21"}, false},
		{probe.Hello, "34-EA-34-00-00-02", probe.Target{MAC: "34:ea:34:00:00:02"}, false},
		{probe.Hello, "ac-8", probe.Target{MAC: mac}, false},
		{probe.Ping, "ac-8", probe.Target{}, true},
		{probe.TLS, "", probe.Target{}, false},
		{probe.Ping, "0.0.0.0", probe.Target{}, true},
	} {
		got, err := probeTarget(cfg, c.kind, c.typed)
		if (err != nil) != c.fails || err == nil && got != c.want {
			t.Errorf("%s %q: %+v, %v, want %+v", c.kind, c.typed, got, err, c.want)
		}
	}
}

func TestProbeReport(t *testing.T) {
	for _, c := range []struct {
		answer  probe.Answer
		verdict string
		code    int
		text    string
	}{
		{probe.Answer{Target: "a", Result: "unlocked"}, "good", 0, "hello a: unlocked (good)\n"},
		{probe.Answer{Target: "a", Result: "locked"}, "fault", 3, "hello a: locked (fault)\n"},
		{probe.Answer{Target: "a", Verdict: diagnose.Inconclusive, Observed: "\x1b[31m"}, "inconclusive", 1, "hello a: could not be told\n"},
		{probe.Answer{Target: "a", Verdict: diagnose.NotApplicable}, "not-applicable", 1, "hello a: does not apply here\n"},
	} {
		r := newProbeReport(probe.Hello, c.answer, 1500*time.Microsecond)
		var out bytes.Buffer
		if err := r.print(&out); err != nil {
			t.Fatal(err)
		}
		code := 0
		if exit, ok := errors.AsType[*exitError](r.exit()); ok {
			code = exit.code
		}
		if r.Verdict != c.verdict || code != c.code || !strings.HasPrefix(out.String(), c.text) || strings.Contains(out.String(), "\x1b") || r.TookMS != 1 {
			t.Errorf("%+v: %+v, exit code %d, text %q", c.answer, r, code, out.String())
		}
	}
}
