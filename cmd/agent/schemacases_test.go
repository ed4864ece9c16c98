package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"fieldmedic/internal/diagnose"
	"fieldmedic/internal/rules"
)

const someID = "0190a5f0-1c1e-7c3a-8a57-3a3fd9b9a001"

// everything is a diagnosis with every field that may be absent or null, which
// no message of this version has at once.
func everything() diagnose.Diagnosis {
	at := diagnose.Stamp{Time: time.Date(2026, 11, 22, 10, 0, 1, 250e6, time.UTC)}
	code := int32(-4013)
	decision := &diagnose.Decision{By: "anna", At: at, Note: "known", Until: at}
	d := diagnose.Diagnosis{
		ID: someID, Gateway: "gw-01", Scope: diagnose.ScopeSite, Condition: "dns-resolution-failed", Family: diagnose.FamilySite,
		Code: &code, CodeRaw: "-4013", Msg: "failed", Severity: diagnose.Major, Kind: diagnose.Permanent, Audience: diagnose.Technician,
		Status: diagnose.Cleared, Action: diagnose.ActCheckDNS, Title: "The resolver does not answer",
		Causes: []diagnose.RankedCause{{
			Cause: "site-resolver-fails", Action: diagnose.ActCheckDNS, Verdict: diagnose.VerdictConfirmed, Because: "It is.", Reason: "many",
		}},
		Evidence: []diagnose.Evidence{{
			Check: "dns", Target: "192.0.2.1", Verdict: diagnose.Supports, Result: "timeout", Observed: "[rcode] (none) == 0", At: at, TookMS: 3000,
		}},
		FirstSeen: at, LastSeen: at, LastOK: at, ClearedAt: at, SourceTS: json.RawMessage(`1763978400`), Occurrence: 2, Reports: 7,
		Flapping: &diagnose.Flapping{Since: at, Changes: 5}, ClearedBy: diagnose.BySignal, ExplainedBy: someID,
		Acknowledged: decision, Ignored: decision, Notes: []diagnose.Note{{By: "anna", At: at, Note: "seen"}},
		Facts: diagnose.Facts{DID: "d", PID: "p", MAC: "m", IP: "i", Model: "RM4", FW: "1"}, Rule: "dnasdk/dns-resolution-failed@1",
	}
	for i := range diagnose.MaxMembers + 1 {
		d.Members = append(d.Members, fmt.Sprintf("ac-%d", i))
	}
	return d
}

