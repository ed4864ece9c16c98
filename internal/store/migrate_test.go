package store

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fieldmedic/internal/diagnose"
)

// firstSchema is what programs before seals and whole-row checksums made.
const firstSchema = `
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE log (
  seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, device TEXT NOT NULL, condition TEXT NOT NULL,
  type TEXT NOT NULL, event_id TEXT NOT NULL, body BLOB NOT NULL, crc INTEGER NOT NULL) STRICT;
CREATE INDEX log_device ON log (device, seq);
CREATE INDEX log_at ON log (at);
CREATE TABLE device (id TEXT PRIMARY KEY, body BLOB NOT NULL, crc INTEGER NOT NULL) STRICT;
CREATE TABLE problem (
  device TEXT NOT NULL, condition TEXT NOT NULL, body BLOB NOT NULL, crc INTEGER NOT NULL,
  PRIMARY KEY (device, condition)) STRICT;
CREATE TABLE sitewide (condition TEXT PRIMARY KEY, body BLOB NOT NULL) STRICT;
PRAGMA user_version = 1;
`

const oldEpoch = "7d444840-9dc0-11d1-b245-5ffdce74fad2"

// firstStore makes a store of the first schema: 40 events, of which the first
// five were trimmed, 30 published, and what goes with them.
func firstStore(t *testing.T, dir string) (events []diagnose.LogEntry) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, FileName)+"?_pragma=auto_vacuum(INCREMENTAL)&_pragma=journal_mode(WAL)")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	exec := func(query string, args ...any) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), query, args...); err != nil {
			t.Fatal(err)
		}
	}
	old := func(b []byte) int64 { return int64(crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))) }
	exec(firstSchema)
	exec("INSERT INTO meta VALUES ('epoch', ?), ('born', '1700000000000'), ('cursor', '30'), ('subscriptions', '[\"a/#\"]')", oldEpoch)
	a := acts{eventID: func(seq int64) string { return fmt.Sprintf("old-%d", seq) }, epoch: oldEpoch}
	b := a.next(40)
	for i := range b.Entries {
		e, d := &b.Entries[i], &b.Devices[i]
		if e.Seq > 5 {
			exec("INSERT INTO log VALUES (?,?,?,?,?,?,?,?)", e.Seq, e.At.UnixMilli(), e.Device, e.Condition, string(e.Type), e.EventID, e.Body, old(e.Body))
		}
		for _, row := range []struct {
			v    any
			into string
			key  []any
		}{{d, "device", []any{d.ID}}, {&d.Problems[0], "problem", []any{d.ID, e.Condition}}} {
			body, err := json.Marshal(row.v)
			if err != nil {
				t.Fatal(err)
			}
			exec("INSERT OR REPLACE INTO "+row.into+" VALUES (?"+strings.Repeat(",?", len(row.key)+1)+")", append(row.key, body, old(body))...)
		}
	}
	exec("INSERT INTO sitewide VALUES ('cond-1', ?)", []byte(`{"ignored":{"by":"ann","at":null,"note":"","until":null}}`))
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Entries[5:]
}

func TestFirstSchemaIsTakenOver(t *testing.T) {
	dir := t.TempDir()
	want := firstStore(t, dir)
	f := openIn(t, dir)
	if f.Opened().Lossy() || f.Epoch() != oldEpoch || f.Cursor() != 30 || f.Seq() != 40 || f.born.Load() != 1_700_000_000_000 {
		t.Errorf("epoch %s cursor %d seq %d born %d; %s", f.Epoch(), f.Cursor(), f.Seq(), f.born.Load(), f.Opened())
	}
	got := f.all(t)
	for _, e := range want {
		g := got[e.Seq]
		if g.Severity != e.Severity || g.EventID != e.EventID || !bytes.Equal(g.Body, e.Body) || g.Type != e.Type || !g.At.Equal(e.At) {
			t.Errorf("event %d is\n%+v, want\n%+v", e.Seq, g, e)
		}
	}
	r, err := f.Restore(t.Context())
	filters, err2 := f.Subscriptions(t.Context())
	if err != nil || err2 != nil || len(got) != 35 || len(r.Devices) != 40 || r.SiteWide["cond-1"].Ignored.By != "ann" || len(filters) != 1 {
		t.Errorf("%d events, %d devices, %+v, %v (%v, %v)", len(got), len(r.Devices), r.SiteWide, filters, err, err2)
	}
	backups, _ := filepath.Glob(f.file + ".schema1-*")
	if len(backups) != 1 {
		t.Fatalf("backups: %v", backups)
	}
	info, err := os.Stat(backups[0])
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the backup has mode %v (%v)", info.Mode(), err)
	}
	db, err := openDB(backups[0], "ro", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	var rows int
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM log").Scan(&rows); err != nil || rows != 35 {
		t.Errorf("the backup has %d rows (%v)", rows, err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	again := f.reopen(t)
	if again.Opened().Lossy() || again.Epoch() != oldEpoch || len(again.all(t)) != 35 {
		t.Errorf("the next start: %s", again.Opened())
	}
}

func TestDamagedFirstSchemaIsTakenOver(t *testing.T) {
	dir := t.TempDir()
	firstStore(t, dir)
	name := filepath.Join(dir, FileName)
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.LastIndex(b, []byte(`"seq":20,`))
	b[at+7] ^= 1
	if err := os.WriteFile(name, b, fs.FileMode(0o600)); err != nil {
		t.Fatal(err)
	}
	f := openIn(t, dir)
	if r := f.Opened(); r.DamagedRows != 1 || r.LostEvents != 1 || r.Lost[0] != (Range{20, 20}) || r.Unjudged {
		t.Errorf("%s", r)
	}
}

// A process that is killed at any point of the change of files finishes at the
// next start.
func TestCopyTakesItsPlaceAfterAKill(t *testing.T) {
	for _, moved := range []int{0, 1, 2} {
		dir := t.TempDir()
		f := openIn(t, dir)
		a := acts{eventID: f.EventID, epoch: f.Epoch()}
		f.commit(t, a.next(20))
		image := f.image(t)
		file := filepath.Join(image, FileName)
		s := newStore(newOptions(image, nil))
		s.forced = os.ErrInvalid
		if err := s.makeWay(s.forced); err != nil {
			t.Fatal(err)
		}
		c := copier{s: s, found: newSurvey()}
		c.found.damage = s.forced
		if err := c.copy(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+copying, file+salvaged); err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{"", "-wal"}[:moved] {
			if err := os.Rename(file+part, file+".damaged-x"+part); err != nil {
				t.Fatal(err)
			}
		}
		g := openIn(t, image)
		if len(g.all(t)) != 20 || g.Opened().Lossy() || g.Epoch() != f.Epoch() {
			t.Errorf("after %d renames: %d events; %s", moved, len(g.all(t)), g.Opened())
		}
	}
}
