package store

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"fieldmedic/internal/diagnose"
)

func TestLogIsInOrderAndPaged(t *testing.T) {
	f := openIn(t, t.TempDir())
	f.commit(t, diagnose.Batch{Entries: f.entries(1, 4, 10)})
	f.commit(t, diagnose.Batch{Entries: f.entries(5, 9, 10)})
	for _, c := range []struct {
		seq   int64
		limit int
		want  []int64
	}{
		{0, 100, span(1, 9)}, {0, 3, span(1, 3)}, {3, 3, span(4, 6)}, {8, 3, span(9, 9)}, {9, 3, span(1, 0)}, {50, 3, span(1, 0)},
	} {
		if got := seqs(f.after(t, c.seq, c.limit)); !reflect.DeepEqual(got, c.want) {
			t.Errorf("after %d, %d at most: %v, want %v", c.seq, c.limit, got, c.want)
		}
	}
	got, err := f.History(t.Context(), "dev-1", 3)
	if want := []int64{5, 7, 9}; err != nil || !reflect.DeepEqual(seqs(got), want) {
		t.Errorf("history %v (%v), want %v", seqs(got), err, want)
	}
}

// Memory and file answer alike, also where one ends and the other begins.
func TestTailEqualsFile(t *testing.T) {
	f := openIn(t, t.TempDir())
	const last = tailSize + 300
	for from := int64(1); from <= last; from += 100 {
		f.commit(t, diagnose.Batch{Entries: f.entries(from, min(from+99, last), 20)})
	}
	if n := len(f.tail.entries); n != tailSize {
		t.Fatalf("the tail holds %d entries, want %d", n, tailSize)
	}
	fresh := func(seq int64) []diagnose.LogEntry {
		entries, _, err := f.Store.entries(t.Context(), "WHERE seq > ? ORDER BY seq LIMIT ?", seq, 50)
		if err != nil {
			t.Fatal(err)
		}
		return entries
	}
	for _, seq := range []int64{0, last - tailSize - 1, last - tailSize, last - tailSize + 1, last - 10} {
		if got, want := f.after(t, seq, 50), fresh(seq); !reflect.DeepEqual(got, want) {
			t.Errorf("after %d: memory and file differ:\n%+v\n%+v", seq, got[0], want[0])
		}
	}
	if _, ok := f.tail.after(last-tailSize, 10); !ok {
		t.Error("the oldest entry in memory is not answered from memory")
	}
}

// Large events do not pile up in memory: the file has them as well.
func TestTailIsBoundedInBytes(t *testing.T) {
	f := openIn(t, t.TempDir())
	for seq := int64(1); seq <= 80; seq++ {
		f.commit(t, diagnose.Batch{Entries: f.entries(seq, seq, 60_000)})
	}
	sum := 0
	for _, e := range f.tail.entries {
		sum += len(e.Body)
	}
	if sum > tailBytes || sum < tailBytes-60_000 || sum != f.tail.bytes {
		t.Errorf("the tail holds %d bytes and counts %d, of %d", sum, f.tail.bytes, tailBytes)
	}
	if got := seqs(f.after(t, 0, 100)); !reflect.DeepEqual(got, span(1, 80)) {
		t.Errorf("after 0: %v", got)
	}
}

func TestCursorSurvivesAndNeverGoesBack(t *testing.T) {
	f := openIn(t, t.TempDir())
	f.commit(t, diagnose.Batch{Entries: f.entries(1, 5, 1)})
	f.Published(4)
	f.Published(2)
	if f.Cursor() != 4 {
		t.Fatalf("cursor %d, want 4", f.Cursor())
	}
	if f = f.reopen(t); f.Cursor() != 4 || f.Seq() != 5 {
		t.Fatalf("after reopening cursor %d seq %d, want 4 and 5", f.Cursor(), f.Seq())
	}
	if got := seqs(f.after(t, f.Cursor(), 10)); !reflect.DeepEqual(got, span(5, 5)) {
		t.Fatalf("the outbox holds %v, want [5]", got)
	}
}

// A commit takes the cursor along: no file access of its own is needed for it.
func TestCommitSavesTheCursor(t *testing.T) {
	f := openIn(t, t.TempDir())
	f.commit(t, diagnose.Batch{Entries: f.entries(1, 2, 1)})
	f.Published(2)
	f.commit(t, diagnose.Batch{Entries: f.entries(3, 3, 1)})
	var text string
	if err := f.read.QueryRowContext(t.Context(), "SELECT value FROM meta WHERE key = 'cursor'").Scan(&text); err != nil || text != "2" {
		t.Fatalf("the file's cursor is %q (%v), want 2", text, err)
	}
}

func (f *fixture) damage(t *testing.T, stmt string, args ...any) {
	t.Helper()
	res, err := f.write.ExecContext(t.Context(), stmt, args...)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		t.Fatalf("nothing was damaged (%v)", err)
	}
}

func TestDamagedLogRowsAreLeftOutAndLogged(t *testing.T) {
	f := openIn(t, t.TempDir())
	f.commit(t, diagnose.Batch{Entries: f.entries(1, 9, 10)})
	f.damage(t, "UPDATE log SET body = x'00' WHERE seq IN (2, 4, 5, 6)")
	f = f.reopen(t) // an empty tail: the file is asked
	if got, want := seqs(f.after(t, 0, 3)), []int64{1, 3}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	// Three damaged rows in a row fill the limit: what is behind must not wait.
	if got, want := seqs(f.after(t, 3, 3)), span(7, 9); !reflect.DeepEqual(got, want) {
		t.Errorf("behind the damage: got %v, want %v", got, want)
	}
	if !strings.Contains(f.log.String(), "seq=4") || !strings.Contains(f.log.String(), errDamaged.Error()) {
		t.Errorf("the log does not tell of row 4: %s", f.log)
	}
}