// handmade are messages that the engine of this version has no cause to
// publish, encoded as it would.
func handmade(t *testing.T) map[string][]byte {
	t.Helper()
	encoded := func(v any) []byte {
		body, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	words, err := rules.Load(rules.Options{Languages: []string{"en", "zh-Hans"}})
	if err != nil {
		t.Fatal(err)
	}
	site := diagnose.Snapshot{Heard: true, UpdatedAt: time.Now(), Diagnoses: []diagnose.Diagnosis{everything()}}
	snapshot, err := site.Encode("gw-01", words)
	if err != nil {
		t.Fatal(err)
	}
	d := everything().Describe(words)
	event := diagnose.Event{
		Schema: diagnose.Schema, EventID: someID, Epoch: someID, Seq: 9, At: diagnose.Stamp{Time: time.Now()}, Type: diagnose.Cleaned, Diagnosis: &d,
	}
	dropped := event
	dropped.Type, dropped.Diagnosis, dropped.FromSeq, dropped.ToSeq = diagnose.Dropped, nil, 3, 7
	return map[string][]byte{
		"snapshot": snapshot, "event": encoded(event), "event/dropped": encoded(dropped),
		"response": encoded(diagnose.Response{Transaction: "1", OK: true}),
		"state":    []byte(`{"state":"online","epoch":"` + someID + `","client_id":"c","expires_at":"2026-11-22T10:00:01.250Z","ttl_s":180,"faults":["storage-full"]}`),
		"info": encoded(info{
			Schema: diagnose.Schema, Gateway: "gw-01", Version: "1", StartedAt: event.At, Epoch: someID, Packs: []packInfo{},
			Sources: []sourceInfo{{"status", "devices/{device}/status", "dna"}}, Languages: []string{"en"},
		}),
	}
}

// TestSchemaAccepts: what no agent publishes yet fits the schemas, too, and so
// does a message of a later version, with fields that nobody knows.
func TestSchemaAccepts(t *testing.T) {
	s := readSchemas(t)
	for what, message := range handmade(t) {
		name, _, _ := strings.Cut(what, "/")
		if err := s.fits(name, message); err != nil {
			t.Errorf("%s: %v\n%s", what, err, message)
		}
		var later any
		if err := json.Unmarshal(message, &later); err != nil {
			t.Fatal(err)
		}
		eachNode(what, later, func(path string, n node) {
			if !strings.HasSuffix(path, "/advice") { // its keys are languages
				n["a_later_field"] = 1.0
			}
		})
		if err := s.open[name].Validate(later); err != nil {
			t.Errorf("%s with fields of a later version: %v", what, err)
		}
		if s.closed[name].Validate(later) == nil {
			t.Errorf("%s: the tests do not find unknown fields", what)
		}
	}
}

// TestSchemaRefuses breaks good messages in one place each.
func TestSchemaRefuses(t *testing.T) {
	s := readSchemas(t)
	good := handmade(t)
	for _, test := range []struct {
		message, path string
		value         any
	}{
		{"snapshot", "schema", "2"},
		{"snapshot", "device", nil},
		{"snapshot", "health", "good"},
		{"snapshot", "action", "reboot"},
		{"snapshot", "updated_at", nil},
		{"snapshot", "updated_at", "2026-11-22T10:00:01Z"},
		{"snapshot", "updated_at", "2026-11-22T10:00:01.250+01:00"},
		{"snapshot", "updated_at", "2026-13-22T10:00:01.250Z"},
		{"snapshot", "diagnoses", nil},
		{"snapshot", "diagnoses/0/id", "1"},
		{"snapshot", "diagnoses/0/condition", "DNS failed"},
		{"snapshot", "diagnoses/0/code", "-4013"},
		{"snapshot", "diagnoses/0/code", json.Number("4294967289")},
		{"snapshot", "diagnoses/0/status", "open"},
		{"snapshot", "diagnoses/0/cleared_by", "time"},
		{"snapshot", "diagnoses/0/causes/0/verdict", "sure"},
		{"snapshot", "diagnoses/0/evidence", nil},
		{"snapshot", "diagnoses/0/flapping", true},
		{"snapshot", "diagnoses/0/acknowledged/until", "tomorrow"},
		{"snapshot", "diagnoses/0/rule", "dns-resolution-failed"},
		{"snapshot", "diagnoses/0/advice/en/user/0/within_s", "60"},
		{"snapshot", "diagnoses/0/advice/english words", map[string]any{}},
		{"snapshot", "truncated", false},
		{"event", "type", "dropped"},
		{"event", "seq", json.Number("0")},
		{"event", "from_seq", json.Number("1")},
		{"event", "diagnosis/advice", map[string]any{}},
		{"event/dropped", "type", "raised"},
		{"event/dropped", "diagnosis", map[string]any{}},
		{"response", "error", "no"},
		{"response", "ok", false},
		{"state", "state", "offline"},
		{"state", "expires_at", nil},
		{"info", "sources", []any{}},
		{"info", "sources/0/topic", "devices/status"},
		{"info", "reload_error", ""},
	} {
		name, _, _ := strings.Cut(test.message, "/")
		broken := replace(t, good[test.message], test.path, test.value)
		if err := s.open[name].Validate(broken); err == nil {
			t.Errorf("%s with %s = %v is taken", test.message, test.path, test.value)
		}
	}
}

// replace sets one value of a message; a path is keys and numbers.
func replace(t *testing.T, message []byte, path string, value any) any {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	at := doc
	parts := strings.Split(path, "/")
	for _, part := range parts[:len(parts)-1] {
		switch v := at.(type) {
		case node:
			at = v[part]
		case []any:
			at = v[0]
		}
	}
	at.(node)[parts[len(parts)-1]] = value
	return doc
}

// TestSchemaRequired leaves out each field of good messages, one at a time: a
// required one is missed, any other is not.
func TestSchemaRequired(t *testing.T) {
	s := readSchemas(t)
	for what, message := range handmade(t) {
		name, _, _ := strings.Cut(what, "/")
		var doc any
		if err := json.Unmarshal(message, &doc); err != nil {
			t.Fatal(err)
		}
		eachNode(what, doc, func(path string, n node) {
			for field, value := range maps.Clone(n) {
				delete(n, field)
				missed := s.open[name].Validate(doc) != nil
				n[field] = value
				if want := !mayBeAbsent(what, path, field); missed != want {
					t.Errorf("%s without %q: missed is %v, want %v", path, field, missed, want)
				}
			}
		})
	}
}

func mayBeAbsent(what, path, field string) bool {
	if strings.HasSuffix(path, "/facts") || strings.HasSuffix(path, "/advice") {
		return true
	}
	switch field {
	case "device", "truncated":
		return what == "snapshot" && path == what
	case "advice", "members", "members_total", "notes", "reason", "result":
		return true
	}
	return false
}

// TestSchemaRequest holds the schema of requests against the reader of
// requests: both take the same.
func TestSchemaRequest(t *testing.T) {
	s := readSchemas(t)
	for text, ok := range map[string]bool{
		`{"transaction":"1"}`: true,
		`{"transaction":"1","device":"ac-7","condition":"session-expired","by":"anna","note":"n","scope":"device","until":"2026-11-22T10:00:01Z"}`: true,
		`{"transaction":"1","device":null,"condition":null,"until":null,"helped":null}`:                                                            true,
		`{"transaction":"1","condition":"session-expired","scope":"site"}`:                                                                         true,
		`{"transaction":"1","step":"wait","helped":true}`:                                                                                          true,
		`{"transaction":"1","from_seq":17}`:                                                                                                        true,
		`{"transaction":"1","until":"2026-11-22T10:00:01.250+01:00"}`:                                                                              true,
		`{}`:                                              false,
		`{"transaction":""}`:                              false,
		`{"transaction":1}`:                               false,
		`{"transaction":"1","scope":"agent"}`:             false,
		`{"transaction":"1","until":"tomorrow"}`:          false,
		`{"transaction":"1","helped":"yes"}`:              false,
		`{"transaction":"1","from_seq":"17"}`:             false,
		`{"transaction":"1","device":7}`:                  false,
		`{"transaction":"1","a_later_field":true}`:        false,
		`["transaction"]`:                                 false,
		`{"transaction":"` + long(128) + `"}`:             true,
		`{"transaction":"` + long(129) + `"}`:             false,
		`{"transaction":"1","by":"` + long(129) + `"}`:    false,
		`{"transaction":"1","note":"` + long(1000) + `"}`: true,
		`{"transaction":"1","note":"` + long(1001) + `"}`: false,
	} {
		if err := validate(s.open["request"], []byte(text)); (err == nil) != ok {
			t.Errorf("%.80s: the schema says %v, want ok = %v", text, err, ok)
		}
		if _, err := diagnose.ParseRequest(diagnose.Acknowledge, []byte(text)); (err == nil) != ok {
			t.Errorf("%.80s: the agent says %v, want ok = %v", text, err, ok)
		}
	}
}

func long(n int) string { return strings.Repeat("x", n) }
