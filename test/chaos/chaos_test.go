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
	b, err := parseEvent([]byte(`{"event_id":"` + id + `","seq":` + itoa64(seq) + `,"epoch":"e","type":"raised","diagnosis":{"device":"` +
		r.device + `","code":` + itoa(r.code) + `,"source_ts":` + itoa64(r.ts) + `}}`))
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
		b := through(t, s.ledger, s.ledger.next(), "a"+itoa(i), int64(i+1))
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
		s.ledger.received(through(t, s.ledger, s.ledger.next(), itoa(i), int64(i+1)))
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
		name := filepath.Join(dir, kind.file)
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

func TestWritePart(t *testing.T) {
	name := filepath.Join(t.TempDir(), "doc.md")
	begin, end := marks(partRuns)
	other, otherEnd := marks(partLoad)
	rest := other + "\nload\n" + otherEnd + "\nafter\n"
	if err := os.WriteFile(name, []byte("before\n"+begin+"\nold\n"+end+"\n"+rest), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writePart(name, partRuns, "new\n"); err != nil {
		t.Fatal(err)
	}
	got, _ := os.ReadFile(name)
	if want := "before\n" + begin + "\nnew\n" + end + "\n" + rest; string(got) != want {
		t.Errorf("%q", got)
	}
	if err := writePart(name, partTrials, ""); err == nil {
		t.Error("no error without marks")
	}
}

func TestMergeFaultsKeepsTheNewestOfEach(t *testing.T) {
	old := mergeFaults("", []line{
		{matrix: "21", mode: "poison", fault: "b", figure: "old b", held: true, date: "1"},
		{matrix: "3", mode: "all", fault: "a", figure: "old a", held: true, date: "1"},
	})
	got := mergeFaults(old, []line{{matrix: "21", mode: "poison", fault: "b", figure: "new | b", held: false, date: "2"}})
	want := faultHead + "| 3 | all | a |  |  | old a | yes | 1 |\n| 21 | poison | b |  |  | new / b | **no** | 2 |\n"
	if got != want {
		t.Errorf("%s", got)
	}
}

func TestLoadMessages(t *testing.T) {
	last := map[string]string{}
	changes, quick, n := 0, 0, 400*loadDevices
	for i := range n {
		m := loadMessage(i, 0)
		if was, ok := last[m.topic]; ok && was != string(m.payload) {
			changes++
		}
		last[m.topic] = string(m.payload)
		quick += 1 - int(m.qos)
	}
	if len(last) != loadDevices {
		t.Errorf("%d devices", len(last))
	}
	if share := float64(changes) / float64(n); share < 0.045 || share > 0.055 {
		t.Errorf("%.3f are changes", share)
	}
	if share := float64(quick) / float64(n); share < 0.09 || share > 0.11 {
		t.Errorf("%.3f have QoS 0", share)
	}
}

func TestLoadFindsWhatDoesNotAddUp(t *testing.T) {
	good := loadRun{
		ended: true, sent0: 10, sent1: 90, pulses: 5, given: [2]int64{10, 80}, brokerDrop: 15, agentAcked: 80, account: account{received: 90, dropped: 3},
	}
	if got := good.failures(); len(got) > 0 {
		t.Errorf("%q", got)
	}
	for name, spoil := range map[string]func(r *loadRun){
		"uncounted":     func(r *loadRun) { r.account.received-- },
		"unanswered":    func(r *loadRun) { r.agentAcked-- },
		"disappeared":   func(r *loadRun) { r.brokerDrop-- },
		"ended":         func(r *loadRun) { r.exits = []ending{{}} },
		"never at rest": func(r *loadRun) { r.ended = false },
	} {
		r := good
		if spoil(&r); len(r.failures()) != 1 {
			t.Errorf("%s: %q", name, r.failures())
		}
	}
}

func TestSlopeIsJudgedAfterTheWarmUp(t *testing.T) {
	r := loadRun{ended: true, at: time.Now(), took: time.Hour}
	for i := range 1800 {
		at := time.Duration(i) * loadEvery
		rss := 40 + 2*at.Hours()
		if at < loadWarm {
			rss = at.Minutes()
		}
		r.samples = append(r.samples, sample{at: r.at.Add(at), rss: rss})
	}
	if got := slope(r.warm()); got < 1.99 || got > 2.01 {
		t.Errorf("slope %.3f", got)
	}
	if got := r.failures(); len(got) != 1 {
		t.Errorf("%q", got)
	}
}

func TestRepeatsAreBoundedForKillsOfTheAgent(t *testing.T) {
	r := result{plan: plan{mode: modeAgentKills}, kills: 2, burst: 50, sentAgain: 613}
	if got := r.failures(); len(got) != 1 {
		t.Errorf("%q", got)
	}
	if r.sentAgain--; len(r.failures()) != 0 {
		t.Errorf("%q", r.failures())
	}
}

func TestTrialsTellSaidFromSilent(t *testing.T) {
	dropped := []body{{From: 3, To: 5}}
	if !covered(dropped, 3) || !covered(dropped, 5) || covered(dropped, 6) || covered(nil, 1) {
		t.Error("wrong")
	}
}

func TestPumpPassesEveryPacket(t *testing.T) {
	var sent, got bytes.Buffer
	sent.Write(encode(packetPublish<<4|2, append(append(appendText(nil, "devices/a/status"), 1, 2), make([]byte, 300_000)...)))
	sent.Write(encode(packetPuback<<4, []byte{1, 2}))
	want := bytes.Clone(sent.Bytes())
	var kinds []byte
	_ = pump(&sent, &got, func(first byte, _ []byte) { kinds = append(kinds, first>>4) })
	if !bytes.Equal(got.Bytes(), want) || !slices.Equal(kinds, []byte{packetPublish, packetPuback}) {
		t.Errorf("%d of %d bytes, %v", got.Len(), len(want), kinds)
	}
}

func TestWhatIsTestedElsewhereIsThere(t *testing.T) {
	for _, e := range elsewheres() {
		for _, name := range e.tests {
			dir, test := filepath.Split(name)
			files, err := filepath.Glob(filepath.Join("..", "..", dir, "*_test.go"))
			if err != nil || len(files) == 0 {
				t.Fatalf("%s: no tests: %v", dir, err)
			}
			if !slices.ContainsFunc(files, func(file string) bool {
				content, _ := os.ReadFile(file)
				return bytes.Contains(content, []byte("func "+test+"("))
			}) {
				t.Errorf("row %s: there is no test %s", e.row, name)
			}
		}
	}
}

func TestEveryModeHasAPromiseAndARow(t *testing.T) {
	rows := map[int]bool{}
	for _, d := range allFaults() {
		rows[rowNumber("| "+d.matrix)] = true
	}
	for _, s := range scenarios() {
		rows[rowNumber("| "+s.matrix)] = true
		if s.fault == "" || s.injection == "" || s.promise == "" {
			t.Errorf("%v", s)
		}
	}
	for _, e := range elsewheres() {
		rows[rowNumber("| "+e.row)] = true
	}
	for n := 1; n <= 30; n++ {
		if !rows[n] {
			t.Errorf("row %d of the fault matrix is neither staged nor listed", n)
		}
	}
}

func TestMetricsAreSummedOverLabels(t *testing.T) {
	c := parseMetrics([]byte("# HELP a b\na{x=\"1 2\"} 3\na{x=\"2\"} 4\nab 5\nn 1e+06\n"))
	if c.sum("a") != 7 || c.sum("n") != 1_000_000 {
		t.Error(c)
	}
}

func TestOnlyTheAgentsOwnWordCounts(t *testing.T) {
	asked := `{"level":"ERROR","msg":"answer a request","err":"database disk image is malformed"}`
	warned := `{"level":"WARN","msg":"a row of the log is damaged"}`
	if saysDamage([]string{asked, warned}) || !saysDamage([]string{asked, `{"level":"ERROR","msg":"a row of the log is damaged"}`}) {
		t.Error("wrong")
	}
}

func TestQuantile(t *testing.T) {
	list := []time.Duration{1, 2, 3, 4}
	if quantile(list, 50) != 2 || quantile(list, 99) != 4 || quantile(list[:1], 50) != 1 {
		t.Error(quantile(list, 50), quantile(list, 99), quantile(list[:1], 50))
	}
}

func itoa64(n int64) string { return strconv.FormatInt(n, 10) }
