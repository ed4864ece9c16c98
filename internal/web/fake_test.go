package web

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fieldmedic/internal/diagnose"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// shelf is a store in memory.
type shelf struct {
	mu      sync.Mutex
	devices map[string]diagnose.DeviceRecord
	log     []diagnose.LogEntry
	site    diagnose.Snapshot
	err     error
}

func (s *shelf) EachSnapshot(ctx context.Context, f func(diagnose.Snapshot) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := cmp.Or(s.err, ctx.Err()); err != nil {
		return err
	}
	if err := f(s.site); err != nil {
		return err
	}
	var ids []string
	for id := range s.devices {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		rec := s.devices[id]
		if err := f(rec.Snapshot(noon)); err != nil {
			return err
		}
	}
	return nil
}

func (s *shelf) Device(_ context.Context, id string) (diagnose.DeviceRecord, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rec, ok := s.devices[id]
	return rec, ok, s.err
}

func (s *shelf) Site() diagnose.Snapshot { return s.site }

func (s *shelf) After(_ context.Context, seq int64, limit int) ([]diagnose.LogEntry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []diagnose.LogEntry
	for _, e := range s.log {
		if e.Seq > seq && len(found) < limit {
			found = append(found, e)
		}
	}
	return found, s.err
}

func (s *shelf) Seq() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int64(len(s.log))
}

func (s *shelf) History(_ context.Context, device string, limit int) ([]diagnose.LogEntry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []diagnose.LogEntry
	for _, e := range s.log {
		if e.Device == device {
			found = append(found, e)
		}
	}
	return found[max(0, len(found)-limit):], s.err
}

// add puts a device with diagnoses there.
func (s *shelf) add(id string, ds ...diagnose.Diagnosis) {
	rec := diagnose.DeviceRecord{
		ID: id, Sources: []string{"status"}, LastHeard: diagnose.Stamp{Time: noon.Add(-time.Minute)},
		UpdatedAt: diagnose.Stamp{Time: noon.Add(-time.Minute)},
	}
	for _, d := range ds {
		d.Device = diagnose.DeviceID(id)
		rec.Problems = append(rec.Problems, diagnose.Problem{Diagnosis: d})
	}
	s.devices[id] = rec
}

// event appends what happened to a diagnosis.
func (s *shelf) event(t testing.TB, kind diagnose.ChangeType, d diagnose.Diagnosis) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	seq := int64(len(s.log) + 1)
	at := noon.Add(time.Duration(seq) * time.Second)
	body, err := json.Marshal(diagnose.Event{
		Schema: diagnose.Schema, EventID: fmt.Sprintf("e-%d", seq), Seq: seq, Epoch: "epoch", Type: kind,
		At: diagnose.Stamp{Time: at}, Diagnosis: &d,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.log = append(s.log, diagnose.LogEntry{
		Seq: seq, At: at, Device: string(d.Device), Condition: d.Condition, Type: kind, Body: body,
	})
}

// fault is an open diagnosis with two causes, seen at 10:00.
func fault(condition string, code int32, severity diagnose.Severity) diagnose.Diagnosis {
	return diagnose.Diagnosis{
		ID: "id-" + condition, Gateway: "gw-01", Scope: diagnose.ScopeDevice, Condition: condition,
		Family: diagnose.FamilyDNASDK, Code: &code, CodeRaw: fmt.Sprint(code), Severity: severity,
		Kind: diagnose.Permanent, Audience: diagnose.Technician, Status: diagnose.Confirmed, Action: diagnose.ActCheckDNS,
		Causes: []diagnose.RankedCause{
			{Cause: "resolver-down", Action: diagnose.ActCheckDNS, Verdict: diagnose.VerdictLikely},
			{Cause: "wrong-clock", Action: diagnose.ActCheckClock, Verdict: diagnose.VerdictExcluded},
		},
		Evidence: []diagnose.Evidence{{
			Check: "dns", Target: "192.0.2.1", Verdict: diagnose.Supports, Observed: "(SERVFAIL) == answered",
			At: diagnose.Stamp{Time: noon.Add(-time.Hour)}, TookMS: 12,
		}},
		FirstSeen: diagnose.Stamp{Time: noon.Add(-2 * time.Hour)}, LastSeen: diagnose.Stamp{Time: noon.Add(-time.Minute)},
		Occurrence: 1, Reports: 14, Rule: "dnasdk/" + condition + "@1",
	}
}

// talk are words that name what they speak of.
type talk struct{}

func (talk) Title(d *diagnose.Diagnosis) string { return "Title of " + d.Condition }

func (talk) Because(_ *diagnose.Diagnosis, c diagnose.RankedCause) string {
	return "Because of " + c.Cause + "."
}

func (talk) Advice(d *diagnose.Diagnosis) map[string]diagnose.Advice {
	within := 120
	step := func(who string) []diagnose.Step {
		return []diagnose.Step{{
			ID: "one", Title: "First step of the " + who, Details: []string{"How the " + who + " does it."},
			WorkedIf: "the " + who + " sees it", WithinS: &within,
		}}
	}
	return map[string]diagnose.Advice{"en": {
		Title: "Title of " + d.Condition, Summary: "Summary of " + d.Condition + ".", Because: []string{},
		User: step("user"), Technician: step("technician"), Developer: step("developer"),
	}}
}

func (w talk) AppendAdvice(b []byte, d *diagnose.Diagnosis) []byte {
	advice, err := json.Marshal(w.Advice(d))
	if err != nil {
		return b // texts always encode
	}
	return append(b, advice...)
}

// site is a server with what it was given and what was asked of it.
type site struct {
	*Server
	store   *shelf
	log     *bytes.Buffer
	mu      sync.Mutex
	decided []diagnose.Request
}

func newSite(t testing.TB, change func(*Options)) *site {
	t.Helper()
	s := &site{
		store: &shelf{devices: make(map[string]diagnose.DeviceRecord), site: diagnose.Snapshot{UpdatedAt: noon, Heard: true}},
		log:   new(bytes.Buffer),
	}
	opts := Options{
		Gateway: "gw-01", Store: s.store, Words: func() diagnose.Words { return talk{} },
		Decide: func(_ context.Context, r diagnose.Request) diagnose.Response {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.decided = append(s.decided, r)
			if r.Note == "not now" {
				return diagnose.Response{Transaction: r.Transaction, Error: "nothing is open on the device"}
			}
			return diagnose.Response{Transaction: r.Transaction, OK: true}
		},
		Log: slog.New(slog.NewTextHandler(s.log, nil)),
	}
	if change != nil {
		change(&opts)
	}
	server, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	server.now = func() time.Time { return noon }
	s.Server = server
	return s
}

// ask sends one request to the handler that strangers talk to; headers are
// pairs of name and value.
func (s *site) ask(t testing.TB, method, path, body string, headers ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, "http://localhost:8420"+path, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
			continue
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w.Result()
}

func text(t testing.TB, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// want checks status and parts of the body.
func want(t testing.TB, resp *http.Response, status int, parts ...string) string {
	t.Helper()
	body := text(t, resp)
	if resp.StatusCode != status {
		t.Errorf("status is %d, want %d; body: %.300s", resp.StatusCode, status, body)
	}
	for _, part := range parts {
		if !strings.Contains(body, part) {
			t.Errorf("%q is not in the answer:\n%.4000s", part, body)
		}
	}
	return body
}

var errDisk = errors.New("the disk is on fire")
