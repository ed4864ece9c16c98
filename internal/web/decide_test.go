package web

import (
	"strings"
	"testing"
	"time"
)

const asJSON = "application/json"

func TestDecide(t *testing.T) {
	until := noon.Add(time.Hour)
	for _, c := range []struct {
		name, path, body, kind string
		status                 int
		part                   string
		decided                string // verb device condition by
	}{
		{"whole", "devices/ac-7/acknowledge", `{"transaction":"t1","condition":"dns-failed","by":"anna","until":"` + until.Format(time.RFC3339) + `"}`, asJSON, 200, `{"transaction":"t1","ok":true}`, "acknowledge ac-7 dns-failed anna"},
		{"no transaction", "devices/ac-7/resolve", `{"by":"anna"}`, asJSON + "; charset=utf-8", 200, `"ok":true`, "resolve ac-7 - anna"},
		{"empty", "devices/ac-7/resolve", "", "", 200, `"ok":true`, "resolve ac-7 - "},
		{"site", "site/ignore", `{"condition":"dns-failed","scope":"site"}`, asJSON, 200, `"ok":true`, "ignore - dns-failed "},
		{"same device", "devices/ac-7/note", `{"device":"ac-7","note":"hot"}`, asJSON, 200, `"ok":true`, "note ac-7 - "},
		{"other device", "devices/ac-7/note", `{"device":"ac-8","note":"hot"}`, asJSON, 400, `the body names device \"ac-8\", the path \"ac-7\"`, ""},
		{"device at the site", "site/resolve", `{"device":"ac-8"}`, asJSON, 400, "the body names a device, the path the site", ""},
		{"unknown verb", "devices/ac-7/explode", "", "", 400, `unknown verb \"explode\" (one of recheck`, ""},
		{"unknown field", "devices/ac-7/resolve", `{"why":1}`, asJSON, 400, `unknown field \"why\"`, ""},
		{"no object", "devices/ac-7/resolve", `[1]`, asJSON, 400, `"ok":false,"error":"the request is not a JSON object`, ""},
		{"trailing", "devices/ac-7/resolve", `{} {}`, asJSON, 400, "something after the request", ""},
		{"no note", "devices/ac-7/note", `{}`, asJSON, 400, "note is empty", ""},
		{"not now", "devices/ac-7/note", `{"transaction":"t2","note":"not now"}`, asJSON, 409, `{"transaction":"t2","ok":false,"error":"nothing is open on the device"}`, "note ac-7 - "},
		{"a form", "devices/ac-7/resolve", `a=b`, "application/x-www-form-urlencoded", 415, "Content-Type: application/json", ""},
		{"plain text", "devices/ac-7/resolve", `{}`, "text/plain", 415, "Content-Type: application/json", ""},
		{"too large", "devices/ac-7/resolve", strings.Repeat(" ", maxBody+1), asJSON, 413, "larger than 65536 bytes", ""},
		{"too long a request", "devices/ac-7/note", `{"note":"` + strings.Repeat("x", 9000) + `"}`, asJSON, 400, "(8192 at most)", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, nil)
			want(t, s.ask(t, "POST", "/api/v1/"+c.path, c.body, "Content-Type", c.kind), c.status, c.part)
			got := ""
			for _, r := range s.decided {
				device, condition := "-", "-"
				if r.Device != nil {
					device = *r.Device
				}
				if r.Condition != nil {
					condition = *r.Condition
				}
				got += strings.Join([]string{string(r.Verb), device, condition, r.By}, " ")
				if r.Transaction == "" {
					t.Error("the request has no transaction")
				}
			}
			if got != c.decided {
				t.Errorf("decided %q, want %q", got, c.decided)
			}
		})
	}
}
