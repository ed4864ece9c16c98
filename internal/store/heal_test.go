package store

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"fieldmedic/internal/diagnose"
)

// smallDisk is a directory on a file system of its own, of so many bytes. A
// process that is not root takes name spaces of its own for it, in which it runs
// the test again.
func smallDisk(t *testing.T, bytes string) (dir string, ok bool) {
	t.Helper()
	if os.Getuid() != 0 {
		err := elsewhere(t, &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		})
		if err != nil {
			t.Skipf("no small file system: neither root nor name spaces are permitted here: %v", err)
		}
		return "", false
	}
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+bytes); err != nil {
		t.Skipf("no small file system: mounting is not permitted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir, true
}

// elsewhere runs the test in a process of its own; its error says that there
// could be none.
func elsewhere(t *testing.T, attr *syscall.SysProcAttr) error {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), alone+"=1")
	cmd.SysProcAttr = attr
	out, err := cmd.CombinedOutput()
	var ended *exec.ExitError
	if errors.As(err, &ended) || err == nil && !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("%v\n%s", err, out)
	}
	return err
}

// alone is set, in the environment, for the process of one test.
const alone = "FIELDMEDIC_TEST_ALONE"

// fill takes all the room that is left.
func fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	name := filepath.Join(dir, "filler")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	for size := 64 << 10; size > 0; size /= 2 {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(name); err != nil {
			t.Error(err)
		}
	}
}

func wantFault(t *testing.T, err error, want diagnose.StorageFault) {
	t.Helper()
	var fault *diagnose.JournalError
	if !errors.As(err, &fault) || fault.Fault != want {
		t.Fatalf("got %v, want %s", err, want)
	}
}

func TestFullDiskHealsAndLosesNothing(t *testing.T) {
	dir, ok := smallDisk(t, "4m")
	if !ok {
		return
	}
	f := openWith(t, dir, nil)
	a := acts{eventID: f.EventID, epoch: f.Epoch()}
	for range 20 {
		f.commit(t, a.next(10))
	}
	free := fill(t, dir)
	var failed diagnose.Batch
	var err error
	for range 2000 { // the write-ahead log has some room of its own
		if failed = a.next(10); err != nil {
			break
		}
		if err = f.Commit(t.Context(), &failed); err != nil {
			break
		}
	}
	wantFault(t, err, diagnose.StorageFull)
	if f.Seq() != failed.Entries[0].Seq-1 {
		t.Errorf("the last number is %d, want %d", f.Seq(), failed.Entries[0].Seq-1)
	}
	r, err := f.Recover(t.Context())
	if err != nil || r.Seq != f.Seq() || len(r.Devices) == 0 {
		t.Fatalf("a full disk cannot be read: %v", err)
	}
	wantFault(t, f.Commit(t.Context(), &failed), diagnose.StorageFull)
	free()
	f.commit(t, failed)
	again := f.reopen(t)
	if got := len(again.all(t)); int64(got) != a.seq || again.Opened().Lossy() {
		t.Errorf("%d events of %d; %s", got, a.seq, again.Opened())
	}
}

