package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"fieldmedic/internal/diagnose"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 123_456_789, time.UTC)

// fixture is a store in a directory of its own, with what it logged.
type fixture struct {
	*Store
	opts Options
	log  *bytes.Buffer
}

func newOptions(dir string, log *bytes.Buffer) Options {
	if log == nil {
		log = new(bytes.Buffer)
	}
	return Options{Dir: dir, Retention: time.Hour, MaxSize: 64 << 20, Log: slog.New(slog.NewTextHandler(log, nil))}
}

func openIn(t testing.TB, dir string) *fixture {
	t.Helper()
	return openWith(t, dir, nil)
}

func openWith(t testing.TB, dir string, change func(*Options)) *fixture {
	t.Helper()
	var log bytes.Buffer
	opts := newOptions(dir, &log)
	if change != nil {
		change(&opts)
	}
	s, err := Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // a second Close after reopen's reports what is closed already
	return &fixture{Store: s, opts: opts, log: &log}
}

// reopen closes the store and opens the same directory.
func (f *fixture) reopen(t *testing.T) *fixture {
	t.Helper()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return openIn(t, f.opts.Dir)
}

func (f *fixture) commit(t *testing.T, b diagnose.Batch) {
	t.Helper()
	if err := f.Commit(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
}

// entries makes log rows from..to, a second apart.
func (f *fixture) entries(from, to int64, size int) []diagnose.LogEntry {
	var list []diagnose.LogEntry
	for seq := from; seq <= to; seq++ {
		list = append(list, diagnose.LogEntry{
			Seq: seq, At: noon.Add(time.Duration(seq) * time.Second), Device: fmt.Sprintf("dev-%d", seq%2),
			Condition: "offline", Type: diagnose.Cleaned, Severity: diagnose.Major, EventID: f.EventID(seq),
			Body: bytes.Repeat([]byte{'a' + byte(seq%26)}, size),
		})
	}
	return list
}

func (f *fixture) after(t *testing.T, seq int64, limit int) []diagnose.LogEntry {
	t.Helper()
	entries, err := f.After(t.Context(), seq, limit)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

func seqs(entries []diagnose.LogEntry) []int64 {
	list := []int64{}
	for _, e := range entries {
		list = append(list, e.Seq)
	}
	return list
}

func span(from, to int64) []int64 {
	list := []int64{}
	for ; from <= to; from++ {
		list = append(list, from)
	}
	return list
}

func stamp(s string) diagnose.Stamp {
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err) // a mistake in the test itself
	}
	return diagnose.Stamp{Time: at}
}

func problemOf(condition string, status diagnose.Status) diagnose.Problem {
	code := int32(-7)
	return diagnose.Problem{
		Diagnosis: diagnose.Diagnosis{
			ID: "id-" + condition, Gateway: "gw", Device: "ac-7", Condition: condition, Code: &code,
			CodeRaw: "65529", Status: status, Occurrence: 3, FirstSeen: stamp("2026-11-22T10:00:00Z"),
			Causes:   []diagnose.RankedCause{{Cause: "c", Action: diagnose.ActRetry, Verdict: diagnose.VerdictLikely}},
			Evidence: []diagnose.Evidence{}, SourceTS: []byte("1763800000"),
			Acknowledged: &diagnose.Decision{By: "ann", Note: "known", At: stamp("2026-11-22T10:01:00Z")},
		},
		Openings: []diagnose.Stamp{stamp("2026-11-22T10:00:00Z")}, Spaced: 2, Told: true, Faulty: true,
	}
}

