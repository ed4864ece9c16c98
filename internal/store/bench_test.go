package store

import (
	"context"
	"fmt"
	"testing"

	"fieldmedic/internal/diagnose"
)

// BenchmarkCommit: what one fresh fault of a batch of 64 costs to make durable.
func BenchmarkCommit(b *testing.B) {
	f := openIn(b, b.TempDir())
	const size = 64
	causes := []diagnose.RankedCause{
		{Cause: "key-old", Action: diagnose.ActReauthenticate, Verdict: diagnose.VerdictLikely},
		{Cause: "locked", Action: diagnose.ActUnlockDevice, Verdict: diagnose.VerdictPossible},
		{Cause: "re-paired", Action: diagnose.ActRepair, Verdict: diagnose.VerdictPossible},
	}
	b.ReportAllocs()
	seq := int64(0)
	for b.Loop() {
		batch := diagnose.Batch{Entries: f.entries(seq+1, seq+size, 1300)}
		for i := range size {
			p := problemOf("session-expired", diagnose.Suspected)
			p.Diagnosis.Causes = causes
			batch.Devices = append(batch.Devices, diagnose.DeviceRecord{
				ID: fmt.Sprintf("device-%d", (seq+int64(i)*7919)%10_000), Sources: []string{"status"},
				LastHeard: diagnose.Stamp{Time: noon}, UpdatedAt: diagnose.Stamp{Time: noon}, Problems: []diagnose.Problem{p},
			})
		}
		seq += size
		if err := f.Commit(context.WithoutCancel(b.Context()), &batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/size, "µs/fault")
}

// BenchmarkSeal: what the witness of one commit costs.
func BenchmarkSeal(b *testing.B) {
	f := openIn(b, b.TempDir())
	for b.Loop() {
		f.note()
	}
}

// BenchmarkOpen: what it takes to look at a whole store of 64 MiB.
func BenchmarkOpen(b *testing.B) {
	f := openWith(b, b.TempDir(), func(o *Options) { o.MaxSize = 128 << 20 })
	a := acts{eventID: f.EventID, epoch: f.Epoch()}
	for f.taken() < 64<<20 {
		batch := a.next(250)
		if err := f.Commit(context.WithoutCancel(b.Context()), &batch); err != nil {
			b.Fatal(err)
		}
	}
	if err := f.cutWAL(b.Context()); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s, err := Open(b.Context(), f.opts)
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