func TestDamagedStateIsLeftOutAndLogged(t *testing.T) {
	f := openIn(t, t.TempDir())
	var records []diagnose.DeviceRecord
	for _, id := range []string{"a", "b", "c"} {
		records = append(records, diagnose.DeviceRecord{ID: id, Problems: []diagnose.Problem{
			problemOf("x", diagnose.Suspected), problemOf("y", diagnose.Suspected),
		}})
	}
	f.commit(t, diagnose.Batch{Devices: records})
	f.damage(t, "UPDATE device SET body = x'7b7d' WHERE id = 'b'")
	f.damage(t, "UPDATE problem SET body = x'7b7d' WHERE device = 'c' AND condition = 'x'")
	r, err := f.Restore(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []diagnose.DeviceRecord{records[0], {ID: "c", Problems: records[2].Problems[1:]}}
	if !reflect.DeepEqual(r.Devices, want) {
		t.Errorf("got %+v\nwant %+v", r.Devices, want)
	}
	if strings.Count(f.log.String(), errDamaged.Error()) != 2 {
		t.Errorf("two damaged rows, logged: %s", f.log)
	}
	if _, _, err := f.Device(t.Context(), "b"); err == nil {
		t.Error("a damaged device was read as if it were good")
	}
}

func TestTrimByAgeKeepsWhatIsUnpublished(t *testing.T) {
	f := openIn(t, t.TempDir())
	f.commit(t, diagnose.Batch{Entries: f.entries(1, 10, 10)})
	f.Published(6)
	// Rows 1..8 are older than the retention; 7 and 8 are not published.
	if err := f.Trim(t.Context(), noon.Add(8500*time.Millisecond).Add(f.opts.Retention)); err != nil {
		t.Fatal(err)
	}
	if got := seqs(f.reopen(t).after(t, 0, 100)); !reflect.DeepEqual(got, span(7, 10)) {
		t.Fatalf("left %v, want 7 to 10", got)
	}
}

func TestTrimBySizeKeepsWhatIsUnpublished(t *testing.T) {
	f := openIn(t, t.TempDir())
	f.Store.opts.MaxSize = 1 << 20
	for from := int64(1); from <= 3000; from += 500 {
		f.commit(t, diagnose.Batch{Entries: f.entries(from, from+499, 1000)})
	}
	f.Published(2500)
	if err := f.Trim(t.Context(), noon); err != nil {
		t.Fatal(err)
	}
	size, err := f.size(t.Context())
	if err != nil || size > 1<<20 {
		t.Fatalf("%d bytes after trimming to 1 MiB (%v)", size, err)
	}
	got := seqs(f.reopen(t).after(t, 0, 5000))
	if len(got) < 500 || got[0] > 2501 || got[len(got)-1] != 3000 || len(got) > 1100 {
		t.Fatalf("left %d rows from %d to %d", len(got), got[0], got[len(got)-1])
	}
}

// Nothing but unpublished rows: the file stays too large rather than lose one.
func TestTrimGivesUpRatherThanLose(t *testing.T) {
	f := openIn(t, t.TempDir())
	f.Store.opts.MaxSize = 1
	f.commit(t, diagnose.Batch{Entries: f.entries(1, 20, 5000)})
	if err := f.Trim(t.Context(), noon.Add(1000*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got := seqs(f.reopen(t).after(t, 0, 100)); !reflect.DeepEqual(got, span(1, 20)) {
		t.Fatalf("left %v, want all 20", got)
	}
}

// Numbers are never given twice, even when the process dies right after all
// history was trimmed: the file is opened beside the running store, as a crash
// would leave it.
func TestTrimmedNumbersAreNotGivenAgain(t *testing.T) {
	f := openIn(t, t.TempDir())
	f.commit(t, diagnose.Batch{Entries: f.entries(1, 10, 10)})
	f.Published(10)
	if err := f.Trim(t.Context(), noon.Add(1000*time.Hour)); err != nil {
		t.Fatal(err)
	}
	crashed := &Store{opts: f.opts}
	var err error
	if crashed.write, err = crashed.openDB(filepath.Join(f.opts.Dir, FileName), "rw", 1); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = crashed.write.Close() }()
	if err := crashed.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if crashed.Seq() != 10 {
		t.Fatalf("the next number would be %d, want 11", crashed.Seq()+1)
	}
}

func TestEachSnapshotHasTheSiteFirst(t *testing.T) {
	f := openIn(t, t.TempDir())
	f.commit(t, diagnose.Batch{Devices: []diagnose.DeviceRecord{
		{ID: "b", Sources: []string{"s"}, Problems: []diagnose.Problem{problemOf("x", diagnose.Suspected)}}, {ID: "a"},
	}})
	var ids []string
	err := f.EachSnapshot(t.Context(), func(s diagnose.Snapshot) error {
		ids = append(ids, string(s.Device))
		if s.Device == "b" && (len(s.Diagnoses) != 1 || !s.Heard) {
			t.Errorf("device b: %+v", s)
		}
		return nil
	})
	if want := []string{"", "a", "b"}; err != nil || !reflect.DeepEqual(ids, want) {
		t.Fatalf("%v, got %q, want %q", err, ids, want)
	}
}