func TestCommitRestoreRoundTrip(t *testing.T) {
	f := openIn(t, t.TempDir())
	want := diagnose.DeviceRecord{
		ID: "ac-7", Sources: []string{"status", "online"}, LastHeard: stamp("2026-11-22T10:00:00Z"),
		UpdatedAt: stamp("2026-11-22T10:00:01Z"), Facts: diagnose.Facts{Model: "RM4"},
		Problems: []diagnose.Problem{problemOf("a-fault", diagnose.Suspected), problemOf("b-fault", diagnose.Cleared)},
	}
	bare := diagnose.DeviceRecord{ID: "plug-1"}
	ignore := &diagnose.SiteDecisions{Ignored: &diagnose.Decision{By: "bob", Note: "by design"}}
	f.commit(t, diagnose.Batch{
		Entries: f.entries(1, 3, 10), Devices: []diagnose.DeviceRecord{want, bare, {ID: "gone", Problems: want.Problems}},
		SiteWide: map[string]*diagnose.SiteDecisions{"offline": ignore, "other": ignore},
	})
	f.commit(t, diagnose.Batch{Removed: []string{"gone"}, SiteWide: map[string]*diagnose.SiteDecisions{"other": nil}})

	epoch := f.Epoch()
	f = f.reopen(t)
	got, err := f.Restore(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got.Epoch != epoch || got.Seq != 3 {
		t.Errorf("epoch %s seq %d, want %s and 3", got.Epoch, got.Seq, epoch)
	}
	if !reflect.DeepEqual(got.Devices, []diagnose.DeviceRecord{want, bare}) {
		t.Errorf("devices:\n got %+v\nwant %+v", got.Devices, []diagnose.DeviceRecord{want, bare})
	}
	if !reflect.DeepEqual(got.SiteWide, map[string]*diagnose.SiteDecisions{"offline": ignore}) {
		t.Errorf("site-wide decisions: %+v", got.SiteWide)
	}
	one, ok, err := f.Device(t.Context(), "ac-7")
	if err != nil || !ok || !reflect.DeepEqual(one, want) {
		t.Errorf("device: %v %v\n got %+v\nwant %+v", ok, err, one, want)
	}
	if _, ok, err := f.Device(t.Context(), "gone"); ok || err != nil {
		t.Errorf("a removed device: found %v, err %v", ok, err)
	}
	f.commit(t, diagnose.Batch{Devices: []diagnose.DeviceRecord{{ID: "gone"}}})
	if again, ok, err := f.Device(t.Context(), "gone"); !ok || err != nil || len(again.Problems) > 0 {
		t.Errorf("a removed device came back with its past: %v %v %+v", ok, err, again)
	}
}

func TestCommitUpdatesOnlyWhatItNames(t *testing.T) {
	f := openIn(t, t.TempDir())
	a, b := problemOf("a", diagnose.Suspected), problemOf("b", diagnose.Suspected)
	f.commit(t, diagnose.Batch{Devices: []diagnose.DeviceRecord{{ID: "d", Problems: []diagnose.Problem{a, b, problemOf("c", diagnose.Cleared)}}}})
	a.Diagnosis.Reports = 9
	f.commit(t, diagnose.Batch{Devices: []diagnose.DeviceRecord{{ID: "d", Problems: []diagnose.Problem{a}, Gone: []string{"c"}}}})
	rec, _, err := f.Device(t.Context(), "d")
	if err != nil || !reflect.DeepEqual(rec.Problems, []diagnose.Problem{a, b}) {
		t.Fatalf("%v, got %+v", err, rec.Problems)
	}
}

// A batch is all or nothing: the second row's number is taken.
func TestCommitIsAllOrNothing(t *testing.T) {
	f := openIn(t, t.TempDir())
	f.commit(t, diagnose.Batch{Entries: f.entries(1, 1, 1)})
	twice := append(f.entries(2, 2, 1), f.entries(1, 1, 1)...)
	if err := f.Commit(t.Context(), &diagnose.Batch{Entries: twice, Devices: []diagnose.DeviceRecord{{ID: "d"}}}); err == nil {
		t.Fatal("a taken number was given again")
	}
	if got := seqs(f.reopen(t).after(t, 0, 10)); !reflect.DeepEqual(got, span(1, 1)) {
		t.Fatalf("after a failed commit the log has %v", got)
	}
}

func TestSecondOpenNamesThePID(t *testing.T) {
	f := openIn(t, t.TempDir())
	_, err := Open(t.Context(), f.opts)
	if want := fmt.Sprintf("pid %d", os.Getpid()); err == nil || !strings.Contains(err.Error(), want) {
		t.Fatalf("got %v, want %q in it", err, want)
	}
	f.reopen(t) // the failed one took nothing away
}

func TestNewerSchemaIsRefusedAndLeftAlone(t *testing.T) {
	f := openIn(t, t.TempDir())
	epoch := f.Epoch()
	f.tell(t, "3")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), f.opts)
	var newer *NewerSchemaError
	if !errors.As(err, &newer) || !strings.Contains(err.Error(), "schema 3, this program knows 2") {
		t.Fatalf("got %v", err)
	}
	if f.Store.pools.Load().write, err = openDB(f.file, "rw", f.opts.MaxSize); err != nil {
		t.Fatal(err)
	}
	f.tell(t, "2")
	if err := f.Store.pools.Load().write.Close(); err != nil {
		t.Fatal(err)
	}
	if got := openIn(t, f.opts.Dir).Epoch(); got != epoch {
		t.Fatalf("epoch %s became %s: the file was made anew", epoch, got)
	}
}

