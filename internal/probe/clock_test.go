package probe

import (
	"context"
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"fieldmedic/internal/diagnose"
	"fieldmedic/test/fakenet"
)

func startTime(t *testing.T, manner fakenet.TimeManner, off time.Duration) string {
	t.Helper()
	s, err := fakenet.StartTimeServer(fakenet.Loopback, manner, off)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s.Addr
}

// kernel is a kernel that says so.
func kernel(synced, ok bool) func() (bool, bool) { return func() (bool, bool) { return synced, ok } }

func TestClockByTimeServer(t *testing.T) {
	for _, c := range []struct {
		name   string
		manner fakenet.TimeManner
		off    time.Duration // of the server
		result string        // "": it cannot be told
		seen   string
	}{
		{"in step", fakenet.TellsTime, 0, "in-step", "0s ahead of 127.0.0.1, ±0s"},
		{"a little off", fakenet.TellsTime, 50 * time.Second, "in-step", "50s behind 127.0.0.1"},
		{"behind", fakenet.TellsTime, 70 * time.Second, "skewed", "1m10s behind 127.0.0.1"},
		{"ahead", fakenet.TellsTime, -2 * time.Hour, "skewed", "2h0m0s ahead of 127.0.0.1"},
		{"a packet lost", fakenet.LosesFirst, 0, "in-step", "of 127.0.0.1"},
		{"silent", fakenet.SilentTime, 0, "", "127.0.0.1: no answer"},
		{"sends away", fakenet.KissOfDeath, 0, "", "127.0.0.1: it has no time itself"},
		{"not set", fakenet.Unsynced, 0, "", "127.0.0.1: it has no time itself"},
		{"forged", fakenet.ForgesAnswer, 0, "", "127.0.0.1: an answer to something else"},
		{"short", fakenet.ShortAnswer, 0, "", "127.0.0.1: no answer of a time server"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			site := Site{TimeServers: []string{startTime(t, c.manner, c.off)}, Timeout: 200 * time.Millisecond, Synced: kernel(false, true)}
			got := site.Probes()[Clock](t.Context(), Target{})
			if got.Result != c.result || (got.Verdict == diagnose.Inconclusive) != (c.result == "") {
				t.Errorf("got %+v, want %q", got, c.result)
			}
			// 0.04 s behind is in step as well.
			if seen := strings.Replace(got.Observed, "0s behind", "0s ahead of", 1); !strings.Contains(seen, c.seen) && !strings.Contains(got.Observed, c.seen) {
				t.Errorf("observed %q, want %q in it", got.Observed, c.seen)
			}
			if !strings.Contains(got.Observed, "kernel not synchronised") {
				t.Errorf("the kernel is not in %q", got.Observed)
			}
		})
	}
}

func TestClockByWeb(t *testing.T) {
	for _, c := range []struct {
		name   string
		page   fakenet.Page
		off    time.Duration
		result string
	}{
		{"in step", fakenet.JSONPage, 0, "in-step"},
		{"an error has a Date too", fakenet.GatewayError, 0, "in-step"},
		{"ahead", fakenet.JSONPage, -time.Hour, "skewed"},
		{"behind", fakenet.JSONPage, 65 * time.Second, "skewed"},
		{"nearly too far", fakenet.JSONPage, 55 * time.Second, "in-step"},
		{"from a cache", fakenet.CachedPage, time.Hour, ""},
		{"no answer", fakenet.ResetPage, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ca := newCA(t)
			web := startWeb(t, c.page, c.off, certificate(t, ca, -time.Hour, time.Hour))
			site := Site{CloudHosts: []string{web.Addr}, Roots: ca.Pool(), Timeout: time.Second, Synced: kernel(false, false)}
			got := site.Probes()[Clock](t.Context(), Target{})
			if got.Result != c.result || (got.Verdict == diagnose.Inconclusive) != (c.result == "") {
				t.Errorf("got %+v, want %q", got, c.result)
			}
		})
	}
}

// TestClockOwn: this machine's clock is shifted, not the source's.
func TestClockOwn(t *testing.T) {
	ca := newCA(t)
	web := startWeb(t, fakenet.JSONPage, 0, certificate(t, ca, -100*time.Hour, 100*time.Hour))
	server := startTime(t, fakenet.TellsTime, 0)
	for shift, want := range map[time.Duration]string{0: "in-step", 5 * time.Minute: "skewed", -48 * time.Hour: "skewed"} {
		site := Site{Roots: ca.Pool(), Timeout: time.Second, Synced: kernel(true, true), Now: func() time.Time { return time.Now().Add(shift) }}
		site.CloudHosts = []string{web.Addr}
		if got := site.Probes()[Clock](t.Context(), Target{}); got.Result != want {
			t.Errorf("web, %s off: %+v, want %q", shift, got, want)
		}
		site.CloudHosts, site.TimeServers = nil, []string{server}
		if got := site.Probes()[Clock](t.Context(), Target{}); got.Result != want {
			t.Errorf("time server, %s off: %+v, want %q", shift, got, want)
		}
	}
}

