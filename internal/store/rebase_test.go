package store

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"fieldmedic/internal/diagnose"
)

func TestRebaseGivesUnpublishedEventsNewIDs(t *testing.T) {
	f := filled(t, 500)
	f.Published(100)
	if err := f.saveCursor(t.Context()); err != nil {
		t.Fatal(err)
	}
	before, epoch := f.all(t), f.Epoch()
	if err := f.Rebase(t.Context()); err != nil {
		t.Fatal(err)
	}
	if f.Epoch() == epoch {
		t.Fatal("the epoch is the same")
	}
	for round := range 2 {
		g := f
		if round == 1 {
			g = f.reopen(t)
		}
		if g.Opened().Lossy() || g.Seq() != 500 {
			t.Errorf("last number %d; %s", g.Seq(), g.Opened())
		}
		for seq, e := range g.all(t) {
			var ev diagnose.Event
			if err := json.Unmarshal(e.Body, &ev); err != nil {
				t.Fatal(err)
			}
			want, of := before[seq].EventID, epoch
			if seq > 100 {
				want, of = g.EventID(seq), g.Epoch()
			}
			if e.EventID != want || ev.EventID != want || ev.Epoch != of || ev.Diagnosis.Msg == "" {
				t.Fatalf("event %d has id %s, says %s of %s; want %s of %s", seq, e.EventID, ev.EventID, ev.Epoch, want, of)
			}
		}
	}
}

func TestSetAsidePutsADroppedInItsPlace(t *testing.T) {
	f := filled(t, 50)
	if err := f.SetAside(t.Context(), 7); err != nil {
		t.Fatal(err)
	}
	for round := range 2 {
		g := f
		if round == 1 {
			g = f.reopen(t)
		}
		e := g.after(t, 6, 1)[0]
		var ev diagnose.Event
		if err := json.Unmarshal(e.Body, &ev); err != nil {
			t.Fatal(err)
		}
		if e.Type != diagnose.Dropped || ev.Seq != 7 || ev.FromSeq != 7 || ev.ToSeq != 7 || ev.Diagnosis != nil || len(g.all(t)) != 50 || g.Opened().Lossy() {
			t.Errorf("%s; %s", e.Body, g.Opened())
		}
	}
	if err := filled(t, 10).SetAside(t.Context(), 700); err == nil || !strings.Contains(err.Error(), "no such event") {
		t.Errorf("got %v", err)
	}
}

// The epoch may be asked for while it changes.
func TestEpochIsSafeForConcurrentUse(t *testing.T) {
	f := filled(t, 10)
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for range 1000 {
				if len(f.Epoch()) != 36 || f.EventID(1) == "" {
					t.Error("no epoch")
				}
			}
		})
	}
	for range 5 {
		if err := f.Rebase(t.Context()); err != nil {
			t.Error(err)
		}
	}
	wait.Wait()
}

func TestSiteIsTheRecordWithoutAnID(t *testing.T) {
	f := openIn(t, t.TempDir())
	if s := f.Site(); !s.Heard || s.Device != "" || s.UpdatedAt.IsZero() || len(s.Diagnoses) > 0 {
		t.Errorf("a new site: %+v", s)
	}
	own := problemOf("storage-full", diagnose.Confirmed)
	own.Diagnosis.Device = ""
	f.commit(t, diagnose.Batch{Devices: []diagnose.DeviceRecord{
		{ID: "", UpdatedAt: stamp("2026-11-22T10:00:00Z"), Problems: []diagnose.Problem{own}}, {ID: "a"},
	}})
	f = f.reopen(t)
	s, ok, err := f.Snapshot(t.Context(), "")
	if site := f.Site(); !ok || err != nil || len(s.Diagnoses) != 1 || !s.UpdatedAt.Equal(stamp("2026-11-22T10:00:00Z").Time) || len(site.Diagnoses) != 1 {
		t.Errorf("%+v %v %v; %+v", s, ok, err, site)
	}
	var ids []diagnose.DeviceID
	err = f.EachSnapshot(t.Context(), func(s diagnose.Snapshot) error {
		ids = append(ids, s.Device)
		return nil
	})
	if err != nil || len(ids) != 2 || ids[0] != "" || ids[1] != "a" {
		t.Errorf("snapshots of %q (%v)", ids, err)
	}
	r, err := f.Restore(t.Context())
	if err != nil || len(r.Devices) != 2 || r.Devices[0].ID != "" || len(r.Devices[0].Problems) != 1 {
		t.Errorf("restored %+v (%v)", r.Devices, err)
	}
	if _, ok, err := f.Snapshot(t.Context(), "nobody"); ok || err != nil {
		t.Errorf("an unknown device: %v %v", ok, err)
	}
}
