package diagnose

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

func diagnosisOf(condition string, sev Severity, first time.Duration) Diagnosis {
	return Diagnosis{
		ID: condition, Gateway: "gw", Device: "ac-7", Condition: condition, Severity: sev, Status: Suspected,
		Action: Action("act-" + condition), FirstSeen: Stamp{day.Add(first)}, Evidence: []Evidence{},
		Causes: []RankedCause{{Cause: "c", Action: "a", Verdict: VerdictLikely}},
	}
}

func clearedAt(d Diagnosis, at time.Duration) Diagnosis {
	d.Status, d.ClearedAt, d.ClearedBy = Cleared, Stamp{day.Add(at)}, BySignal
	return d
}

func ignored(d Diagnosis) Diagnosis {
	d.Ignored = &Decision{By: "ann"}
	return d
}

func TestSnapshotOrder(t *testing.T) {
	ds := []Diagnosis{
		clearedAt(diagnosisOf("gone-1", Critical, 0), time.Second), diagnosisOf("info", Info, 0),
		diagnosisOf("major-2", Major, time.Second+time.Microsecond), diagnosisOf("major-3", Major, time.Second),
		ignored(diagnosisOf("ignored", Critical, 0)), clearedAt(diagnosisOf("gone-2", Info, 0), 2*time.Second),
		diagnosisOf("major-1", Major, time.Millisecond), diagnosisOf("critical", Critical, time.Hour), diagnosisOf("warning", Warning, 0), diagnosisOf("minor", Minor, 0),
	}
	Sort(ds)
	var got []string
	for _, d := range ds {
		got = append(got, d.Condition)
	}
	if want := "critical major-1 major-2 major-3 minor warning info ignored gone-2 gone-1"; strings.Join(got, " ") != want {
		t.Fatalf("got  %s\nwant %s", strings.Join(got, " "), want)
	}
}

func TestHealthAndAction(t *testing.T) {
	confirmed := diagnosisOf("x", Major, 0)
	confirmed.Stale, confirmed.ExplainedBy = true, "y"
	for _, c := range []struct {
		name   string
		ds     []Diagnosis
		unborn bool
		health Health
		action Action
	}{
		{name: "nothing", health: HealthOK, action: ActNone},
		{name: "never heard", unborn: true, health: HealthUnknown, action: ActNone},
		{name: "never heard, cleared of late", unborn: true, ds: []Diagnosis{clearedAt(diagnosisOf("x", Major, 0), 1)}, health: HealthUnknown, action: ActNone},
		{name: "info", ds: []Diagnosis{diagnosisOf("x", Info, 0)}, health: HealthOK, action: "act-x"},
		{name: "warning", ds: []Diagnosis{diagnosisOf("x", Warning, 0)}, health: HealthAttention, action: "act-x"},
		{name: "minor beats info", ds: []Diagnosis{diagnosisOf("x", Info, 0), diagnosisOf("y", Minor, 0)}, health: HealthAttention, action: "act-y"},
		{name: "major", ds: []Diagnosis{diagnosisOf("x", Major, 0)}, health: HealthFailed, action: "act-x"},
		{name: "critical", ds: []Diagnosis{diagnosisOf("x", Critical, 0), diagnosisOf("y", Major, 0)}, health: HealthFailed, action: "act-x"},
		{name: "ignored", ds: []Diagnosis{ignored(diagnosisOf("x", Critical, 0))}, health: HealthOK, action: ActNone},
		{name: "cleared", ds: []Diagnosis{clearedAt(diagnosisOf("x", Critical, 0), 0)}, health: HealthOK, action: ActNone},
		{name: "explained and stale count", ds: []Diagnosis{confirmed}, health: HealthFailed, action: "act-x"},
	} {
		s := Snapshot{Device: "ac-7", Heard: !c.unborn, Diagnoses: c.ds}
		if h, a := s.Judge(); h != c.health || a != c.action {
			t.Errorf("%s: %s %s, want %s %s", c.name, h, a, c.health, c.action)
		}
	}
}

