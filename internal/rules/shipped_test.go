package rules

import (
	"bufio"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"fieldmedic/internal/diagnose"
)

// These tests hold the embedded packs against the vendor's list and the house
// rules of words. What is asserted here is what a reader is promised.

// shippedSet loads the embedded packs in all their languages.
func shippedSet(t *testing.T) *Set {
	t.Helper()
	s, err := Load(Options{Languages: ShippedLanguages()})
	if err != nil {
		t.Fatal("the embedded packs have mistakes (TestShippedLoads tells them)")
	}
	return s
}

// TestShippedLoads reads the packs in all languages at once and in each alone.
func TestShippedLoads(t *testing.T) {
	s, err := Load(Options{Languages: ShippedLanguages()})
	if err != nil {
		t.Fatalf("the embedded packs have mistakes:\n%v", err)
	}
	langs := s.Languages()
	if langs[0] != "en" || !slices.Contains(langs, "zh-Hans") {
		t.Errorf("shipped languages %v, want en first, and zh-Hans", langs)
	}
	for _, lang := range langs {
		if missing := s.Missing(lang); len(missing) > 0 {
			t.Errorf("%s is offered, and these packs lack it: %v", lang, missing)
		}
	}
	for _, lang := range ShippedLanguages() {
		if _, err := Load(Options{Languages: []string{lang}}); err != nil {
			t.Errorf("%s alone: %v", lang, err)
		}
	}
	var names []string
	for _, p := range s.Packs() {
		names = append(names, p.Name)
		if p.Rules == 0 || p.Version == 0 || p.Site {
			t.Errorf("pack %+v", p)
		}
	}
	for _, want := range []string{"account", "appsdk", "appservice", "availability", "dnasdk", "firmware", "home", "unknown"} {
		if !slices.Contains(names, want) {
			t.Errorf("no pack %s", want)
		}
	}
}