func TestClockSources(t *testing.T) {
	right := startTime(t, fakenet.TellsTime, 0)
	wrong := startTime(t, fakenet.TellsTime, time.Hour)
	wronger := startTime(t, fakenet.TellsTime, time.Hour)
	silent := startTime(t, fakenet.SilentTime, 0)
	built := time.Now().Add(time.Hour)
	for _, c := range []struct {
		name    string
		servers []string
		site    Site
		result  string
	}{
		{"two that say it is wrong", []string{wrong, wronger}, Site{}, "skewed"},
		{"they do not agree", []string{wrong, right}, Site{}, ""},
		{"the first is right", []string{right, wrong}, Site{}, "in-step"},
		{"the first is silent", []string{silent, wrong}, Site{}, "skewed"},
		{"nobody, but the kernel", nil, Site{Synced: kernel(true, true)}, "in-step"},
		{"silence, but the kernel", []string{silent}, Site{Synced: kernel(true, true)}, "in-step"},
		{"nobody, the kernel does not know", nil, Site{Synced: kernel(false, true)}, ""},
		{"nobody, the kernel does not tell", nil, Site{Synced: kernel(false, false)}, ""},
		{"LAN-only asks no cloud", nil, Site{LANOnly: true, CloudHosts: []string{"192.0.2.1"}, Synced: kernel(true, true)}, "in-step"},
		{"before it was built", []string{right}, Site{Built: built}, "skewed"},
	} {
		c.site.TimeServers, c.site.Timeout = c.servers, shortTry
		if c.site.Synced == nil {
			c.site.Synced = kernel(false, true)
		}
		got := c.site.Probes()[Clock](t.Context(), Target{})
		if got.Result != c.result || got.Target != "gateway" {
			t.Errorf("%s: %+v, want %q", c.name, got, c.result)
		}
	}
}

func TestClockTarget(t *testing.T) {
	web := startWeb(t, fakenet.JSONPage, time.Hour, nil)
	site := Site{Timeout: shortTry, Synced: kernel(true, true)}
	if got := site.Probes()[Clock](t.Context(), Target{Address: web.Addr}); got.Verdict != diagnose.Inconclusive || web.Requests() != 0 {
		t.Errorf("a host that stands nowhere: %+v", got)
	}
	site.Targets = AnyTarget()
	// Its answer is what was asked for: the kernel does not stand in.
	if got := site.Probes()[Clock](t.Context(), Target{Address: refused(t)}); got.Verdict != diagnose.Inconclusive {
		t.Errorf("nobody there: %+v", got)
	}
	for target, want := range map[string]int{"": 2, "127.0.0.1": 2} {
		if got := (Site{TimeServers: []string{"a", "b", "c"}}).clockCost(Target{Address: target}); got != want {
			t.Errorf("target %q costs %d, want %d", target, got, want)
		}
	}
	if got := (Site{}).clockCost(Target{}); got != 1 {
		t.Errorf("asking the kernel costs %d, want 1", got)
	}
}

// TestClockStopped: a silent server does not hold up one who goes.
func TestClockStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	site := Site{TimeServers: []string{startTime(t, fakenet.SilentTime, 0)}, Timeout: 4 * time.Second, Synced: kernel(false, true)}
	time.AfterFunc(30*time.Millisecond, cancel)
	began := time.Now()
	got := site.Probes()[Clock](ctx, Target{})
	if took := time.Since(began); got.Verdict != diagnose.Inconclusive || took > 2*time.Second {
		t.Errorf("%+v after %s", got, took)
	}
}

func TestNTPTime(t *testing.T) {
	for _, want := range []time.Time{
		time.Date(2024, 5, 6, 7, 8, 9, 500_000_000, time.UTC),
		time.Date(2036, 2, 7, 6, 28, 15, 0, time.UTC),
		time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		var b [8]byte
		binary.BigEndian.PutUint32(b[:], uint32(want.Unix()+2_208_988_800))
		binary.BigEndian.PutUint32(b[4:], uint32(want.Nanosecond()/1000*4295))
		if got := ntpTime(b[:]); got.Sub(want).Abs() > time.Millisecond {
			t.Errorf("%s was read as %s", want, got.UTC())
		}
	}
}

// TestKernel: whatever the kernel says, it says it at once.
func TestKernel(t *testing.T) {
	synced, ok := kernelSynced()
	if synced && !ok {
		t.Error("synchronised, and not told")
	}
}
