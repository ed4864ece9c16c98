package store

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fieldmedic/internal/diagnose"
)

// childDir names, in the environment, the directory of a process that is this
// test's binary and only writes a store, until it is killed.
const childDir = "FIELDMEDIC_TEST_STORE"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		fmt.Fprintln(os.Stderr, writeUntilKilled(dir, os.Stdout))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// acts makes batches as the loop does: each event goes with the row of its
// problem, which holds the same diagnosis.
type acts struct {
	eventID func(int64) string
	epoch   string
	seq     int64
	turn    int
}

func (a *acts) next(events int) diagnose.Batch {
	var b diagnose.Batch
	a.turn++
	for range events {
		a.seq++
		d := diagnose.Diagnosis{
			Gateway: "gw", Device: diagnose.DeviceID(fmt.Sprintf("dev-%d", a.seq*7%60)), Scope: "device",
			Condition: fmt.Sprintf("cond-%d", a.seq%3), Msg: strings.Repeat("x", 600), Severity: diagnose.Major,
			Status: diagnose.Suspected, Reports: a.seq, Causes: []diagnose.RankedCause{}, Evidence: []diagnose.Evidence{},
		}
		typ := diagnose.Raised
		switch a.seq % 5 {
		case 0:
			typ, d.Status = diagnose.Cleaned, diagnose.Cleared
		case 1:
			d.Severity = diagnose.Critical
		}
		ev := diagnose.Event{
			Schema: diagnose.Schema, EventID: a.eventID(a.seq), Seq: a.seq, Epoch: a.epoch, Type: typ, At: stamp("2026-11-22T10:00:00Z"), Diagnosis: &d,
		}
		body, err := json.Marshal(ev)
		if err != nil {
			panic(err) // a mistake in the test itself
		}
		b.Entries = append(b.Entries, diagnose.LogEntry{
			Seq: a.seq, At: ev.At.Time, Device: string(d.Device), Condition: d.Condition, Type: typ,
			Severity: d.Severity, EventID: ev.EventID, Body: body,
		})
		b.Devices = append(b.Devices, diagnose.DeviceRecord{
			ID: string(d.Device), Sources: []string{"status"}, Problems: []diagnose.Problem{{Diagnosis: d, Told: true, Faulty: d.Open()}},
		})
	}
	return b
}

// writeUntilKilled writes a line with the last number after each commit.
func writeUntilKilled(dir string, lines io.Writer) error {
	ctx := context.Background()
	s, err := Open(ctx, Options{Dir: dir, Retention: time.Hour, MaxSize: 16 << 20, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	go func() { _ = s.Run(ctx) }() // it ends with the process
	a := acts{eventID: s.EventID, epoch: s.Epoch(), seq: s.Seq()}
	for {
		b := a.next(1 + a.turn%9)
		switch {
		case a.turn%50 == 0:
			b = diagnose.Batch{SiteWide: map[string]*diagnose.SiteDecisions{fmt.Sprintf("cond-%d", a.turn): {Ignored: &diagnose.Decision{By: "ann"}}}}
			a.seq = s.Seq()
		case a.turn%70 == 0:
			b = diagnose.Batch{Removed: []string{"nobody"}}
			a.seq = s.Seq()
		}
		if err := s.Commit(ctx, &b); err != nil {
			return err
		}
		s.Published(a.seq / 3 * 2)
		if _, err := fmt.Fprintln(lines, a.seq); err != nil {
			return err
		}
	}
}

// child runs such a process on a directory until it has said so many lines, and
// kills it. It tells the last number of a commit that the process knew of.
func child(t *testing.T, dir string, lines int) (last int64) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewScanner(out)
	for n := 0; in.Scan(); n++ {
		if n == lines {
			_ = cmd.Process.Kill() // its end is waited for below
		}
		if _, err := fmt.Sscan(in.Text(), &last); err != nil {
			t.Fatal(err)
		}
	}
	_ = cmd.Wait() // it was killed
	if last == 0 {
		t.Fatal("the process wrote nothing")
	}
	return last
}

// killed is the directory of a store whose process was killed, with much in the
// file and some in the write-ahead log.
func killed(t *testing.T) (dir string, last int64) {
	t.Helper()
	dir = t.TempDir()
	last = child(t, dir, 300)
	for _, name := range []string{FileName, FileName + "-wal"} {
		if sizeOf(filepath.Join(dir, name)) < 100*pageSize {
			t.Fatalf("%s has %d bytes only", name, sizeOf(filepath.Join(dir, name)))
		}
	}
	return dir, last
}

// all is the whole log by number.
func (f *fixture) all(t *testing.T) map[int64]diagnose.LogEntry {
	t.Helper()
	list := make(map[int64]diagnose.LogEntry)
	for after := int64(0); ; {
		entries := f.after(t, after, 500)
		if len(entries) == 0 {
			return list
		}
		for _, e := range entries {
			list[e.Seq] = e
			after = e.Seq
		}
	}
}

// state is what the engine would start from, by device and condition.
func (f *fixture) state(t *testing.T) map[identity]diagnose.Problem {
	t.Helper()
	r, err := f.Restore(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	list := make(map[identity]diagnose.Problem)
	for _, d := range r.Devices {
		for _, p := range d.Problems {
			list[identity{d.ID, p.Diagnosis.Condition}] = p
		}
	}
	return list
}