// vendorCodes reads the vendor's list: number and family.
func vendorCodes(t *testing.T) map[int32]diagnose.Family {
	t.Helper()
	f, err := os.Open("testdata/vendor-codes.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	codes := map[int32]diagnose.Family{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		number, family, ok := strings.Cut(lines.Text(), "\t")
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(number, 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		codes[int32(n)] = diagnose.Family(family)
	}
	// 194 entries of which one is 0, success, which no rule matches.
	if len(codes) != 193 {
		t.Fatalf("%d codes in the list, want 193", len(codes))
	}
	return codes
}

// TestShippedVendorList: every code of the vendor's list has a rule that names
// it exactly, and its family is that of the list's section.
func TestShippedVendorList(t *testing.T) {
	s := shippedSet(t)
	for code, family := range vendorCodes(t) {
		checkKnown(t, s, code, family)
		if !slices.Contains(s.Codes(), code) {
			t.Errorf("code %d: only a range has it, want a rule that names it", code)
		}
	}
	if m := s.Match(diagnose.Key{Producer: diagnose.ProducerDNA}); m.Known {
		t.Errorf("0 is success, yet rule %s has it", m.Rule.Condition)
	}
}

func checkKnown(t *testing.T, s *Set, code int32, family diagnose.Family) {
	t.Helper()
	m := s.Match(diagnose.Key{Producer: diagnose.ProducerDNA, Code: code})
	switch {
	case !m.Known:
		t.Errorf("code %d: no rule has it", code)
	case m.Family != family:
		t.Errorf("code %d (%s): family %s, want %s", code, m.Rule.Condition, m.Family, family)
	case m.Code != code:
		t.Errorf("code %d is published as %d", code, m.Code)
	case m.Rule != s.Rule(m.Rule.Condition):
		t.Errorf("code %d: condition %s has another rule by name", code, m.Rule.Condition)
	}
}

// TestShippedBeyondList: codes the vendor's other headers define belong to the
// family of the service that sends them (contract section 3).
func TestShippedBeyondList(t *testing.T) {
	s := shippedSet(t)
	for family, codes := range map[diagnose.Family][]int32{
		diagnose.FamilyAccount: {-1004, -1016, -1017, -1018, -1022, -1048},
		diagnose.FamilyAppSDK:  {-3000, -3101, -3102},
		diagnose.FamilyAppService: {
			-13008, -14001, -14017, -14038, -14048, -14054, -14020, -16001, -16003, -16005, -16104, -16105,
			-25002, -25010, 10003, 10004, 10011,
		},
	} {
		for _, code := range codes {
			checkKnown(t, s, code, family)
		}
	}
	for from, to := range map[int32]int32{-49010: -490010, -49011: -490011} {
		m := s.Match(diagnose.Key{Producer: diagnose.ProducerDNA, Code: from})
		if !m.Known || m.Code != to || m.Family != diagnose.FamilyAppService {
			t.Errorf("code %d: %d of %s, want %d of appservice", from, m.Code, m.Family, to)
		}
	}
	for code, family := range map[int32]diagnose.Family{
		-500: diagnose.FamilyFirmware, -1500: diagnose.FamilyAccount, -2500: diagnose.FamilyHome,
		-3500: diagnose.FamilyAppSDK, -4500: diagnose.FamilyDNASDK, -49500: diagnose.FamilyAppService,
		-7000: diagnose.FamilyUnknown, 4013: diagnose.FamilyUnknown,
	} {
		if m := s.Match(diagnose.Key{Producer: diagnose.ProducerDNA, Code: code}); m.Known || m.Family != family {
			t.Errorf("unknown code %d: known %v, family %s, want %s", code, m.Known, m.Family, family)
		}
	}
}

// TestShippedNames: the vendor's string errors in the spellings that occur,
// and the loss of a device.
func TestShippedNames(t *testing.T) {
	s := shippedSet(t)
	for name, code := range map[string]int32{
		"ENDPOINT_UNREACHABLE": -3, "endpoint-unreachable": -3, "ENDPOIONT_UNREACHABLE": -3,
		"FUNCTION_NOT_SUPPORT": -4, "INVALID_ACCESSTOKEN": -1000, "NO_SUCH_ENDPOINT": -3103,
		"NETWOEK_TIME_OUT": -4000, "NETWORK_TIME_OUT": -4000, "DEVICE_RESET": -4012,
		"SERVICE_UNAVAILABLE": -49002, "INTERNAL_ERROR": -49002, "INVALID_REQ": -49004,
		"INVALID_DIRECTIVE": -49004, "UNDERSTAND_FAILURE": -49008,
	} {
		m := s.Match(diagnose.Key{Producer: diagnose.ProducerDNA, Name: name})
		want := s.Match(diagnose.Key{Producer: diagnose.ProducerDNA, Code: code})
		if !m.Known || m.Rule != want.Rule {
			t.Errorf("%s: %s, want the rule of %d, %s", name, m.Rule.Condition, code, want.Rule.Condition)
		}
	}
	for _, name := range []string{"INVALID_SIGNATURE", "VALUE_OUT_OF_RANGE"} {
		if m := s.Match(diagnose.Key{Producer: diagnose.ProducerDNA, Name: name}); !m.Known {
			t.Errorf("%s: no rule has it", name)
		}
	}
	m := s.Match(diagnose.Key{Producer: diagnose.ProducerAvailability, Name: "lost"})
	if !m.Known || m.Rule.Condition != "device-lost" || m.Family != diagnose.FamilyAvailability {
		t.Errorf("lost: %s of %s, want device-lost", m.Rule.Condition, m.Family)
	}
}

// TestShippedRules: what each rule must say for itself.
func TestShippedRules(t *testing.T) {
	s := shippedSet(t)
	unused := []int32{-1042, -1043, -2028, -3104, -3105, -3111, -4019, -4021, -4027}
	for _, code := range unused {
		r := s.Match(diagnose.Key{Code: code}).Rule
		if a := r.Causes[0].Action; !r.Deprecated || a != diagnose.ActNone && a != diagnose.ActContactSupport {
			t.Errorf("code %d (%s) is not in use: deprecated %v, action %s; want none or contact-support", code, r.Condition, r.Deprecated, a)
		}
	}
	for _, condition := range s.Conditions() {
		r := s.rules[condition].rule
		for _, c := range r.Causes {
			if !slices.Contains(diagnose.Actions(), c.Action) {
				t.Errorf("%s: action %q", condition, c.Action)
			}
		}
		if isCode := r.Family != diagnose.FamilyAvailability && r.Family != diagnose.FamilySite && r.Family != diagnose.FamilyAgent; isCode && !r.Clear.OnSuccess {
			t.Errorf("%s: a success does not clear it", condition)
		}
	}
	for _, condition := range []string{unknownCode, unknownError} {
		r := s.rules[condition].rule
		if r.Severity != diagnose.Info || r.Causes[0].Action != diagnose.ActContactSupport || r.Clear != (diagnose.Clear{OnSuccess: true, Quiet: 24 * 3600e9}) {
			t.Errorf("%s: severity %s, action %s, clear %+v; want info, contact-support, success or 24h (contract section 3)",
				condition, r.Severity, r.Causes[0].Action, r.Clear)
		}
	}
}

// occasions are diagnoses to render the words with: with nothing told, and
// with everything.
func occasions(r *diagnose.Rule) []diagnose.Diagnosis {
	bare := diagnose.Diagnosis{Gateway: "gw-1", Device: "dev-1", Condition: r.Condition}
	full := bare
	full.Code, full.Msg = new(int32(-7)), "MSG"
	full.Facts = diagnose.Facts{DID: "DID", PID: "PID", MAC: "MAC", IP: "IP", Model: "MODEL", FW: "FW"}
	var all []diagnose.Diagnosis
	for _, d := range []diagnose.Diagnosis{bare, full} {
		for _, leading := range r.Causes {
			d.Causes = []diagnose.RankedCause{{Cause: leading.Name, Action: leading.Action, Verdict: diagnose.VerdictLikely}}
			all = append(all, d)
			for _, w := range leading.FirstIf {
				d.Causes = []diagnose.RankedCause{{Cause: leading.Name, Action: leading.Action, Verdict: diagnose.VerdictLikely, Reason: w.ID}}
				all = append(all, d)
			}
		}
	}
	return all
}

// TestShippedChecks: rules wait only for results that checks give. A misspelt
// one would never confirm anything, silently.
func TestShippedChecks(t *testing.T) {
	s := shippedSet(t)
	results := map[string][]string{
		"hello":     {"locked", "unlocked", "answered", "silent", "wrong-mac", "moved"},
		"dns":       {"answered", "nxdomain", "servfail", "timeout", "sinkhole", "resolver-only", "all-fail"},
		"tcp":       {"open", "refused", "timeout"},
		"tls":       {"ok", "expired", "not-yet-valid", "unknown-authority", "wrong-name", "reset", "timeout"},
		"http":      {"ok", "server-error", "html", "timeout"},
		"clock":     {"in-step", "skewed"},
		"route":     {"ok", "none"},
		"neighbour": {"match", "other-mac", "absent"},
		"ping":      {"answered", "lost", "refused"},
		"host":      {"ok", "exhausted"},
	}
	for _, condition := range s.Conditions() {
		for _, cause := range s.rules[condition].rule.Causes {
			for _, r := range slices.Concat(cause.SupportedBy, cause.RefutedBy) {
				for _, word := range r.Results {
					if !slices.Contains(results[r.Check], word) {
						t.Errorf("%s, %s: check %s has no result %q", condition, cause.Name, r.Check, word)
					}
				}
			}
		}
	}
}
