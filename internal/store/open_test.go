package store

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"fieldmedic/internal/diagnose"
)

// filled is a store with so many events, closed.
func filled(t *testing.T, events int) *fixture {
	t.Helper()
	f := openIn(t, t.TempDir())
	a := acts{eventID: f.EventID, epoch: f.Epoch()}
	for int(a.seq) < events {
		f.commit(t, a.next(10))
	}
	return f
}

func (f *fixture) damage(t *testing.T, stmt string, args ...any) {
	t.Helper()
	res, err := f.pools.Load().write.ExecContext(t.Context(), stmt, args...)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		t.Fatalf("nothing was damaged (%v)", err)
	}
}

// Each column of each table is under the checksum: a row with another value is
// found, taken out, and counted.
func TestEveryColumnIsUnderTheChecksum(t *testing.T) {
	for _, table := range tables(schemaVersion) {
		for _, col := range table.cols {
			if table.name+"."+col == "log.seq" {
				continue // another place in the file: the next test
			}
			f := filled(t, 50)
			f.commit(t, diagnose.Batch{SiteWide: map[string]*diagnose.SiteDecisions{"x": {Ignored: &diagnose.Decision{By: "ann"}}}})
			f.damage(t, "UPDATE "+table.name+" SET "+col+" = CASE typeof("+col+") WHEN 'integer' THEN "+col+" + 1 WHEN 'text' THEN "+col+" || 'x' "+
				"ELSE CAST(replace(CAST("+col+" AS TEXT), char(34), char(39)) AS BLOB) END WHERE rowid = 3 OR rowid = (SELECT max(rowid) FROM "+table.name+" WHERE rowid < 3)")
			g := f.reopen(t)
			if r := g.Opened(); r.DamagedRows == 0 || len(r.SetAside) > 0 {
				t.Errorf("%s.%s: %s", table.name, col, r)
			}
			if again := g.reopen(t); again.Opened().Lossy() {
				t.Errorf("%s.%s: the next start: %s", table.name, col, again.Opened())
			}
		}
	}
}

func TestLostRowsAreCounted(t *testing.T) {
	f := filled(t, 100)
	f.Published(20)
	f.commit(t, diagnose.Batch{Devices: []diagnose.DeviceRecord{{ID: "dev-1"}}})
	f.damage(t, "DELETE FROM log WHERE seq BETWEEN 15 AND 24 OR seq > 98")
	g := f.reopen(t)
	r := g.Opened()
	if r.LostEvents != 12 || r.LostUnpublished != 6 || len(r.Lost) != 2 || g.Seq() != 100 {
		t.Fatalf("last number %d; %s", g.Seq(), r)
	}
	if got := g.after(t, g.Cursor(), 1)[0]; got.Seq != 21 || got.Type != diagnose.Dropped || endOf(got.Body) != 24 {
		t.Errorf("the outbox begins with %+v", got)
	}
	if g.EventID(15) == g.all(t)[15].EventID {
		t.Error("a \"dropped\" has the id of the event that it stands for, which may have come through")
	}
}

// A problem that lost its row is made anew from its newest event; what ended
// does not come back.
func TestProblemsAreRebuiltFromTheLog(t *testing.T) {
	f := filled(t, 180)
	want := f.state(t)
	f.damage(t, "UPDATE problem SET body = x'00' WHERE device LIKE 'dev-1%'")
	f.damage(t, "UPDATE device SET body = x'00' WHERE id = 'dev-12'")
	g := f.reopen(t)
	r := g.Opened()
	if r.Rebuilt == 0 || r.LostDevices != 1 {
		t.Fatalf("%s", r)
	}
	got := g.state(t)
	for id, p := range want {
		if id.device == "dev-12" && p.Diagnosis.Status == diagnose.Cleared {
			continue // its device was not known to be there
		}
		if got[id].Diagnosis.Status != p.Diagnosis.Status || got[id].Diagnosis.Reports != p.Diagnosis.Reports {
			t.Errorf("%v is %+v, was %+v", id, got[id].Diagnosis, p.Diagnosis)
		}
	}
}

// A state that is older than the log, as a page of an old write-ahead log makes
// it, is found though each row is sound.
func TestStaleStateIsFound(t *testing.T) {
	f := filled(t, 60)
	var body []byte
	var crc, n int64
	const where = " FROM problem WHERE device = 'dev-7' AND condition = 'cond-1'"
	if err := f.read().QueryRowContext(t.Context(), "SELECT body, crc, n"+where).Scan(&body, &crc, &n); err != nil {
		t.Fatal(err)
	}
	a := acts{eventID: f.EventID, epoch: f.Epoch(), seq: 60}
	f.commit(t, a.next(10)) // number 61 is dev-7, cond-1
	f.damage(t, "UPDATE problem SET body = ?, crc = ?, n = ? WHERE device = 'dev-7' AND condition = 'cond-1'", body, crc, n)
	g := f.reopen(t)
	if p := g.state(t)[identity{"dev-7", "cond-1"}]; p.Diagnosis.Reports != 61 || g.Opened().Rebuilt != 1 {
		t.Errorf("%d reports; %s", p.Diagnosis.Reports, g.Opened())
	}
}

