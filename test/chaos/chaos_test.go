package main

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"
)

// A harness that finds nothing must be one that would find it: these tests lose
// things, and look whether it is noticed.

func newSite() *site {
	s := &site{agent: &agent{}, watcher: &watcher{}}
	s.ledger = newLedger(gateway, 1, s.agent.life)
	return s
}

// through lets a report go all the way to the app that is always there.
func through(t *testing.T, l *ledger, r *report, id string, seq int64) body {
	p := publication{topic: r.topic(), payload: r.payload()}
	l.byBroker(r)
	l.handed(p)
	l.byAgent(p)
	b, err := parseEvent([]byte(`{"event_id":"` + id + `","seq":` + itoa(seq) + `,"epoch":"e","type":"raised","diagnosis":{"device":"` +
		r.device + `","code":` + itoa(int64(r.code)) + `,"source_ts":` + itoa(r.ts) + `}}`))
	if err != nil {
		t.Fatal(err)
	}
	l.stored(b)
	l.published(b)
	l.acknowledged(b)
	return b
}

func TestJudgeFindsNothingWhereAllIsWell(t *testing.T) {
	s := newSite()
	for i := range 3 {
		b := through(t, s.ledger, s.ledger.next(), "a"+itoa(int64(i)), int64(i+1))
		s.ledger.received(b)
		s.ledger.receivedAway(b)
	}
	r := s.judge()
	if got := r.failures(); len(got) > 0 || r.delivered != 3 || r.events != 3 {
		t.Errorf("failures %q, delivered %d, events %d", got, r.delivered, r.events)
	}
}

func TestJudgeFindsWhatIsBroken(t *testing.T) {
	s := newSite()
	s.keeps = keepsAll
	s.agent.lives = []life{{from: time.Now().Add(-time.Minute)}}
	l := s.ledger
	through(t, l, l.next(), "lost", 1)
	late := through(t, l, l.next(), "late", 2)
	early := through(t, l, l.next(), "early", 3)
	l.received(early)
	l.received(late)
	l.received(late)
	wrong := early
	wrong.Diagnosis.Device = "another"
	l.received(wrong)
	l.next() // sent, and never acknowledged by anybody
	unanswered := l.next()
	l.handed(publication{topic: unanswered.topic(), payload: unanswered.payload()})
	unanswered.life, unanswered.given = 1, unanswered.given.Add(-time.Minute)

	r := s.judge()
	if r.lostAgent != 2 || r.lostBroker != 1 || r.lostEvents != 1 || r.forgotten != 1 || r.missed != 2 {
		t.Errorf("lost %d by the agent, %d by the broker; %d events, %d forgotten, %d missed",
			r.lostAgent, r.lostBroker, r.lostEvents, r.forgotten, r.missed)
	}
	if len(r.disorder) != 1 || len(r.wrong) != 1 || r.repeats != 2 {
		t.Errorf("out of order %q, wrong %q, repeats %d", r.disorder, r.wrong, r.repeats)
	}
	if got := r.failures(); len(got) != 5 {
		t.Errorf("failures: %q", got)
	}
}

func TestUnansweredByAKilledAgentIsNobodysLoss(t *testing.T) {
	s := newSite()
	now := time.Now()
	s.agent.lives = []life{{from: now.Add(-time.Minute), to: now.Add(time.Second)}}
	r := s.ledger.next()
	s.ledger.handed(publication{topic: r.topic(), payload: r.payload()})
	r.life, r.given = 1, now
	if got := s.judge(); got.lostFlight != 1 || got.lostAgent != 0 {
		t.Errorf("in flight %d, by the agent %d", got.lostFlight, got.lostAgent)
	}
}

func TestRecoveryCountsReportsSentAfterTheFault(t *testing.T) {
	s := newSite()
	before := s.ledger.next()
	w := s.ledger.await()
	s.ledger.received(through(t, s.ledger, before, "before", 1))
	if w.took != 0 {
		t.Fatal("an old report ended the waiting")
	}
	s.ledger.received(through(t, s.ledger, s.ledger.next(), "after", 2))
	if w.took == 0 {
		t.Error("a new report did not end it")
	}
}

