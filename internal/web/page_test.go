package web

import (
	"fmt"
	"html"
	"regexp"
	"strings"
	"testing"
	"time"

	"fieldmedic/internal/diagnose"
)

// reportedBy is a fault after f, with what tests change of it.
func reportedBy(d diagnose.Diagnosis, f func(*diagnose.Diagnosis)) diagnose.Diagnosis {
	f(&d)
	return d
}

func TestSitePage(t *testing.T) {
	s := newSite(t, nil)
	dns := fault("dns-failed", -4013, diagnose.Major)
	s.store.add("pump", fault("locked", -1, diagnose.Minor))
	s.store.add("ac-7", dns, reportedBy(fault("worse", -4028, diagnose.Critical), func(d *diagnose.Diagnosis) { d.ExplainedBy = "x" }))
	s.store.add("lobby", reportedBy(dns, func(d *diagnose.Diagnosis) { d.ExplainedBy = "x" }))
	s.store.add("office")
	s.store.add("noisy", reportedBy(dns, func(d *diagnose.Diagnosis) { d.Ignored = &diagnose.Decision{By: "anna"} }))
	s.store.add("odd", fault("unknown-code-99", -99, diagnose.Info))
	s.store.devices["attic"] = diagnose.DeviceRecord{ID: "attic"}
	page := want(t, s.ask(t, "GET", "/", ""), 200,
		"<h1>2 of 7 devices need you; another fault explains 1 more; 1 never spoke.</h1>",
		"First step of the user", "-4013", "ignored: anna", "last heard 11:59", `since <time datetime="2026-11-22T10:00:00.000Z">10:00</time>`)
	at := -1
	for _, part := range []string{
		"Need you", ">ac-7<", "Title of dns-failed", ">pump<", "Title of locked", "Explained by another fault", ">lobby<",
		"Never heard", ">attic<", "<details", "Working", ">noisy<", ">odd<", ">office<",
	} {
		i := strings.Index(page[max(at, strings.Index(page, "<main")):], part)
		if i < 0 {
			t.Fatalf("%q is missing, or not in its place", part)
		}
		at = max(at, strings.Index(page, "<main")) + i
	}
	if n := strings.Count(page, "First step of the user"); n != 2 {
		t.Errorf("%d rows have a first step: only those that need you should", n)
	}
	for _, foreign := range []string{"<script", "style=", "http://", "https://", "//", "onclick", "javascript:"} {
		if strings.Contains(page, foreign) {
			t.Errorf("the page has %q", foreign)
		}
	}
}

func TestSentences(t *testing.T) {
	for _, c := range []struct {
		groups []group
		want   string
	}{
		{nil, "No device has been heard yet"},
		{[]group{working}, "The one device works"},
		{[]group{working, working}, "All 2 devices work"},
		{[]group{needsYou}, "1 of 1 device needs you"},
		{[]group{needsYou, working}, "1 of 2 devices needs you"},
		{[]group{needsYou, needsYou, explained, working}, "2 of 4 devices need you; another fault explains 1 more"},
		{[]group{explained, neverHeard, neverHeard}, "None of 3 devices needs you; another fault explains 1 more; 2 never spoke"},
	} {
		var places []place
		for _, g := range c.groups {
			places = append(places, place{group: g})
		}
		if got := sentence(places); got != c.want {
			t.Errorf("%v: %q, want %q", c.groups, got, c.want)
		}
	}
}

func TestEmptySiteTellsHowToBegin(t *testing.T) {
	s := newSite(t, func(o *Options) {
		o.Status = func() Status { return Status{Sources: []Source{{"status", "devices/{device}/status", "dna"}}} }
	})
	want(t, s.ask(t, "GET", "/", ""), 200, "<h1>No device has been heard yet.</h1>", "devices/{device}/status", "mosquitto_pub -t devices/ac-7/status")
	for _, page := range []string{"x", "-1", "99999999999"} {
		want(t, s.ask(t, "GET", "/?page="+page, ""), 400, "page is")
	}
}