func TestDamagedHeaderIsNoNewerSchema(t *testing.T) {
	f := filled(t, 50)
	epoch := f.Epoch()
	if _, err := f.pools.Load().write.ExecContext(t.Context(), "PRAGMA user_version = 66"); err != nil {
		t.Fatal(err)
	}
	g := f.reopen(t)
	var version int
	if err := g.read().QueryRowContext(t.Context(), "PRAGMA user_version").Scan(&version); err != nil || version != schemaVersion {
		t.Errorf("the file says schema %d (%v)", version, err)
	}
	if g.Epoch() != epoch || len(g.all(t)) != 50 {
		t.Errorf("%d events of epoch %s; %s", len(g.all(t)), g.Epoch(), g.Opened())
	}
}

// spoilAll makes a file that is no database at all.
func (f *fixture) spoilAll(t *testing.T) {
	t.Helper()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.file, bytes.Repeat([]byte("no database "), 5000), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestNothingToSalvage(t *testing.T) {
	f := filled(t, 50)
	epoch, id := f.Epoch(), f.EventID(50)
	f.spoilAll(t)
	g := openIn(t, f.opts.Dir)
	r := g.Opened()
	if r.LostEvents != 50 || !r.NoState || g.Seq() != 50 || g.Epoch() != epoch || len(r.SetAside) == 0 || g.EventID(51) == id {
		t.Errorf("epoch %s, last number %d; %s", g.Epoch(), g.Seq(), r)
	}
}

// Two damaged sets are kept, the newest.
func TestOldDamagedSetsAreRemoved(t *testing.T) {
	f := filled(t, 10)
	now := noon
	for range 5 {
		f.spoilAll(t)
		now = now.Add(time.Hour)
		f = openWith(t, f.opts.Dir, func(o *Options) { o.Now = func() time.Time { return now } })
	}
	sets, err := filepath.Glob(f.file + ".damaged-*Z")
	if err != nil || len(sets) != 2 || !strings.Contains(sets[1], now.UTC().Format("20060102T15")) {
		t.Errorf("kept %v (%v)", sets, err)
	}
}

// After three starts that failed by themselves everything is set aside.
func TestNoCrashLoop(t *testing.T) {
	for _, c := range []struct {
		name  string
		at    []time.Duration // before now
		empty bool
	}{
		{"two of late", []time.Duration{time.Minute, 2 * time.Second}, true}, // and the one that comes
		{"two, one long ago", []time.Duration{time.Hour, time.Second}, false},
		{"none", nil, false},
	} {
		f := filled(t, 50)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		s := newStore(f.opts)
		for _, ago := range c.at {
			s.noteFailedStart(time.Now().Add(-ago))
		}
		s.opts.Log = newOptions("", f.log).Log
		if err := s.hold(t.Context()); err != nil {
			t.Fatal(err)
		}
		tries := 0
		s.try = func() error {
			if tries++; tries == 1 {
				return errors.New("it cannot be opened")
			}
			return nil
		}
		if err := s.start(t.Context()); err != nil {
			t.Fatal(err)
		}
		r := s.Opened()
		if r.Empty != c.empty || c.empty != strings.Contains(f.log.String(), "again and again") {
			t.Errorf("%s: %s\n%s", c.name, r, f.log)
		}
		if s.Seq() != 50 {
			t.Errorf("%s: the last number is %d", c.name, s.Seq())
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A panic while opening is damage: the file is copied, and all of it is there.
func TestPanicWhileOpening(t *testing.T) {
	f := filled(t, 50)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	s := newStore(f.opts)
	if err := s.hold(t.Context()); err != nil {
		t.Fatal(err)
	}
	tries := 0
	s.try = func() error {
		if tries++; tries == 1 {
			panic("an index is out of range")
		}
		return nil
	}
	if err := s.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := s.Opened(); len(r.SetAside) == 0 || r.LostEvents > 0 || s.Seq() != 50 {
		t.Errorf("last number %d; %s", s.Seq(), r)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestNoPermissionIsAnError(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may read everything")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), newOptions(dir, nil)); !errors.Is(err, os.ErrPermission) {
		t.Errorf("got %v", err)
	}
}

func TestNewestIsOfAClockThatIsBelieved(t *testing.T) {
	suspect := false
	f := openWith(t, t.TempDir(), func(o *Options) { o.ClockSuspect = func() bool { return suspect } })
	if !f.Newest().IsZero() {
		t.Errorf("a new store is of %v", f.Newest())
	}
	f.commit(t, diagnose.Batch{Entries: f.entries(1, 10, 10)})
	suspect = true
	late := f.entries(11, 11, 0)
	late[0].At = noon.AddDate(50, 0, 0)
	late[0].Body = []byte(`{"clock_suspect":true}`)
	f.commit(t, diagnose.Batch{Entries: late})
	if got := f.reopen(t).Newest(); got.UnixMilli() != noon.Add(10*time.Second).UnixMilli() {
		t.Errorf("the newest stamp is %v", got)
	}
}

// Without its seal a store cannot know which numbers were given: it goes on
// within another epoch, and what is not published yet gets new ids.
func TestStoreWithoutItsSeal(t *testing.T) {
	for _, how := range []string{"deleted", "of another store"} {
		f := filled(t, 50)
		f.Published(20)
		if err := f.saveCursor(t.Context()); err != nil {
			t.Fatal(err)
		}
		epoch := f.Epoch()
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(f.opts.Dir, sealName)
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
		if how != "deleted" {
			if err := os.Rename(filepath.Join(filled(t, 200).opts.Dir, sealName), name); err != nil {
				t.Fatal(err)
			}
		}
		g := openIn(t, f.opts.Dir)
		if r := g.Opened(); !r.Unjudged || r.LostEvents > 0 || g.Epoch() == epoch || g.Seq() != 50 {
			t.Errorf("%s: epoch %s, was %s, last number %d; %s", how, g.Epoch(), epoch, g.Seq(), r)
		}
		list := g.all(t)
		if list[20].EventID != eventID(uuid.MustParse(epoch), 20) || list[21].EventID != g.EventID(21) || !bytes.Contains(list[21].Body, []byte(g.Epoch())) {
			t.Errorf("%s: ids %s and %s, want %s", how, list[20].EventID, list[21].EventID, g.EventID(21))
		}
		if again := g.reopen(t); again.Opened().Lossy() || again.Epoch() != g.Epoch() {
			t.Errorf("%s: the next start: %s", how, again.Opened())
		}
	}
}

// A commit of which no row tells is noted, or the seal would be ahead.
func TestCommitsWithoutRowsAreNoted(t *testing.T) {
	f := filled(t, 50)
	for _, b := range []diagnose.Batch{
		{Removed: []string{"nobody"}}, {SiteWide: map[string]*diagnose.SiteDecisions{"x": {}}}, {SiteWide: map[string]*diagnose.SiteDecisions{"x": nil}},
	} {
		f.commit(t, b)
		if r := f.crashed(t).Opened(); r.Lossy() {
			t.Errorf("after %+v: %s", b, r)
		}
	}
}

// The last rows may be let go of: what they told of the commits stays known.
func TestTrimmedCommitsAreKnown(t *testing.T) {
	f := openIn(t, t.TempDir())
	f.commit(t, diagnose.Batch{Entries: f.entries(1, 10, 10)})
	f.Published(10)
	if err := f.Trim(t.Context(), noon.Add(1000*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if g := f.crashed(t); g.Opened().Lossy() || g.Seq() != 10 {
		t.Errorf("last number %d; %s", g.Seq(), g.Opened())
	}
}

// What lies around a page that cannot be read is not lost with it.
func TestSalvageComesAroundADamagedPage(t *testing.T) {
	for _, how := range []string{"zeroed", "cut"} {
		f := filled(t, 1000)
		if err := f.cutWAL(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(f.file)
		if err != nil {
			t.Fatal(err)
		}
		page := bytes.Index(b, []byte(`"seq":500,`)) / pageSize * pageSize
		want := int64(10)
		if how == "cut" {
			b, want = b[:page+100], 600
		} else {
			clear(b[page : page+pageSize])
		}
		if err := os.WriteFile(f.file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		g := openIn(t, f.opts.Dir)
		if r := g.Opened(); r.LostEvents == 0 || r.LostEvents > want || r.Unread == 0 {
			t.Errorf("%s: %s", how, r)
		}
	}
}

// A commit that was being written when the process was killed may be in the
// file. Where the file was damaged since, its numbers are not given again.
func TestCommitInTheMaking(t *testing.T) {
	f := filled(t, 50)
	f.next = 53
	f.note()
	if g := f.crashed(t); g.Opened().Lossy() || g.Seq() != 50 {
		t.Errorf("a kill alone: last number %d; %s", g.Seq(), g.Opened())
	}
	f.damage(t, "UPDATE log SET body = x'00' WHERE seq = 7")
	if g := f.crashed(t); g.Seq() != 53 || g.Opened().LostEvents != 4 {
		t.Errorf("with damage: last number %d; %s", g.Seq(), g.Opened())
	}
}
