package diagnose

import (
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestParseRequest(t *testing.T) {
	r, err := ParseRequest(Acknowledge, []byte(`{"transaction":"t1","device":"ac-7","condition":null,"by":"ann\u0007\u202e","note":"seen","scope":"site","until":"2026-11-22T10:00:00Z"}`))
	want := Request{
		Verb: Acknowledge, Transaction: "t1", Device: new("ac-7"), By: "ann", Note: "seen", Scope: "site",
		Until: Stamp{time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)},
	}
	if err != nil || !reflect.DeepEqual(r, want) {
		t.Fatalf("%v\n got %+v\nwant %+v", err, r, want)
	}
	r, err = ParseRequest(ReportOutcome, []byte(`{"transaction":"t2","step":"switch-off-and-on","helped":true,"from_seq":7}`))
	if err != nil || r.Scope != "device" || r.Device != nil || r.Helped == nil || !*r.Helped || r.Step == "" || r.FromSeq != 7 {
		t.Fatalf("%v %+v", err, r)
	}
}

func TestBadRequests(t *testing.T) {
	for _, c := range []struct{ verb, payload, want, transaction string }{
		{"dance", `{"transaction":"t"}`, `unknown verb "dance" (one of recheck, acknowledge,`, "t"},
		{"ignore", `{}`, "transaction is missing", ""},
		{"ignore", `null`, "transaction is missing", ""},
		{"ignore", ``, "not the JSON object", ""},
		{"ignore", `[]`, "not the JSON object", ""},
		{"ignore", `{"transaction":"t","devise":"x"}`, `unknown field "devise"`, "t"},
		{"ignore", `{"transaction":"t","device":7}`, "not the JSON object", "t"},
		{"ignore", `{"transaction":"t","until":"soon"}`, "not the JSON object", "t"},
		{"ignore", `{"transaction":"t"} x`, "something after", "t"},
		{"ignore", `{"transaction":"t"}{}`, "something after", "t"},
		{"ignore", `{"transaction":"t","scope":"world"}`, `scope is "world" (device or site)`, "t"},
		{"note", `{"transaction":"t","note":"  "}`, "note is empty", "t"},
		{"note", `{"transaction":"t","note":"` + strings.Repeat("n", 1001) + `"}`, "note has 1001 bytes (1000 at most)", "t"},
		{"note", `{"transaction":"t","by":"` + strings.Repeat("b", 129) + `"}`, "by has 129 bytes (128 at most)", "t"},
		{"note", `{"transaction":"` + strings.Repeat("t", 129) + `"}`, "transaction has 129 bytes", strings.Repeat("t", 129)},
		{"note", `{"transaction":"t","note":"` + strings.Repeat("n", 9000) + `"}`, "bytes (8192 at most)", ""},
	} {
		r, err := ParseRequest(Verb(c.verb), []byte(c.payload))
		if err == nil || !strings.Contains(err.Error(), c.want) || r.Transaction != c.transaction {
			t.Errorf("%s %.60s: transaction %q, %v; want %q", c.verb, c.payload, r.Transaction, err, c.want)
		}
	}
}

func TestEveryVerbIsRead(t *testing.T) {
	for _, verb := range Verbs() {
		if _, err := ParseRequest(verb, []byte(`{"transaction":"t","note":"n"}`)); err != nil {
			t.Errorf("%s: %v", verb, err)
		}
	}
}

func TestCleanText(t *testing.T) {
	for _, c := range []struct {
		in    string
		limit int
		want  string
	}{
		{"plain", 10, "plain"},
		{"größer", 3, "grö"},
		{"a\nb\tc\x00", 10, "abc"},
		{"a\u202eb\u2066c\u200e", 10, "abc"},
		{"a\xffb", 10, "ab"},
		{"a\u2028b", 10, "ab"},
		{"工作", 2, "工作"},
		{"", 5, ""},
	} {
		if got := CleanText(c.in, c.limit); got != c.want {
			t.Errorf("%q to %d: %q, want %q", c.in, c.limit, got, c.want)
		}
	}
}

// Whatever comes, it is answered or within its limits; and a taken request
// harms no engine.
func FuzzRequest(f *testing.F) {
	for _, s := range []string{
		`{"transaction":"t","device":"lamp","condition":"session-expired","by":"b","note":"n","scope":"site","until":"2027-01-01T00:00:00Z"}`,
		`{"transaction":"t","device":null}`, `{"TRANSACTION":"t","from_seq":-1}`, `null`, `[`, "\xff", `{"transaction":"\u0000\u202e"}`,
		`{"transaction":"t","until":"0000-01-01T00:00:00Z"}`,
	} {
		for i := range Verbs() {
			f.Add(i, []byte(s))
		}
	}
	f.Fuzz(func(t *testing.T, verb int, payload []byte) {
		verbs := Verbs()
		r, err := ParseRequest(verbs[uint(verb)%uint(len(verbs))], payload)
		if err != nil {
			if err.Error() == "" {
				t.Fatal("an error without a word")
			}
			return
		}
		if r.Transaction == "" || len(r.Transaction) > maxTransaction || utf8.RuneCountInString(r.By) > maxBy ||
			utf8.RuneCountInString(r.Note) > maxNote || strings.ContainsFunc(r.By+r.Note, unwanted) ||
			r.Scope != "site" && r.Scope != "device" {
			t.Fatalf("taken: %+v", r)
		}
		e := NewEngine(Options{Rules: newBook(), NewID: counter()})
		e.Observe(day, say("lamp", SaysFault, -7))
		out, err := e.Decide(day, r)
		if err != nil && len(out.Changes)+len(out.Touched)+len(out.Removed)+len(out.SiteWide) > 0 {
			t.Fatalf("refused (%v), and yet it changed something: %+v", err, out)
		}
		e.Tick(day.Add(time.Hour))
	})
}