// A start on a full disk uses up the reserve; without one it waits.
func TestStartOnAFullDisk(t *testing.T) {
	dir, ok := smallDisk(t, "4m")
	if !ok {
		return
	}
	f := openWith(t, dir, nil)
	a := acts{eventID: f.EventID, epoch: f.Epoch()}
	f.commit(t, a.next(100))
	want := f.all(t)
	if sizeOf(filepath.Join(dir, reserveName)) != reserveSize {
		t.Fatal("there is no reserve")
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	free := fill(t, dir)
	f = openWith(t, dir, nil)
	if _, err := os.Stat(filepath.Join(dir, reserveName)); !os.IsNotExist(err) {
		t.Error("the reserve was not used")
	}
	if !reflect.DeepEqual(f.all(t), want) {
		t.Error("events differ")
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	free()
	if err := os.Remove(filepath.Join(dir, reserveName)); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	free = fill(t, dir)
	var told []error
	f = openWith(t, dir, func(o *Options) {
		o.Waiting = func(err error) {
			if told = append(told, err); len(told) == 2 {
				free()
			}
		}
	})
	if len(told) != 2 || strings.Count(f.log.String(), string(diagnose.StorageFull)) != 1 {
		t.Fatalf("told %v; log %s", told, f.log)
	}
	wantFault(t, told[0], diagnose.StorageFull)
	if err := f.keepReserve(); err != nil || sizeOf(filepath.Join(dir, reserveName)) != reserveSize {
		t.Errorf("the reserve was not made again: %v", err)
	}
	if !reflect.DeepEqual(f.all(t), want) || f.Opened().Lossy() {
		t.Errorf("events differ, or: %s", f.Opened())
	}
}

func TestWaitingForRoomEndsWithTheContext(t *testing.T) {
	dir, ok := smallDisk(t, "1m")
	if !ok {
		return
	}
	fill(t, dir)
	ctx, done := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer done()
	if _, err := Open(ctx, newOptions(dir, nil)); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
}

// noWrites lets no file of this process grow past some bytes until it is undone:
// a disk that fails, in a way that is not "full".
func noWrites(t *testing.T, bytes uint64) (undo func()) {
	t.Helper()
	signal.Ignore(syscall.SIGXFSZ)
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: bytes, Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	undone := false
	undo = func() {
		if undone {
			return
		}
		undone = true
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(undo)
	return undo
}

// After an error of the disk nothing is committed on the same handles: the file
// is opened and checked anew first, and the write-ahead log moved into it.
func TestFailingDiskIsOpenedAnew(t *testing.T) {
	if os.Getenv(alone) == "" { // the limit is of a whole process
		if err := elsewhere(t, nil); err != nil {
			t.Fatal(err)
		}
		return
	}
	f := openWith(t, t.TempDir(), nil)
	a := acts{eventID: f.EventID, epoch: f.Epoch()}
	f.commit(t, a.next(50))
	before := f.pools.Load()
	undo := noWrites(t, 4096)
	b := a.next(10)
	wantFault(t, f.Commit(t.Context(), &b), diagnose.StorageFailed)
	wantFault(t, f.Commit(t.Context(), &b), diagnose.StorageFailed)
	if _, err := f.Recover(t.Context()); err == nil {
		t.Error("recovered on a disk that fails")
	}
	undo()
	r, err := f.Recover(t.Context())
	if err != nil || r.Seq != 50 || r.Epoch != f.Epoch() {
		t.Fatalf("recovered to %d: %v", r.Seq, err)
	}
	if f.pools.Load() == before || sizeOf(f.file+"-wal") != 0 {
		t.Errorf("the file was not opened anew, or %d bytes are in its write-ahead log", sizeOf(f.file+"-wal"))
	}
	f.commit(t, b)
	if again := f.reopen(t); len(again.all(t)) != 60 || again.Opened().Lossy() {
		t.Errorf("%d events; %s", len(again.all(t)), again.Opened())
	}
}

// A commit that failed at its last step may be in the file all the same: it is
// not written twice.
func TestBatchThatIsThereIsNotWrittenTwice(t *testing.T) {
	f := openWith(t, t.TempDir(), nil)
	a := acts{eventID: f.EventID, epoch: f.Epoch()}
	b := a.next(10)
	f.commit(t, b)
	f.breaks(syscall.EIO, true)
	f.commit(t, b)
	f.breaks(syscall.EIO, true)
	b.Entries[3].Body = []byte(`{}`)
	wantFault(t, f.Commit(t.Context(), &b), diagnose.StorageFailed) // the number is taken
	if got := len(f.all(t)); got != 10 {
		t.Errorf("%d events", got)
	}
}

// Damage that a reader meets while the store runs is repaired by the loop's
// recovery, not behind its back.
func TestDamageMetByAReader(t *testing.T) {
	f := openWith(t, t.TempDir(), nil)
	a := acts{eventID: f.EventID, epoch: f.Epoch()}
	f.commit(t, a.next(100))
	f.damage(t, "UPDATE log SET body = x'00' WHERE seq = 7")
	f.tail.reset()
	if got := f.after(t, 5, 3); len(got) != 2 || got[0].Seq != 6 || got[1].Seq != 8 {
		t.Fatalf("read %v", seqs(got))
	}
	b := a.next(5)
	wantFault(t, f.Commit(t.Context(), &b), diagnose.StorageFailed)
	if _, err := f.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.commit(t, b)
	if r := f.Opened(); r.DamagedRows != 1 || r.LostEvents != 1 || f.all(t)[7].Type != diagnose.Dropped {
		t.Errorf("%s", r)
	}
}

// Trouble of upkeep is said once, and ends nothing.
func TestUpkeepTroubleIsSaidOnce(t *testing.T) {
	f := openWith(t, t.TempDir(), nil)
	for range 3 {
		f.trouble("do it", syscall.EIO)
	}
	f.trouble("do it", nil)
	f.trouble("do it", nil)
	if n := strings.Count(f.log.String(), "do it"); n != 2 {
		t.Errorf("%d lines: %s", n, f.log)
	}
}
