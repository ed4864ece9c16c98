package web

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"fieldmedic/internal/diagnose"
)

func TestSnapshotsAreThoseThatArePublished(t *testing.T) {
	s := newSite(t, nil)
	s.store.add("ac-7", fault("dns-failed", -4013, diagnose.Major))
	s.store.add("ac-8")
	snap, _, err := s.snapshot(t.Context(), "ac-7")
	if err != nil {
		t.Fatal(err)
	}
	published, err := snap.Encode("gw-01", talk{})
	if err != nil {
		t.Fatal(err)
	}
	resp := s.ask(t, "GET", "/api/v1/devices/ac-7", "")
	if got := want(t, resp, 200, `"action":"check-dns"`); got != string(published)+"\n" {
		t.Errorf("one device:\n%s\nwant\n%s", got, published)
	}
	if got := resp.Header.Get("Content-Type"); got != asJSON {
		t.Errorf("Content-Type is %q", got)
	}
	var list []json.RawMessage
	if err := json.Unmarshal([]byte(want(t, s.ask(t, "GET", "/api/v1/devices", ""), 200)), &list); err != nil {
		t.Fatal(err)
	}
	if len(list) != 2 || string(list[0]) != string(published) {
		t.Errorf("list of %d: %s", len(list), list)
	}
	want(t, s.ask(t, "GET", "/api/v1/site", ""), 200, `"gateway":"gw-01","health":"ok"`)
}

func TestListIsAnArrayAlways(t *testing.T) {
	s := newSite(t, nil)
	if got := want(t, s.ask(t, "GET", "/api/v1/devices", ""), 200); got != "[]\n" {
		t.Errorf("empty list is %q", got)
	}
	for _, path := range []string{"/api/v1/events", "/api/v1/events?device=x", "/api/v1/events?limit=0"} {
		if got := want(t, s.ask(t, "GET", path, ""), 200); got != "[]\n" {
			t.Errorf("%s is %q", path, got)
		}
	}
}