// The published JSON, to the letter of contract section 4.
func TestSnapshotJSON(t *testing.T) {
	code := int32(-7)
	d := diagnosisOf("session-expired", Major, 1500*time.Microsecond)
	d.Scope, d.Family, d.Code, d.CodeRaw, d.Kind, d.Audience, d.Rule = ScopeDevice, FamilyFirmware, &code, "65529", Permanent, User, "test/session-expired@1"
	s := Snapshot{Device: "ac-7", Heard: true, UpdatedAt: day.Add(1250 * time.Millisecond), Diagnoses: []Diagnosis{d}}
	b, err := s.Encode("gw", plainWords{advice: 1})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"schema":"1","gateway":"gw","device":"ac-7","health":"failed","action":"act-session-expired","updated_at":"2026-11-22T00:00:01.250Z","diagnoses":[` +
		`{"id":"session-expired","gateway":"gw","device":"ac-7","scope":"device","condition":"session-expired","family":"firmware","code":-7,"code_raw":"65529","msg":"",` +
		`"severity":"major","kind":"permanent","audience":"user","status":"suspected","action":"act-session-expired",` +
		`"causes":[{"cause":"c","action":"a","verdict":"likely","because":"because of c"}],"evidence":[],"title":"title of session-expired",` +
		`"first_seen":"2026-11-22T00:00:00.001Z","last_seen":null,"last_ok":null,"cleared_at":null,"source_ts":null,"occurrence":0,"reports":0,` +
		`"flapping":null,"cleared_by":null,"explained_by":null,"acknowledged":null,"ignored":null,"facts":{},"rule":"test/session-expired@1","stale":false,` +
		`"advice":{"en":{"title":"title of session-expired","summary":"x","because":null,"user":null,"technician":null,"developer":null}}}]}`
	if string(b) != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
	site := Snapshot{UpdatedAt: day}
	b, err = site.Encode("gw", plainWords{})
	if want := `{"schema":"1","gateway":"gw","health":"ok","action":"none","updated_at":"2026-11-22T00:00:00.000Z","diagnoses":[]}`; err != nil || string(b) != want {
		t.Errorf("site: %v\ngot  %s\nwant %s", err, b, want)
	}
}

func TestSnapshotTruncation(t *testing.T) {
	for _, c := range []struct {
		n, advice          int
		truncated          bool
		diagnoses, advice2 int
	}{
		{n: 10, advice: 5000, diagnoses: 10, advice2: 10},
		{n: 20, advice: 5000, truncated: true, diagnoses: 20, advice2: 9},
		{n: 256, advice: 5000, truncated: true, diagnoses: 105, advice2: 0},
	} {
		s := Snapshot{Device: "ac-7", Heard: true, UpdatedAt: day}
		for i := range c.n {
			s.Diagnoses = append(s.Diagnoses, diagnosisOf(fmt.Sprintf("condition-%03d", i), Major, time.Duration(i)))
		}
		b, err := s.Encode("gw", plainWords{advice: c.advice})
		if err != nil || len(b) > MaxSnapshot {
			t.Fatalf("%d diagnoses: %d bytes, %v", c.n, len(b), err)
		}
		var back struct {
			Truncated bool
			Diagnoses []struct {
				Condition string
				Advice    map[string]any
			}
		}
		if err := json.Unmarshal(b, &back); err != nil {
			t.Fatal(err)
		}
		with := 0
		for i, d := range back.Diagnoses {
			if len(d.Advice) > 0 {
				with++
				if with != i+1 {
					t.Errorf("%d diagnoses: %s has advice, one before it has not", c.n, d.Condition)
				}
			}
			if want := fmt.Sprintf("condition-%03d", i); d.Condition != want {
				t.Fatalf("%d diagnoses: %s at the place of %s", c.n, d.Condition, want)
			}
		}
		// As much as fits: one more advice, or diagnosis, would be too much.
		if back.Truncated != c.truncated || with < c.advice2 || len(back.Diagnoses) < min(c.diagnoses, c.n) ||
			c.truncated && len(b) < MaxSnapshot-6000 {
			t.Errorf("%d diagnoses: truncated %v, %d listed, %d with advice, %d bytes", c.n, back.Truncated, len(back.Diagnoses), with, len(b))
		}
	}
}

func TestMembersAreCut(t *testing.T) {
	d := diagnosisOf("dns-down", Major, 0)
	for i := range 1200 {
		d.Members = append(d.Members, fmt.Sprintf("device-%04d", i))
	}
	got := d.Describe(plainWords{})
	if len(got.Members) != MaxMembers || got.MembersTotal != 1200 || got.Members[0] != "device-0000" || len(d.Members) != 1200 {
		t.Fatalf("%d of %d members", len(got.Members), got.MembersTotal)
	}
}

// What readers of the store show is what the engine shows.
func TestRecordShowsWhatTheEngineShows(t *testing.T) {
	e := play(t, `
	00:00:00 lamp -7   -> raised session-expired
	00:00:01 lamp ok   -> cleared session-expired
	00:10:00 lamp -4   -> raised not-supported
	00:10:01 lamp lost ->`)
	for _, minute := range []int{11, 15, 16} {
		now := day.Add(time.Duration(minute) * time.Minute)
		e.Tick(now)
		shown, _ := e.Snapshot("lamp")
		rec, _ := e.Record("lamp")
		kept := rec.Snapshot(now)
		a, err := shown.Encode("gw", plainWords{})
		if err != nil {
			t.Fatal(err)
		}
		b, err := kept.Encode("gw", plainWords{})
		if err != nil || string(a) != string(b) {
			t.Errorf("minute %d, %v:\n%s\n%s", minute, err, a, b)
		}
	}
}

func TestStamp(t *testing.T) {
	for in, want := range map[string]string{
		`"2026-11-22T10:00:00+02:00"`: `"2026-11-22T08:00:00.000Z"`, `"2026-11-22T10:00:00.9999Z"`: `"2026-11-22T10:00:00.999Z"`, `null`: `null`,
	} {
		var s Stamp
		if err := json.Unmarshal([]byte(in), &s); err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(s)
		if err != nil || string(b) != want || want != "null" && `"`+s.String()+`"` != want {
			t.Errorf("%s: %s %q (%v), want %s", in, b, s, err, want)
		}
	}
	if err := json.Unmarshal([]byte(`"yesterday"`), new(Stamp)); err == nil {
		t.Error("yesterday is a time")
	}
}