func TestRetireKeepsWhatIsNotThrough(t *testing.T) {
	s := newSite()
	stuck := s.ledger.next()
	for i := range 3 {
		s.ledger.received(through(t, s.ledger, s.ledger.next(), itoa(int64(i)), int64(i+1)))
	}
	gone := s.ledger.retire(1)
	if len(gone) != 3 || slices.Contains(gone, stuck) {
		t.Errorf("%d are removed", len(gone))
	}
}

func TestFrames(t *testing.T) {
	long := bytes.Repeat([]byte("x"), 200) // its length takes two bytes
	var sent bytes.Buffer
	sent.Write(encode(packetConnect<<4, appendText(append(appendText(nil, "MQTT"), 4, 2, 0, 0), "fieldmedic-out")))
	sent.Write(encode(packetPublish<<4|2, append(append(appendText(nil, "devices/a/status"), 1, 2), long...)))
	sent.Write(encode(packetPuback<<4, []byte{1, 2}))
	r := bufio.NewReader(&sent)
	var frames []frame
	for range 3 {
		f, err := readFrame(r)
		if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, f)
	}
	if id := frames[0].clientID(); id != "fieldmedic-out" {
		t.Errorf("client id %q", id)
	}
	p, ok := frames[1].publication()
	if !ok || p.topic != "devices/a/status" || p.id != 0x102 || !bytes.Equal(p.payload, long) {
		t.Errorf("%v, %t", p, ok)
	}
	if id := frames[2].packetID(); id != 0x102 {
		t.Errorf("packet id %d", id)
	}
}

func TestTheSameSeedDealsTheSamePlan(t *testing.T) {
	a, b, other := newDeck(5, modes()["all"]), newDeck(5, modes()["all"]), newDeck(6, modes()["all"])
	same := true
	for range 100 {
		x, y, z := a.deal(), b.deal(), other.deal()
		if x != y {
			t.Fatalf("%v and %v", x, y)
		}
		same = same && x == z
	}
	if same {
		t.Error("another seed deals the same")
	}
}

func TestSpoilChangesTheFile(t *testing.T) {
	for _, kind := range spoilings() {
		dir := t.TempDir()
		name := filepath.Join(dir, "fieldmedic.db"+kind.file)
		before := bytes.Repeat([]byte("sound "), 5000)
		if err := os.WriteFile(name, before, 0o600); err != nil {
			t.Fatal(err)
		}
		what, err := kind.spoil(dir, 42)
		after, _ := os.ReadFile(name)
		if err != nil || bytes.Equal(before, after) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestWriteBetween(t *testing.T) {
	name := filepath.Join(t.TempDir(), "doc.md")
	if err := os.WriteFile(name, []byte("before\n"+beginMark+"\nold\n"+endMark+"\nafter\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeBetween(name, "new\n"); err != nil {
		t.Fatal(err)
	}
	got, _ := os.ReadFile(name)
	if want := "before\n" + beginMark + "\nnew\n" + endMark + "\nafter\n"; string(got) != want {
		t.Errorf("%q", got)
	}
	if err := writeBetween(filepath.Join(t.TempDir(), "none"), ""); err == nil {
		t.Error("no error without a file")
	}
}

func TestOnlyTheAgentsOwnWordCounts(t *testing.T) {
	asked := `{"level":"ERROR","msg":"answer a request","err":"database disk image is malformed"}`
	if saysDamage([]string{asked}) || !saysDamage([]string{asked, `{"level":"ERROR","msg":"a row of the log is damaged"}`}) {
		t.Error("wrong")
	}
}

func TestQuantile(t *testing.T) {
	list := []time.Duration{1, 2, 3, 4}
	if quantile(list, 50) != 2 || quantile(list, 99) != 4 || quantile(list[:1], 50) != 1 {
		t.Error(quantile(list, 50), quantile(list, 99), quantile(list[:1], 50))
	}
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
