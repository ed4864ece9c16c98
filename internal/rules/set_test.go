package rules

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"fieldmedic/internal/diagnose"
)

// small loads the little packs of testdata with site rules over them.
func small(t testing.TB, site map[string]string, langs ...string) (*Set, error) {
	t.Helper()
	opts := Options{Languages: langs}
	if site != nil {
		opts.Dir = t.TempDir()
		for name, text := range site {
			if err := os.WriteFile(filepath.Join(opts.Dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	s, err := load(os.DirFS("testdata/shipped"), opts)
	if err != nil {
		// Paths as an operator would see them, without the temporary directory.
		err = fmt.Errorf("%s", strings.ReplaceAll(err.Error(), opts.Dir+string(filepath.Separator), "rules.d/"))
	}
	return s, err
}

func mustSmall(t testing.TB, site map[string]string, langs ...string) *Set {
	t.Helper()
	s, err := small(t, site, langs...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func code(n int32) diagnose.Key { return diagnose.Key{Producer: diagnose.ProducerDNA, Code: n} }

func name(s string) diagnose.Key { return diagnose.Key{Producer: diagnose.ProducerDNA, Name: s} }

func TestMatch(t *testing.T) {
	s := mustSmall(t, nil)
	for _, test := range []struct {
		what      string
		key       diagnose.Key
		condition string
		code      int32
		family    diagnose.Family
		known     bool
	}{
		{"exact", code(-7), "pairing-lost", -7, "firmware", true},
		{"in the range of another family", code(-150), "pairing-lost", -150, "account", true},
		{"range of codes, its first", code(-30), "some-service-fault", -30, "firmware", true},
		{"range of codes, its last", code(-20), "some-service-fault", -20, "firmware", true},
		{"second range, outside all families", code(12000), "some-service-fault", 12000, "firmware", true},
		{"beyond, held by another pack's rule", code(12001), "some-service-fault", 12001, "account", true},
		{"exact inside a range", code(-25), "read-failed", -25, "firmware", true},
		{"just outside a range", code(-31), "unknown-code-31", -31, "firmware", false},
		{"outside all families", code(10011), "not-signed-in", 10011, "account", true},
		{"alias", code(-4900), "session-gone", -49, "firmware", true},
		{"no producer", diagnose.Key{Code: -7}, "pairing-lost", -7, "firmware", true},
		{"the number of another producer", diagnose.Key{Producer: diagnose.ProducerAgent, Code: -7}, "unknown-code-7", -7, "firmware", false},
		{"unknown in a family", code(-160), "unknown-code-160", -160, "account", false},
		{"unknown outside", code(4013), "unknown-code-4013", 4013, "unknown", false},
		{"the lowest", code(-1 << 31), "unknown-code-2147483648", -1 << 31, "unknown", false},
		{"name", name("DEVICE_RESET"), "pairing-lost", 0, "firmware", true},
		{"name in another spelling", name("device reset"), "pairing-lost", 0, "firmware", true},
		{"name as the rule spells it", name("INVALID ACCESS-TOKEN"), "not-signed-in", 0, "account", true},
		{"name as the vendor spells it", name("InvalidAccessToken"), "not-signed-in", 0, "account", true},
		{"unknown name", name("NO_SUCH_THING"), "unknown-error-no-such-thing", 0, "unknown", false},
		{"availability", diagnose.Key{Producer: diagnose.ProducerAvailability, Name: "Lost"}, "gone", 0, "availability", true},
		{"availability's word from the SDK", name("lost"), "unknown-error-lost", 0, "unknown", false},
		{"the SDK's word from availability", diagnose.Key{Producer: diagnose.ProducerAvailability, Name: "DEVICE_RESET"}, "unknown-error-device-reset", 0, "unknown", false},
	} {
		m := s.Match(test.key)
		if m.Rule.Condition != test.condition || m.Code != test.code || m.Family != test.family || m.Known != test.known || m.Ignored {
			t.Errorf("%s: %s, code %d, family %s, known %v; want %s, %d, %s, %v", test.what,
				m.Rule.Condition, m.Code, m.Family, m.Known, test.condition, test.code, test.family, test.known)
		}
		if r := s.Rule(test.condition); r != m.Rule {
			t.Errorf("%s: by name another rule, %p, than by key, %p", test.what, r, m.Rule)
		}
	}
}

func TestCompiledRule(t *testing.T) {
	r := mustSmall(t, nil).Rule("pairing-lost")
	if r.Ref != "small/pairing-lost@3" || r.Family != "firmware" || r.Severity != "major" || r.EarlySeverity != "minor" {
		t.Errorf("%+v", r)
	}
	if want := (diagnose.Clear{OnSuccess: true, Quiet: 24 * time.Hour}); r.Clear != want {
		t.Errorf("clear %+v, want %+v", r.Clear, want)
	}
	if !slices.Equal(r.Supersedes, []string{"session-gone"}) || len(r.Causes) != 2 {
		t.Fatalf("supersedes %v, %d causes", r.Supersedes, len(r.Causes))
	}
	c := r.Causes[0]
	if c.Name != "was-reset" || c.Action != diagnose.ActRepair || len(c.FirstIf) != 2 || !c.FirstIf[0].Matches.MatchString("RESET") ||
		!slices.Equal(c.FirstIf[1].Open, []string{"gone"}) || c.SupportedBy[0].Check != "hello" {
		t.Errorf("%+v", c)
	}
	if held := mustSmall(t, nil).Rule("gone"); held.Hold != 30*time.Second || held.Confirm.Held != 5*time.Minute || !held.Clear.OnOnline {
		t.Errorf("%+v", held)
	}
}

func TestSetLists(t *testing.T) {
	s := mustSmall(t, nil, "zh-CN", "en", "zh")
	if got := s.Languages(); !slices.Equal(got, []string{"zh-Hans", "en"}) {
		t.Errorf("languages %v", got)
	}
	if got := s.Codes(); !slices.Equal(got, []int32{-150, -109, -49, -25, -7, -2, 10011}) {
		t.Errorf("codes %v", got)
	}
	if got := s.Conditions(); !slices.Equal(got, []string{
		"gone", "not-signed-in", "pairing-lost", "read-failed", "session-gone", "some-service-fault", "unknown-code", "unknown-error",
	}) {
		t.Errorf("conditions %v", got)
	}
	if got := s.Packs(); !slices.Equal(got, []Pack{
		{"other", 1, false, 1}, {"presence", 1, false, 1}, {"small", 3, false, 4}, {"unknown", 2, false, 2},
	}) {
		t.Errorf("packs %+v", got)
	}
	if got := s.Missing("zh-Hans"); !slices.Equal(got, []string{"other", "presence", "unknown"}) {
		t.Errorf("missing in zh-Hans: %v", got)
	}
	if got := s.Missing("en"); len(got) != 0 {
		t.Errorf("missing in en: %v", got)
	}
}

func TestUnknownNames(t *testing.T) {
	s := mustSmall(t, nil)
	long := strings.Repeat("VERY_", 40) + "LONG"
	seen := map[string]string{}
	for _, test := range []struct{ name, condition string }{
		{"A", "unknown-error-a"},
		{"_A__B.c_", "unknown-error-a-b-c"},
		{strings.Repeat("x", 50), "unknown-error-" + strings.Repeat("x", 50)},
		{strings.Repeat("x", 51), ""},
		{long, ""},
		{long + "ER", ""},
		{"设备离线", ""},
		{"设备重置", ""},
		{"___", ""},
		{"Überlast", ""},
	} {
		m := s.Match(name(test.name))
		got := m.Rule.Condition
		if test.condition != "" && got != test.condition {
			t.Errorf("%q: %s, want %s", test.name, got, test.condition)
		}
		if !kebab(got) || !strings.HasPrefix(got, "unknown-error-") {
			t.Errorf("%q: %q is no condition of at most %d characters", test.name, got, maxName)
		}
		if other, twice := seen[got]; twice {
			t.Errorf("%q and %q are both %s", test.name, other, got)
		}
		seen[got] = test.name
		if s.Rule(got) != m.Rule {
			t.Errorf("%q: another rule by name", test.name)
		}
	}
}

func TestRuleByName(t *testing.T) {
	s := mustSmall(t, nil)
	for _, none := range []string{
		"", "nothing", "unknown-code", "unknown-error", "unknown-code-", "unknown-code-007", "unknown-code--7",
		"unknown-code-9999999999", "unknown-code-x", "unknown-error-", "unknown-error-A", "unknown-error-" + strings.Repeat("x", 60),
	} {
		if r := s.Rule(none); r != nil {
			t.Errorf("Rule(%q) = %s, want none", none, r.Condition)
		}
	}
	r := s.Rule("unknown-code-123")
	if r == nil || r.Condition != "unknown-code-123" || r.Ref != "unknown/unknown-code@2" || r.Severity != "info" {
		t.Fatalf("unknown-code-123: %+v", r)
	}
	if m := s.Match(code(-123)); m.Rule != r {
		t.Error("the rule of -123 changed between two look-ups")
	}
}

// TestUnknownCodesCostNothing: completed rules that nobody holds are given up.
func TestUnknownCodesCostNothing(t *testing.T) {
	s := mustSmall(t, nil)
	kept := s.Match(code(-1000)).Rule
	for n := range int32(10_000) {
		s.Match(code(-2000 - n))
	}
	live := 0
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		runtime.GC()
		s.completions.mu.Lock()
		live = len(s.completions.live)
		s.completions.mu.Unlock()
		if live == 1 {
			break
		}
	}
	if live != 1 {
		t.Errorf("%d completed rules are kept, want the one in use", live)
	}
	if again := s.Match(code(-1000)).Rule; again != kept {
		t.Error("a rule in use was made anew")
	}
}

// TestMatchDoesNotAllocate: the look-up is on the path of every message.
func TestMatchDoesNotAllocate(t *testing.T) {
	s := mustSmall(t, nil)
	held := s.Match(code(-160)).Rule
	for what, k := range map[string]diagnose.Key{
		"exact": code(-7), "range": code(-22), "alias": code(-4900), "name": name("device-reset"), "unknown and held": code(-160),
	} {
		if n := testing.AllocsPerRun(100, func() { s.Match(k) }); n > 0 {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
	runtime.KeepAlive(held)
}
