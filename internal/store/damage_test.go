package store

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"fieldmedic/internal/diagnose"
)

// damageTrials is how many trials of each kind are made; the environment can
// ask for more.
func damageTrials() int {
	if n, err := strconv.Atoi(os.Getenv("FIELDMEDIC_TEST_TRIALS")); err == nil {
		return n
	}
	return 3
}

// spoil damages one file, in a place that the dice tell.
func spoil(t *testing.T, name, how string, dice *rand.Rand) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if how == "deleted" {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
		return how
	}
	at := dice.IntN(len(b))
	switch how {
	case "page zeroed":
		at -= at % pageSize
		clear(b[at:min(len(b), at+pageSize)])
	case "bit flipped":
		b[at] ^= 1 << dice.IntN(8)
	case "tail cut":
		b = b[:at]
	}
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s at %d", how, at)
}

// A store whose process was killed, and that was damaged then, opens in time;
// nothing is lost that is not counted, no number is given twice, and the next
// start finds nothing more.
func TestDamageIsFoundCountedAndSurvived(t *testing.T) {
	dir, sound := "", (*fixture)(nil)
	for sure := false; !sure; {
		var last int64
		dir, last = killed(t)
		sealed, err := readSeal(filepath.Join(dir, sealName))
		if err != nil {
			t.Fatal(err)
		}
		sound = openCopy(t, dir)
		if sound.Opened().Lossy() || sound.Seq() < last || sealed.seq < last {
			t.Fatalf("a kill alone: last %d of %d, sealed %d; %s", sound.Seq(), last, sealed.seq, sound.Opened())
		}
		// A commit that was killed before it returned may be in the file and not
		// in the seal. Nobody was told of it, so it can be lost with no loss.
		sure = sealed.seq == sound.Seq() && sealed.next <= sealed.seq && sealed.commit == sound.commits
	}
	want, problems := sound.all(t), sound.state(t)
	for _, part := range []string{FileName, FileName + "-wal", FileName + "-shm", sealName} {
		for _, how := range []string{"page zeroed", "bit flipped", "tail cut", "deleted"} {
			t.Run(part+" "+how, func(t *testing.T) {
				seed := uint64(len(part))*10 + uint64(len(how))
				dice := rand.New(rand.NewPCG(seed, 3))
				lossy, events, slowest := 0, int64(0), time.Duration(0)
				for range damageTrials() {
					r, took := trial(t, dir, part, how, dice, want, problems)
					if slowest = max(slowest, took); r.Lossy() {
						lossy++
						events += r.LostEvents
					}
				}
				t.Logf("%d of %d trials lost something, %d of %d events each on average; slowest start %v",
					lossy, damageTrials(), events/int64(max(1, lossy)), len(want), slowest)
			})
		}
	}
}

func openCopy(t *testing.T, dir string) *fixture {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return openIn(t, to)
}

func trial(t *testing.T, dir, part, how string, dice *rand.Rand, want map[int64]diagnose.LogEntry, problems map[identity]diagnose.Problem) (OpenReport, time.Duration) {
	t.Helper()
	to, err := os.MkdirTemp(t.TempDir(), "") // removed at once: many trials
	if err == nil {
		err = os.CopyFS(to, os.DirFS(dir))
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(to) }() // temporary
	what := spoil(t, filepath.Join(to, part), how, dice)
	begin := time.Now()
	f := openIn(t, to)
	took := time.Since(begin)
	if took > 5*time.Second { // two, on a machine that does nothing else
		t.Errorf("%s: opening took %v", what, took)
	}
	r := f.Opened()
	compare(t, f, what, r, want, problems)
	if r.Lossy() && !strings.Contains(f.log.String(), "damage") {
		t.Errorf("%s: the log does not tell: %s", what, f.log)
	}
	a := acts{eventID: f.EventID, epoch: f.Epoch(), seq: f.Seq()}
	b := a.next(3)
	for _, e := range b.Entries {
		for _, old := range want {
			if old.EventID == e.EventID {
				t.Errorf("%s: the id of event %d is given again", what, old.Seq)
			}
		}
	}
	f.commit(t, b)
	after := f.reopen(t)
	if r := after.Opened(); r.Lossy() {
		t.Errorf("%s: the next start finds more: %s", what, r)
	}
	if got := after.all(t); !bytes.Equal(got[a.seq].Body, b.Entries[2].Body) {
		t.Errorf("%s: what was committed after it is gone", what)
	}
	if err := after.Close(); err != nil {
		t.Error(err)
	}
	return r, took
}

// compare holds what a store has against what it had.
func compare(t *testing.T, f *fixture, what string, r OpenReport, want map[int64]diagnose.LogEntry, problems map[identity]diagnose.Problem) {
	t.Helper()
	got := f.all(t)
	lost, covered := int64(0), make(map[int64]bool)
	for _, e := range got {
		if e.Type == diagnose.Dropped {
			for seq := e.Seq; seq <= endOf(e.Body); seq++ {
				covered[seq] = true
			}
		}
	}
	for seq, e := range want {
		g, ok := got[seq]
		if r.Unjudged && ok { // other ids, the same events
			e.EventID, e.Body, g.EventID, g.Body = "", nil, "", nil
		}
		if !ok || !reflect.DeepEqual(g, e) {
			lost++
			if !covered[seq] && !r.Unjudged {
				t.Errorf("%s: event %d is gone, and no \"dropped\" says so (%s)", what, seq, r)
			}
		}
	}
	if !r.Unjudged && lost != r.LostEvents || r.Unjudged && lost > 0 && !r.Lossy() {
		t.Errorf("%s: %d events are lost, the report says %d: %s", what, lost, r.LostEvents, r)
	}
	state, differ := f.state(t), 0
	for id, p := range problems {
		if is := state[id]; is.Diagnosis.Status != p.Diagnosis.Status || is.Diagnosis.Reports != p.Diagnosis.Reports {
			differ++
		}
	}
	if (differ > 0 || len(state) != len(problems)) && !r.Lossy() {
		t.Errorf("%s: %d problems differ, and there are %d of %d, silently", what, differ, len(state), len(problems))
	}
}