func TestSiteFaults(t *testing.T) {
	s := newSite(t, nil)
	s.store.add("ac-7")
	s.store.site.Diagnoses = []diagnose.Diagnosis{fault("site-dns", -4013, diagnose.Critical)}
	want(t, s.ask(t, "GET", "/", ""), 200, "The one device works. The site: Title of site-dns.", "Site fault", "Summary of site-dns.", "First step of the user")
}

func TestDevicePage(t *testing.T) {
	s := newSite(t, nil)
	d := reportedBy(fault("dns-failed", -4013, diagnose.Major), func(d *diagnose.Diagnosis) {
		d.Device = "ac-7"
		d.Flapping = &diagnose.Flapping{Since: diagnose.Stamp{Time: noon}, Changes: 5}
		d.Notes = []diagnose.Note{{By: "anna", At: diagnose.Stamp{Time: noon.AddDate(0, 0, -4)}, Note: "plug sits loose"}}
		d.Facts.Model = "RM4"
	})
	ended := reportedBy(fault("session-expired", -7, diagnose.Minor), func(d *diagnose.Diagnosis) {
		d.Status, d.ClearedBy, d.ClearedAt = diagnose.Cleared, diagnose.BySignal, diagnose.Stamp{Time: noon.Add(-5 * time.Minute)}
	})
	s.store.add("ac-7", d, fault("locked", -1, diagnose.Minor), ended)
	rec := s.store.devices["ac-7"]
	rec.Facts.Model = "RM4"
	s.store.devices["ac-7"] = rec
	s.store.event(t, diagnose.Raised, reportedBy(d, func(d *diagnose.Diagnosis) { d.Status, d.Flapping, d.Title = diagnose.Suspected, nil, "DNS" }))
	s.store.event(t, diagnose.Changed, reportedBy(d, func(d *diagnose.Diagnosis) { d.Title = "DNS" }))
	s.store.event(t, diagnose.Cleaned, reportedBy(ended, func(d *diagnose.Diagnosis) { d.Device, d.Title = "ac-7", "Session" }))
	page := want(t, s.ask(t, "GET", "/devices/ac-7", ""), 200,
		">Title of dns-failed</h1>", "Summary of dns-failed.", `<span class="v likely">likely</span> <b>resolver down</b>`, "Because of resolver-down.",
		"Other causes", `<span class="v excluded">excluded</span> <b>wrong clock</b>`,
		"[dns 192.0.2.1] (SERVFAIL) == answered", "<b>Supports</b>", "12 ms",
		"First step of the technician", "How the technician does it.", "the technician sees it", "within 2 min",
		"comes and goes, 5 times", "plug sits loose", "18 Nov 12:00", "action check-dns", "rule dnasdk/dns-failed@1", "14 reports",
		"Also on this device", "Title of locked", "Ended in the last 15 minutes", "by a good report", "Model", "RM4",
		`href="/devices/ac-7?for=user"`, `<b>Raised.</b> DNS`, `<b>Cleared.</b> Session`, "status confirmed, was suspected")
	if strings.Index(page, "<b>Cleared.</b>") > strings.Index(page, "<b>Raised.</b>") {
		t.Error("the timeline does not begin with the newest")
	}
	want(t, s.ask(t, "GET", "/devices/ac-7?for=developer", ""), 200, "First step of the developer")
	want(t, s.ask(t, "GET", "/devices/ac-7?for=nobody", ""), 200, "First step of the technician")
	s.store.add("office")
	want(t, s.ask(t, "GET", "/devices/office", ""), 200, "<h1>Works</h1>", "last heard 11:59")
	s.store.devices["attic"] = diagnose.DeviceRecord{ID: "attic"}
	want(t, s.ask(t, "GET", "/devices/attic", ""), 200, "<h1>Never heard</h1>")
}

const hostile = "<img src=x onerror=alert(1)>\"'`{{.}}\u202egnp.exe\x1b[31m"

