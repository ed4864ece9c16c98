package diagnose

import (
	"fmt"
	"testing"
)

// The causes of session-expired, and what answers do to them:
//
//	key-old    refuted by ping lost
//	locked     supported by hello locked, refuted by hello unlocked
//	re-paired  refuted by hello locked, hello unlocked
func TestChecks(t *testing.T) {
	const raised = "\n00:00:00 lamp -7 -> raised session-expired causes=key-old:likely,locked:possible,re-paired:possible; checks ping,hello\n"
	for _, c := range []struct{ name, script string }{
		{"support confirms", `
		00:00:01 check session-expired hello locked -> changed session-expired status=confirmed sev=major action=unlock-device causes=locked:confirmed,key-old:possible,re-paired:excluded evidence=1
		00:00:02 check session-expired ping answered ->`},
		{"refutation excludes", `
		00:00:01 check session-expired ping lost -> changed session-expired status=suspected action=unlock-device causes=locked:likely,re-paired:possible,key-old:excluded`},
		{"the rest excluded leaves a likely one", `
		00:00:01 check session-expired ping answered  ->
		00:00:02 check session-expired hello unlocked -> changed session-expired status=suspected action=re-authenticate causes=key-old:likely,locked:excluded,re-paired:excluded`},
		{"all excluded", `
		00:00:01 check session-expired ping lost      -> changed session-expired
		00:00:02 check session-expired hello unlocked -> changed session-expired status=undetermined action=contact-support causes=key-old:excluded,locked:excluded,re-paired:excluded`},
		{"none could tell", `
		00:00:01 check session-expired hello silent  ->
		00:00:02 check session-expired ping answered -> changed session-expired status=undetermined sev=warning causes=key-old:likely,locked:possible,re-paired:possible evidence=2
		00:00:03 restart                             ->
		00:00:04 show lamp                           -> attention re-authenticate; session-expired status=undetermined sev=warning
		00:00:05 lamp ok                             -> cleared session-expired`},
		{"inconclusive is no refutation", `
		00:00:01 check session-expired ping lost verdict=inconclusive ->
		00:00:02 check session-expired hello locked verdict=inconclusive -> changed session-expired status=undetermined causes=key-old:likely,locked:possible,re-paired:possible`},
		{"not applicable tells nothing at all", `
		00:00:01 check session-expired ping lost verdict=not-applicable ->
		00:00:02 check session-expired hello locked verdict=not-applicable ->
		00:00:03 show lamp -> attention re-authenticate; session-expired status=suspected evidence=2`},
		{"a newer answer replaces the older", `
		00:00:01 check session-expired hello locked   -> changed session-expired status=confirmed sev=major
		00:00:02 check session-expired hello unlocked -> changed session-expired status=suspected sev=warning causes=key-old:likely,locked:excluded,re-paired:excluded evidence=1
		00:00:03 check session-expired hello locked   -> changed session-expired status=confirmed`},
		{"repetition proves the symptom, whatever checks say", `
		00:00:10 lamp -7 ->
		00:00:20 lamp -7 -> changed session-expired status=confirmed sev=major
		00:00:21 check session-expired hello silent  ->
		00:00:22 check session-expired ping answered ->
		00:00:23 show lamp -> failed re-authenticate; session-expired status=confirmed`},
		{"an answer for what ended", `
		00:00:01 lamp ok -> cleared session-expired
		00:00:02 check session-expired hello locked ->
		00:00:03 show lamp -> ok none; session-expired status=cleared evidence=0`},
		{"a new occurrence starts without evidence", `
		00:00:01 check session-expired hello locked -> changed session-expired
		00:00:02 lamp ok -> cleared session-expired
		00:00:03 lamp -7 -> raised session-expired status=suspected evidence=0 causes=key-old:likely,locked:possible,re-paired:possible; checks ping,hello`},
	} {
		t.Run(c.name, func(t *testing.T) { playWith(t, Options{Checks: true}, raised+c.script) })
	}
}

func TestEvidenceVerdictIsTheRules(t *testing.T) {
	for _, c := range []struct {
		kind, result string
		given, want  EvidenceVerdict
	}{
		{"hello", "locked", "", Supports},
		{"hello", "unlocked", "", Refutes},
		{"ping", "lost", "", Refutes},
		{"ping", "answered", "", Inconclusive},
		{"hello", "locked", Inconclusive, Inconclusive},
		{"hello", "locked", NotApplicable, NotApplicable},
	} {
		e := play(t, `00:00:00 lamp -7 -> raised session-expired`)
		e.Conclude(day, Evidence{Diagnosis: "id-1", Check: c.kind, Result: c.result, Verdict: c.given})
		s, _ := e.Snapshot("lamp")
		if got := s.Diagnoses[0].Evidence[0].Verdict; got != c.want {
			t.Errorf("%s %s %s: %s, want %s", c.kind, c.result, c.given, got, c.want)
		}
	}
}

func TestEvidenceIsBounded(t *testing.T) {
	e := play(t, `00:00:00 lamp -7 -> raised session-expired`)
	for i := range maxEvidence + 3 {
		e.Conclude(day, Evidence{Diagnosis: "id-1", Check: "dns", Target: fmt.Sprint(i), Result: "answered"})
	}
	s, _ := e.Snapshot("lamp")
	if ev := s.Diagnoses[0].Evidence; len(ev) != maxEvidence || ev[0].Target != "3" {
		t.Fatalf("%d kept, the first of %s", len(ev), ev[0].Target)
	}
}

// A retained fault asks for no checks; the live report of it does.
func TestChecksAreAskedOnce(t *testing.T) {
	playWith(t, Options{Checks: true}, `
	00:00:00 lamp -7 retained ->
	00:00:01 lamp -7          -> raised session-expired; checks ping,hello
	00:00:02 lamp -7          ->`)
	play(t, `00:00:00 lamp -7 -> raised session-expired`) // none without Checks
}
