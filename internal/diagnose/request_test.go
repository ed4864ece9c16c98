package diagnose

import (
	"encoding/json"
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
		{"ignore", `null`, "not a JSON object", ""},
		{"ignore", ``, "not a JSON object", ""},
		{"ignore", `[]`, "not a JSON object", ""},
		{"ignore", `["transaction"]`, "not a JSON object", ""},
		{"ignore", `{"transaction":"t","devise":"x"}`, `unknown field "devise" (transaction, device,`, "t"},
		{"ignore", `{"devise":{"a":[1]},"transaction":"t"}`, `unknown field "devise"`, "t"},
		{"ignore", `{"TRANSACTION":"t"}`, `unknown field "TRANSACTION"`, ""},
		{"ignore", `{"` + strings.Repeat("x", 5000) + `":1,"transaction":"t"}`, strings.Repeat("x", maxName) + `" (`, "t"},
		{"ignore", `{"transaction":"t","device":"a","device":"b"}`, "the field device stands there twice", "t"},
		{"ignore", `{"transaction":"t","tr\u0061nsaction":"u"}`, "the field transaction stands there twice", "t"},
		{"ignore", `{"transaction":"t","device":"a","Device":"b"}`, `unknown field "Device"`, "t"},
		{"ignore", `{"transaction":null}`, "transaction is missing", ""},
		{"ignore", `{"transaction":7}`, "transaction has no value that fits (a text)", ""},
		{"ignore", `{"device":7,"transaction":"t"}`, "device has no value that fits (a text, or null for the site)", "t"},
		{"ignore", `{"transaction":"t","note":{"a":{}}}`, "note has no value that fits", "t"},
		{"ignore", `{"transaction":"t","until":"soon"}`, "until has no value that fits (a time as in 2026-", "t"},
		{"ignore", `{"transaction":"t","until":"0001-01-01T00:00:00Z"}`, "until has no value that fits", "t"},
		{"ignore", `{"transaction":"t","until":"9999-12-31T23:59:59-12:00"}`, "until is outside the years 1 to 9999", "t"},
		{"ignore", `{"transaction":"t","until":"0001-01-01T00:00:00+12:00"}`, "until is outside the years 1 to 9999", "t"},
		{"outcome", `{"transaction":"t","helped":"yes"}`, "helped has no value that fits (true or false)", "t"},
		{"resend", `{"transaction":"t","from_seq":1.5}`, "from_seq has no value that fits (a whole number)", "t"},
		{"resend", `{"transaction":"t","from_seq":9223372036854775808}`, "from_seq has no value that fits", "t"},
		{"ignore", `{"transaction":"t",}`, "not JSON behind byte 19", "t"},
		{"ignore", `{"transaction":"t"`, "not JSON behind byte 18", "t"},
		{"ignore", `{"transaction":"t" "device":"a"}`, "not JSON behind byte", "t"},
		{"ignore", `{"transaction" "t"}`, "not JSON behind byte", ""},
		{"ignore", `{"transaction":"t","by":nul}`, "not JSON behind byte", "t"},
		{"ignore", `{"transaction":"t"} x`, "something after", "t"},
		{"ignore", `{"transaction":"t"}{}`, "something after", "t"},
		{"ignore", `{"transaction":"t","scope":"world"}`, `scope is "world" (device or site)`, "t"},
		{"note", `{"transaction":"t","note":"  "}`, "note is empty", "t"},
		{"note", `{"transaction":"t","note":"` + strings.Repeat("n", 1001) + `"}`, "note has 1001 bytes (1000 at most)", "t"},
		{"note", `{"transaction":"t","by":"` + strings.Repeat("b", 129) + `"}`, "by has 129 bytes (128 at most)", "t"},
		{"note", `{"transaction":"` + strings.Repeat("t", 129) + `"}`, "transaction has 129 bytes", strings.Repeat("t", 129)},
		{"note", `{"transaction":"t","note":"` + strings.Repeat("n", 9000) + `"}`, "the request has 9029 bytes (8192 at most)", "t"},
		{"note", `{"note":"n","transaction":"t","device":"` + strings.Repeat("d", 9000) + `"}`, "bytes (8192 at most)", "t"},
		{"note", `{"note":"` + strings.Repeat("n", 9000) + `","transaction":"t"}`, "bytes (8192 at most)", ""},
		{"note", `{"note":"n","transaction":"` + strings.Repeat("t", 9000) + `"}`, "bytes (8192 at most)", ""},
		{strings.Repeat("v", 500), `{"transaction":"t"}`, `unknown verb "` + strings.Repeat("v", maxName) + `" (`, "t"},
	} {
		r, err := ParseRequest(Verb(c.verb), []byte(c.payload))
		if err == nil || !strings.Contains(err.Error(), c.want) || r.Transaction != c.transaction {
			t.Errorf("%.20s %.60s: transaction %q, %v; want %q", c.verb, c.payload, r.Transaction, err, c.want)
		}
		if err != nil && technical(err) {
			t.Errorf("%.20s %.60s: words for programmers: %v", c.verb, c.payload, err)
		}
	}
}

// technical tells that an error speaks of how the program is made.
func technical(err error) bool {
	for _, word := range []string{"json:", "unmarshal", "Go ", "struct", "EOF", "parsing time", "invalid character"} {
		if strings.Contains(err.Error(), word) {
			return true
		}
	}
	return false
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
// harms neither the engine nor what it stores.
func FuzzRequest(f *testing.F) {
	for _, s := range []string{
		`{"transaction":"t","device":"lamp","condition":"session-expired","by":"b","note":"n","scope":"site","until":"2027-01-01T00:00:00Z"}`,
		`{"transaction":"t","device":"lamp","condition":"session-expired","note":"n","until":"9999-12-31T23:59:59-12:00"}`,
		`{"transaction":"t","device":"lamp","condition":"session-expired","note":"n","until":"9999-12-31T23:59:59.999Z"}`,
		`{"transaction":"t","device":"lamp","condition":"session-expired","note":"\ufffd\u0000 <&>","scope":"device"}`,
		`{"transaction":"t","device":null}`, `{"TRANSACTION":"t","from_seq":-1}`, `null`, `[`, "\xff", `{"transaction":"\u0000\u202e"}`,
		`{"transaction":"t","until":"0000-01-01T00:00:00Z"}`, `{"transaction":"t","transaction":"u"}`, `{"transaction":"t","Device":"a","device":"b"}`,
		`{"transaction":"t","step":"wait","helped":null,"from_seq":1e3}`, `{"note":{"transaction":"t"}}`, `{"transaction":"t",}`, `{"transaction":"t"}}`,
		`{"tr\u0061nsaction":"t","note":"n"}`, `{"transaction":"t","note":"` + strings.Repeat("n", 9000) + `"}`,
	} {
		for i := range Verbs() {
			f.Add(i, []byte(s))
		}
	}
	f.Fuzz(func(t *testing.T, verb int, payload []byte) {
		verbs := Verbs()
		r, err := ParseRequest(verbs[uint(verb)%uint(len(verbs))], payload)
		if err != nil {
			if err.Error() == "" || len(err.Error()) > 1024 {
				t.Fatalf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		if !json.Valid(payload) || len(payload) > maxRequest {
			t.Fatalf("taken: %q", payload)
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
		rec, _ := e.Record("lamp")
		for i := range rec.Problems {
			var again Problem
			row, err := rec.Problems[i].AppendJSON(nil)
			if err == nil {
				err = json.Unmarshal(row, &again)
			}
			if err != nil {
				t.Fatalf("stored, it cannot be read: %v: %s", err, row)
			}
		}
	})
}