func TestTenThousandDevices(t *testing.T) {
	s := newSite(t, nil)
	for i := range 10_000 {
		s.store.add(fmt.Sprintf("device-%05d", i), fault("dns-failed", -4013, diagnose.Major))
	}
	packed, err := s.packDevices(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if packed.Len() > 3<<20 {
		t.Errorf("%d bytes are held in memory", packed.Len())
	}
	resp := s.ask(t, "GET", "/api/v1/devices", "", "Accept-Encoding", "br;q=1.0, gzip")
	if got := resp.Header.Get("Content-Encoding"); got != "gzip" {
		t.Fatalf("Content-Encoding is %q", got)
	}
	plain, err := gzip.NewReader(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(plain)
	if _, err := dec.Token(); err != nil {
		t.Fatal(err)
	}
	n := 0
	for dec.More() {
		var snap diagnose.SnapshotJSON
		if err := dec.Decode(&snap); err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("device-%05d", n); string(snap.Device) != want {
			t.Fatalf("device %d is %s", n, snap.Device)
		}
		n++
	}
	if n != 10_000 {
		t.Errorf("%d devices", n)
	}
	page := want(t, s.ask(t, "GET", "/", ""), 200, "10000 of 10000 devices need you", "Page 1 of 200", `href="/?page=2"`)
	if rows := strings.Count(page, `<a class="row`); rows != rowsShown {
		t.Errorf("%d rows on a page", rows)
	}
	want(t, s.ask(t, "GET", "/?page=200", ""), 200, "device-09999", "Page 200 of 200")
	want(t, s.ask(t, "GET", "/?page=9999", ""), 200, "Page 200 of 200")
}

func TestPackingIsAskedFor(t *testing.T) {
	for accept, want := range map[string]bool{
		"": false, "gzip": true, "GZIP": true, "deflate, gzip;q=1.0": true, "gzip;q=0": false, "gzip; q=0.0": false,
		"br": false, "gzip;q=0.5": true,
	} {
		r, err := http.NewRequest(http.MethodGet, "/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept-Encoding", accept)
		if got := takesGzip(r); got != want {
			t.Errorf("%q: %t", accept, got)
		}
	}
}

func TestIdsOfAllKinds(t *testing.T) {
	for _, id := range []string{
		"a/b", "a%2Fb", "..", ".", "a//b/../c", "räum 1", `<img src=x onerror=alert(1)>`, "x?y=1&z=#frag", "new\u202eold", "50%",
	} {
		s := newSite(t, nil)
		s.store.add(id, fault("dns-failed", -4013, diagnose.Major))
		body := want(t, s.ask(t, "GET", "/api/v1/devices/"+escapeID(id), ""), 200)
		var snap diagnose.SnapshotJSON
		if err := json.Unmarshal([]byte(body), &snap); err != nil {
			t.Fatal(err)
		}
		if string(snap.Device) != id {
			t.Errorf("asked for %q, got %q", id, snap.Device)
		}
		want(t, s.ask(t, "POST", "/api/v1/devices/"+escapeID(id)+"/resolve", ""), 200)
		if got := *s.decided[0].Device; got != id {
			t.Errorf("decided on %q, want %q", got, id)
		}
		want(t, s.ask(t, "GET", devicePath(id), ""), 200, "Title of dns-failed")
		// The page's own link leads there too, as a browser would follow it.
		page := want(t, s.ask(t, "GET", "/", ""), 200)
		_, rest, _ := strings.Cut(page, `<a class="row" href="`)
		link, _, _ := strings.Cut(rest, `"`)
		want(t, s.ask(t, "GET", strings.ReplaceAll(link, "&amp;", "&"), ""), 200, "Title of dns-failed")
	}
}

func TestWhatIsNotThere(t *testing.T) {
	s := newSite(t, nil)
	for path, part := range map[string]string{
		"/api/v1/devices/ac-9": `{"error":"no device \"ac-9\" is known here"}`,
		"/api/v2/devices":      `{"error":"there is no GET /api/v2/devices"}`,
		"/api/v1/codes/-4013":  `{"error":"codes cannot be looked up here`,
		"/devices/ac-9":        "No device of this id is known here: ac-9",
		"/nothing":             "There is no such page here.",
		"/metrics":             "There is no such page here.",
	} {
		want(t, s.ask(t, "GET", path, ""), 404, part)
	}
}

func TestEvents(t *testing.T) {
	s := newSite(t, nil)
	for i := range 30 {
		d := fault("dns-failed", -4013, diagnose.Major)
		d.Device = diagnose.DeviceID(fmt.Sprintf("ac-%d", i%3))
		s.store.event(t, diagnose.Raised, d)
	}
	for query, wanted := range map[string][]int64{
		"?limit=3":                      {1, 2, 3},
		"?after=28":                     {29, 30},
		"?after=30":                     nil,
		"?device=ac-1&limit=2":          {26, 29},
		"?device=ac-1&after=0&limit=2":  {2, 5},
		"?device=ac-1&after=25":         {26, 29},
		"?device=ac-1&after=29&limit=5": nil,
		"?device=nobody&after=0":        nil,
	} {
		body := want(t, s.ask(t, "GET", "/api/v1/events"+query, ""), 200)
		var events []diagnose.Event
		if err := json.Unmarshal([]byte(body), &events); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		var got []int64
		for _, e := range events {
			got = append(got, e.Seq)
		}
		if fmt.Sprint(got) != fmt.Sprint(wanted) {
			t.Errorf("%s: %v, want %v", query, got, wanted)
		}
	}
	if got := want(t, s.ask(t, "GET", "/api/v1/events?after=29", ""), 200); got != "["+string(s.store.log[29].Body)+"]\n" {
		t.Errorf("the stored body is not what came: %s", got)
	}
	for query, part := range map[string]string{
		"?after=-1":   `after is \"-1\" (a whole number from 0`,
		"?after=x":    `after is \"x\"`,
		"?limit=1001": `limit is \"1001\" (a whole number from 0 to 1000)`,
	} {
		want(t, s.ask(t, "GET", "/api/v1/events"+query, ""), 400, part)
	}
}

func TestInfoAndCodes(t *testing.T) {
	s := newSite(t, func(o *Options) {
		o.Status = func() Status {
			return Status{
				Version: "1.2.3", StartedAt: diagnose.Stamp{Time: noon}, Inbound: "connected", Packs: []Pack{{Name: "firmware", Version: 1, Rules: 26}},
				Sources: []Source{{"status", "devices/{device}/status", "dna"}}, Languages: []string{"en"},
			}
		}
		o.Refused = func() []diagnose.RefusedInput {
			return []diagnose.RefusedInput{{At: noon, Topic: "devices/x/status", Reason: "malformed", Sample: `{"status":`, Bytes: 10}}
		}
		o.Code = func(text string) (any, error) {
			if text == "x" {
				return nil, errors.New("x is no code (a whole number)")
			}
			return []map[string]string{{"code": text}}, nil
		}
	})
	want(t, s.ask(t, "GET", "/api/v1/info", ""), 200, `"schema":"1","gateway":"gw-01","version":"1.2.3"`,
		`"packs":[{"name":"firmware","version":1,"rules":26,"site":false}]`, `"reload_error":null`,
		`"refused":[{"at":"2026-11-22T12:00:00.000Z","topic":"devices/x/status","source":"","reason":"malformed","sample":"{\"status\":","bytes":10}]`)
	want(t, s.ask(t, "GET", "/api/v1/codes/-4013", ""), 200, `[{"code":"-4013"}]`)
	want(t, s.ask(t, "GET", "/api/v1/codes/x", ""), 400, `{"error":"x is no code (a whole number)"}`)
	want(t, s.ask(t, "GET", "/", ""), 200, "Fieldmedic 1.2.3", "inbound connected", "devices/{device}/status", "malformed")
}

func TestProbes(t *testing.T) {
	var in error
	s := newSite(t, func(o *Options) {
		o.Ready = func() error { return in }
		o.Alive = func() error { return in }
		o.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "fieldmedic_build_info 1\n") // a recorder does not fail
		})
	})
	want(t, s.ask(t, "GET", "/metrics", ""), 200, "fieldmedic_build_info 1")
	for _, path := range []string{"/healthz", "/readyz"} {
		if got := want(t, s.ask(t, "GET", path, ""), 200); got != "ok\n" {
			t.Errorf("%s says %q", path, got)
		}
	}
	in = errors.New("inbound connection: connecting")
	for _, path := range []string{"/healthz", "/readyz"} {
		want(t, s.ask(t, "GET", path, ""), 503, "inbound connection: connecting")
	}
	want(t, s.ask(t, "GET", "/", ""), 200, "What is shown may be old.", "inbound connection: connecting")
}

func TestStoreThatFails(t *testing.T) {
	s := newSite(t, nil)
	s.store.err = errDisk
	for _, path := range []string{"/", "/devices/x", "/api/v1/devices", "/api/v1/devices/x", "/api/v1/events", "/api/v1/events?device=x&after=0"} {
		body := want(t, s.ask(t, "GET", path, ""), 500, "the store could not be read")
		if strings.Contains(body, errDisk.Error()) {
			t.Errorf("%s tells a stranger the reason", path)
		}
	}
	if n := strings.Count(s.log.String(), errDisk.Error()); n != 6 {
		t.Errorf("%d of 6 failures are in the log", n)
	}
}
