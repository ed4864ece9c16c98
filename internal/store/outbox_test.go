package store

import (
	"reflect"
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
	if err := f.read().QueryRowContext(t.Context(), "SELECT value FROM meta WHERE key = 'cursor'").Scan(&text); err != nil || text != "2" {
		t.Fatalf("the file's cursor is %q (%v), want 2", text, err)
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
	left := f.crashed(t)
	if left.Seq() != 10 || left.Opened().Lossy() {
		t.Fatalf("the next number would be %d, want 11; %s", left.Seq()+1, left.Opened())
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