func TestHostileTexts(t *testing.T) {
	s := newSite(t, func(o *Options) {
		o.Gateway = hostile
		o.Ready = func() error { return fmt.Errorf("broker says %s", hostile) }
		o.Refused = func() []diagnose.RefusedInput {
			return []diagnose.RefusedInput{{At: noon, Topic: hostile, Reason: diagnose.Refusal(hostile), Sample: hostile}}
		}
	})
	d := reportedBy(fault("dns-failed", -4013, diagnose.Major), func(d *diagnose.Diagnosis) {
		d.Code, d.CodeRaw, d.Msg, d.Device = nil, hostile, hostile, hostile
		d.Evidence[0].Observed, d.Evidence[0].Target = hostile, hostile
		d.Acknowledged = &diagnose.Decision{By: hostile}
		d.Notes = []diagnose.Note{{By: hostile, Note: hostile}}
	})
	s.store.add(hostile, d)
	rec := s.store.devices[hostile]
	rec.Facts = diagnose.Facts{DID: hostile, PID: hostile, MAC: hostile, IP: hostile, Model: hostile, FW: hostile}
	s.store.devices[hostile] = rec
	s.store.event(t, diagnose.Raised, d)
	for _, path := range []string{"/", devicePath(hostile), "/devices/" + escapeID(hostile+"!"), "/?page=" + escapeID(hostile)} {
		resp := s.ask(t, "GET", path, "")
		if got := resp.Header.Get("Content-Type"); got != "text/html; charset=utf-8" {
			t.Errorf("%s: Content-Type is %q", path, got)
		}
		page := text(t, resp)
		for _, raw := range []string{"<img", "\u202e", "\x1b", "onerror=alert(1)>"} {
			if strings.Contains(page, raw) {
				t.Errorf("%s: %q came through", path, raw)
			}
		}
		if !strings.Contains(page, "&lt;img src=x onerror=alert(1)&gt;") || !strings.Contains(html.UnescapeString(page), "‹U+202E›gnp.exe‹U+001B›[31m") {
			t.Errorf("%s: the text is not shown as text", path)
		}
	}
	body := want(t, s.ask(t, "GET", "/api/v1/devices", ""), 200)
	if strings.ContainsAny(body, "<>\x1b") {
		t.Error("the API has raw markup or control characters")
	}
}

func TestVisible(t *testing.T) {
	for in, want := range map[string]string{
		"ac-7": "ac-7", "räum 1": "räum 1", "空调": "空调", "a\u200bb": "a‹U+200B›b", "a\u00a0b": "a‹U+00A0›b", "\ufeff": "‹U+FEFF›",
		"a\xffb": "a‹FF›b", "a\tb\n": "a‹U+0009›b‹U+000A›", "\u2028": "‹U+2028›", "\U000e0041": "‹U+E0041›", "\u3164": "‹U+3164›", "": "",
		"\ufffd": "\ufffd",
	} {
		if got := visible(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestClock(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.FixedZone("CET", 3600))
	for at, want := range map[time.Time]string{
		now.Add(-time.Hour): "11:00", time.Date(2026, 11, 21, 23, 30, 0, 0, time.UTC): "00:30",
		now.AddDate(0, 0, -1): "21 Nov 12:00", now.AddDate(-1, 0, 0): "22 Nov 2025 12:00",
	} {
		if got := clock(at, now); got != want {
			t.Errorf("%s: %q, want %q", at, got, want)
		}
	}
}

func TestStyleSheet(t *testing.T) {
	s := newSite(t, nil)
	resp := s.ask(t, "GET", "/style.css", "")
	sheet := want(t, resp, 200, "prefers-color-scheme: dark")
	if got := resp.Header.Get("Content-Type"); got != "text/css; charset=utf-8" {
		t.Errorf("Content-Type is %q", got)
	}
	if regexp.MustCompile(`url\(|@import|http`).MatchString(sheet) {
		t.Error("the style sheet asks for something else")
	}
	if got := s.ask(t, "GET", "/style.css", "", "If-None-Match", resp.Header.Get("ETag")).StatusCode; got != 304 {
		t.Errorf("asked whether it changed: %d", got)
	}
}

func TestNewWantsItsOptions(t *testing.T) {
	if _, err := New(Options{}); err == nil || !strings.Contains(err.Error(), "Store, Words, Decide and Log must be set") {
		t.Errorf("got %v", err)
	}
}
