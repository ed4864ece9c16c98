package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fieldmedic/internal/diagnose"
)

// ask runs a command against a running agent.
func (r *running) ask(args ...string) (code int, stdout, stderr string) {
	r.t.Helper()
	var out, errs syncBuffer
	args = append(args, "--socket", filepath.Join(r.state, socketName))
	code = execute(r.t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

// askUntil asks until the exit code is as wanted: what was published needs a
// moment to be decided.
func (r *running) askUntil(want int, args ...string) string {
	r.t.Helper()
	var stdout string
	eventually(r.t, strings.Join(args, " "), func() bool {
		code, out, _ := r.ask(args...)
		stdout = out
		return code == want
	})
	return stdout
}

func TestList(t *testing.T) {
	t.Setenv("RUNTIME_DIRECTORY", "")
	r := startAgent(t, "")
	devices := connectApp(t, r.mqtt)
	if code, out, errs := r.ask("list"); code != 0 || out != "Nothing is open. Devices known: 0.\n" || errs != "" {
		t.Errorf("at first: exit code %d, %q, %q", code, out, errs)
	}
	if code, out, _ := r.ask("list", "-o", "json"); code != 0 || out != "[]\n" {
		t.Errorf("at first as JSON: exit code %d, %q", code, out)
	}
	devices.report("devices/客厅插座/status", "-5") // minor
	out := r.askUntil(exitWarnings, "list")
	if !strings.Contains(out, "客厅插座") || !strings.Contains(out, "minor") {
		t.Errorf("a minor one:\n%s", out)
	}
	devices.report("devices/ac-\u202e7/status", `{"status":-4013}`)
	out = r.askUntil(exitFaults, "list")
	checkTable(t, out)
	first := strings.Split(out, "\n")[1]
	for _, want := range []string{`ac-\u202e7`, "major", "check-dns", " s"} {
		if !strings.Contains(first, want) {
			t.Errorf("the worst one is %q, want %q in it", first, want)
		}
	}
	checkListJSON(t, r)
	devices.report("devices/ac-\u202e7/status", "0")
	devices.report("devices/客厅插座/status", "0")
	if out := r.askUntil(0, "list"); out != "Nothing is open. Devices known: 2.\n" {
		t.Errorf("in the end: %q", out)
	}
}

func checkTable(t *testing.T, out string) {
	t.Helper()
	for line := range strings.SplitSeq(out, "\n") {
		if columns(line) > usualWidth || strings.ContainsAny(line, "\x1b\u202e") {
			t.Errorf("a line of %d columns: %q", columns(line), line)
		}
	}
}

func checkListJSON(t *testing.T, r *running) {
	t.Helper()
	_, text, _ := r.ask("list", "-o", "json")
	var list []diagnose.DiagnosisJSON
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		t.Fatal(err)
	}
	if len(list) != 2 || list[0].Device != "ac-\u202e7" || list[0].Action != diagnose.ActCheckDNS || list[1].Severity != diagnose.Minor {
		t.Errorf("list as JSON: %s", text)
	}
	if len(list) > 0 && len(list[0].Advice["en"].Technician) == 0 {
		t.Errorf("there is no advice: %s", text)
	}
}

func TestOpenExit(t *testing.T) {
	one := func(s diagnose.Severity) diagnose.DiagnosisJSON {
		return diagnose.DiagnosisJSON{Diagnosis: diagnose.Diagnosis{Severity: s, Status: diagnose.Suspected}}
	}
	ignored, cleared := one(diagnose.Critical), one(diagnose.Critical)
	ignored.Ignored = &diagnose.Decision{By: "me"}
	cleared.Status = diagnose.Cleared
	for name, c := range map[string]struct {
		open []diagnose.DiagnosisJSON
		want int
	}{
		"nothing":                {nil, 0},
		"critical":               {[]diagnose.DiagnosisJSON{one(diagnose.Critical)}, exitFaults},
		"warning, then major":    {[]diagnose.DiagnosisJSON{one(diagnose.Warning), one(diagnose.Major)}, exitFaults},
		"minor":                  {[]diagnose.DiagnosisJSON{one(diagnose.Minor)}, exitWarnings},
		"info":                   {[]diagnose.DiagnosisJSON{one(diagnose.Info)}, exitWarnings},
		"ignored and cleared":    {[]diagnose.DiagnosisJSON{ignored, cleared}, 0},
		"ignored beside warning": {[]diagnose.DiagnosisJSON{ignored, one(diagnose.Warning)}, exitWarnings},
	} {
		got := 0
		if err := openExit(c.open); err != nil {
			got = err.(*exitError).code //nolint:errorlint // it is made here
		}
		if got != c.want {
			t.Errorf("%s: exit code %d, want %d", name, got, c.want)
		}
	}
}

func TestListOrder(t *testing.T) {
	at := func(min int) diagnose.Stamp {
		return diagnose.Stamp{Time: time.Date(2026, 1, 1, 0, min, 0, 0, time.UTC)}
	}
	d := func(id string, s diagnose.Severity, min int) diagnose.DiagnosisJSON {
		return diagnose.DiagnosisJSON{Diagnosis: diagnose.Diagnosis{Device: diagnose.DeviceID(id), Severity: s, FirstSeen: at(min)}}
	}
	ignored := d("ignored", diagnose.Critical, 0)
	ignored.Ignored = &diagnose.Decision{}
	order := []diagnose.DiagnosisJSON{
		d("worst", diagnose.Critical, 9), d("older", diagnose.Major, 1), d("a", diagnose.Major, 2), d("b", diagnose.Major, 2),
		d("mild", diagnose.Warning, 0), ignored,
	}
	for i := range order {
		for j := range order {
			got := worstFirst(order[i], order[j])
			if (got < 0) != (i < j) || (got == 0) != (i == j) {
				t.Errorf("worstFirst(%s, %s) = %d", order[i].Device, order[j].Device, got)
			}
		}
	}
}

func TestNoServiceSaysWhereItLooked(t *testing.T) {
	runtime, state := t.TempDir(), t.TempDir()
	t.Setenv("RUNTIME_DIRECTORY", runtime)
	t.Setenv("FIELDMEDIC_STATE_DIR", state)
	for _, args := range [][]string{{"list"}, {"show", "ac-7"}, {"list", "-o", "json"}} {
		var stdout, stderr syncBuffer
		code := execute(t.Context(), args, &stdout, &stderr)
		if code != exitFailed || stdout.String() != "" {
			t.Errorf("%v: exit code %d, stdout %q", args, code, stdout.String())
		}
		for _, want := range []string{filepath.Join(runtime, socketName), "/run/fieldmedic/" + socketName, filepath.Join(state, socketName)} {
			if !strings.Contains(stderr.String(), want) {
				t.Errorf("%v: %q does not name %s", args, stderr.String(), want)
			}
		}
	}
}
