package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"fieldmedic/internal/diagnose"
)

func TestShow(t *testing.T) {
	t.Setenv("RUNTIME_DIRECTORY", "")
	r := startAgent(t, "")
	devices := connectApp(t, r.mqtt)
	devices.report("devices/ac-7/status", `{"status":-4013,"msg":"lookup failed","model":"AC"}`)
	out := r.askUntil(exitFaults, "show", "ac-7")
	for _, want := range []string{
		"ac-7: failed, action: check-dns\n", "The name of a cloud server cannot be resolved\n", "dns-resolution-failed, code -4013, major, suspected, since ",
		"The reporter says: lookup failed\n", "Likely: site-resolver-fails -> check-dns", "What the technician does:\n1. ", "It worked if: ", "\nTimeline:\n", "raised ",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in:\n%s", want, out)
		}
	}
	checkTable(t, out)
	if _, out, _ := r.ask("show", "ac-7", "--for", "user"); !strings.Contains(out, "What the user does:\n1. ") {
		t.Errorf("--for user:\n%s", out)
	}
	if code, _, errs := r.ask("show", "ac-7", "--for", "nobody"); code != exitUsage || !strings.Contains(errs, "technician") {
		t.Errorf("--for nobody: exit code %d, %q", code, errs)
	}
	for id, want := range map[string]string{
		"ac-8":                       "fieldmedic: no device ac-8 is known (did you mean ac-7?)\n",
		"heat pump of the neighbour": "fieldmedic: no device heat pump of the neighbour is known (it was never heard, and is not in the inventory)\n",
		"a\u202e\x1b":                "", // whatever the hint, nothing that steers the terminal
	} {
		code, out, errs := r.ask("show", id)
		if code != exitFailed || out != "" || want != "" && errs != want || strings.ContainsAny(errs, "\u202e\x1b") {
			t.Errorf("show %q: exit code %d, %q, %q", id, code, out, errs)
		}
	}
	devices.report("devices/ac-7/status", "0")
	out = r.askUntil(0, "show", "ac-7")
	if !strings.HasPrefix(out, "ac-7: ok\n") || !strings.Contains(out, "  cleared  The name of a cloud server") {
		t.Errorf("after the end:\n%s", out)
	}
	checkShowJSON(t, r)
}

func checkShowJSON(t *testing.T, r *running) {
	t.Helper()
	code, text, _ := r.ask("show", "ac-7", "-o", "json")
	var shown shownDevice
	if err := json.Unmarshal([]byte(text), &shown); err != nil {
		t.Fatal(err)
	}
	if code != 0 || shown.Device != "ac-7" || shown.Health != diagnose.HealthOK || len(shown.Diagnoses) != 1 || types(shown.Events) != "raised cleared" {
		t.Errorf("exit code %d, show as JSON: %s", code, text)
	}
}

// shownText is fullDevice as it is printed.
const shownText = `ac-7: failed, action: check-mainboard-link

--------------------------------------------------------------------------------
The main board is silent
mainboard-no-response, code -4028 (came as 61508), major, confirmed, since
11:57:00 (3 min), 4 reports, occurrence 2 (acknowledged, last known state)
Acknowledged by Ann, 11:59:00, until 2026-03-03 12:00:00: I look at it
Note of Bob, 11:59:00: fuse is good

The module works.

Causes, the likeliest first:
1. It is: link-loose -> check-mainboard-link
   It answers.
2. Ruled out: no-power -> check-power
   A fuse.

What was checked:
- hello 192.0.2.7: answered in 3 ms (speaks for it, 11:59:00)

What the technician does:
1. Push the plug in.
   - Power off first.
   It worked if: It beeps. Fieldmedic sees it within 180 s.

Timeline:
2026-03-01 11:00:00  raised   The main board is silent (last known state)
11:59:00  changed  The main board is silent (now confirmed, acknowledged)
`

// TestShowText prints a device with all that a diagnosis can have.
func TestShowText(t *testing.T) {
	now := time.Date(2026, 3, 2, 12, 0, 0, 0, time.Local)
	shown := fullDevice(now)
	if got := (showText{width: usualWidth, now: now}).all(shown); got != shownText {
		t.Errorf("got:\n%s\nwant:\n%s", got, shownText)
	}
	german := showText{width: usualWidth, now: now, lang: "de"}.all(shown)
	if !strings.Contains(german, "Die Hauptplatine schweigt\n") || !strings.Contains(german, "   Eine Sicherung.\n") {
		t.Errorf("--lang de:\n%s", german)
	}
}

func fullDevice(now time.Time) shownDevice {
	at := func(ago time.Duration) diagnose.Stamp { return diagnose.Stamp{Time: now.Add(-ago)} }
	code, within := int32(-4028), 180
	d := diagnose.Diagnosis{
		ID: "1", Device: "ac-7", Condition: "mainboard-no-response", Code: &code, CodeRaw: "61508", Severity: diagnose.Major,
		Status: diagnose.Confirmed, Audience: diagnose.Technician, Title: "The main board is silent", FirstSeen: at(3 * time.Minute),
		Reports: 4, Occurrence: 2, Stale: true,
		Causes: []diagnose.RankedCause{
			{Cause: "link-loose", Action: diagnose.ActCheckMainboardLink, Verdict: diagnose.VerdictConfirmed, Because: "It answers."},
			{Cause: "no-power", Action: diagnose.ActCheckPower, Verdict: diagnose.VerdictExcluded, Because: "A fuse."},
		},
		Evidence:     []diagnose.Evidence{{Check: "hello", Target: "192.0.2.7", Observed: "answered in 3 ms", Verdict: diagnose.Supports, At: at(time.Minute)}},
		Acknowledged: &diagnose.Decision{By: "Ann", At: at(time.Minute), Note: "I look at it", Until: at(-24 * time.Hour)},
		Notes:        []diagnose.Note{{By: "Bob", At: at(time.Minute), Note: "fuse is good"}},
	}
	old := d
	old.Status, old.Acknowledged = diagnose.Suspected, nil
	return shownDevice{
		SnapshotJSON: diagnose.SnapshotJSON{
			Device: "ac-7", Health: diagnose.HealthFailed, Action: diagnose.ActCheckMainboardLink,
			Diagnoses: []diagnose.DiagnosisJSON{{Diagnosis: d, Advice: map[string]diagnose.Advice{
				"de": {Title: "Die Hauptplatine schweigt", Because: []string{"Es antwortet.", "Eine Sicherung."}},
				"en": {Title: d.Title, Summary: "The module works.", Technician: []diagnose.Step{
					{Title: "Push the plug in.", Details: []string{"Power off first."}, WorkedIf: "It beeps.", WithinS: &within},
				}},
			}}},
		},
		Events: []diagnose.Event{
			{Type: diagnose.Raised, At: at(25 * time.Hour), Diagnosis: &old},
			{Type: diagnose.Changed, At: at(time.Minute), Diagnosis: &d},
		},
	}
}