// tell makes the file say that it has another schema.
func (f *fixture) tell(t *testing.T, version string) {
	t.Helper()
	db := f.pools.Load().write
	for _, do := range []func() error{
		func() error { _, err := db.ExecContext(t.Context(), "PRAGMA user_version = "+version); return err },
		func() error {
			_, err := db.ExecContext(t.Context(), "UPDATE meta SET value = ?, crc = ? WHERE key = 'schema'", version, sum(metaSchema, version))
			return err
		},
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDirectoryWithOddName(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a b%20?x=1#ü")
	f := openIn(t, dir)
	f.commit(t, diagnose.Batch{Entries: f.entries(1, 1, 1)})
	if _, err := os.Stat(filepath.Join(dir, FileName)); err != nil {
		t.Fatal(err)
	}
	if f = f.reopen(t); f.Seq() != 1 {
		t.Fatalf("seq %d after reopening, want 1", f.Seq())
	}
}

// The pragmas that durability and trimming rest on.
func TestPragmas(t *testing.T) {
	f := openIn(t, t.TempDir())
	for pragma, want := range map[string]string{
		"journal_mode": "wal", "synchronous": "2", "auto_vacuum": "2",
	} {
		var got string
		if err := f.pools.Load().write.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s = %q (%v), want %q", pragma, got, err, want)
		}
	}
}

func TestEventIDsAreStableAndDistinct(t *testing.T) {
	f := openIn(t, t.TempDir())
	one, two := f.EventID(1), f.EventID(2)
	if one == two {
		t.Fatal("two events have one id")
	}
	if f = f.reopen(t); f.EventID(1) != one {
		t.Fatal("the id of an event changed with a restart")
	}
	if other := openIn(t, t.TempDir()); other.EventID(1) == one {
		t.Fatal("two stores give the same id")
	}
}

func TestRunSavesTheCursorAndEnds(t *testing.T) {
	f := openIn(t, t.TempDir())
	f.commit(t, diagnose.Batch{Entries: f.entries(1, 5, 1)})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	f.Published(4)
	for deadline := time.Now().Add(5 * time.Second); f.saved.Load() != 4; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the cursor was not saved")
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

// crashed opens a copy of the directory as a crash would leave it: of the
// running store's files as they are now.
func (f *fixture) crashed(t *testing.T) *fixture {
	t.Helper()
	return openIn(t, f.image(t))
}

// image is such a copy.
func (f *fixture) image(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(f.opts.Dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, FileName+"-shm")); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return dir
}
