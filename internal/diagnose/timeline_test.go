package diagnose

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// A timeline is a text, one step a line:
//
//	HH:MM:SS  STEP  -> EVENT; EVENT
//
// The time may pass 24 hours. Steps:
//
//	DEV CODE|ok|lost|online|resting|removed  [retained] [src=S] [msg=M] [ts=±DUR] [model=M]
//	tick                      time passes; only here may events come by time
//	restart                   the engine is stored, dropped, and restored
//	VERB DEV|* COND|*  [until=HH:MM:SS] [scope=site] [note=N]    a request by ann
//	check COND KIND RESULT    an answer to a check for the open COND
//	own COND [msg=M] [times=N]  the agent reports a fault of its own, N times merged
//	over COND                 the agent says that it is over
//	jump ±DUR [suspect]       the clock jumps, and is not to be believed; the times of lines and events go on as if it had not
//	suspect on|off            the clock is not to be believed, or is again
//	rules -COND|all           the rule set without COND, or the whole one
//	show DEV|*                instead of events: "health action; COND ...; COND ..."
//	kept DEV                  instead of events: "yes" or "no"
//
// An event is "TYPE COND key=value ...", the keys those of attributes below.
// Each line must bring exactly its events, at exactly its time; "refused X"
// stands for a refusal, "error X" for a request's, "checks A,B" for checks
// that were asked for.
type timeline struct {
	t    *testing.T
	e    *Engine
	opts Options
	now  time.Time     // without what the clock jumped
	off  time.Duration // what it jumped
	got  []string      // of this line
	last map[string]Diagnosis
	line string
}

var day = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)

func play(t *testing.T, script string) *Engine {
	t.Helper()
	return playWith(t, Options{}, script)
}

func playWith(t *testing.T, opts Options, script string) *Engine {
	t.Helper()
	opts.Gateway, opts.Rules, opts.NewID = "gw", newBook(), counter()
	tl := &timeline{t: t, opts: opts, e: NewEngine(opts), now: day, last: make(map[string]Diagnosis)}
	for line := range strings.SplitSeq(script, "\n") {
		if line, _, _ = strings.Cut(line, "#"); strings.TrimSpace(line) != "" {
			tl.step(line)
		}
	}
	return tl.e
}

func (tl *timeline) step(line string) {
	tl.t.Helper()
	tl.line, tl.got = strings.TrimSpace(line), nil
	left, want, _ := strings.Cut(tl.line, "->")
	words := strings.Fields(left)
	at := day.Add(clock(tl.t, words[0]))
	tl.advance(at, words[1] == "tick")
	switch words[1] {
	case "tick":
	case "show":
		tl.show(strings.Trim(words[2], "*"))
	case "kept":
		_, ok := tl.e.Record(strings.Trim(words[2], "*"))
		tl.got = append(tl.got, map[bool]string{true: "yes", false: "no"}[ok])
	default:
		tl.act(words[1:])
	}
	tl.compare(want)
}

// advance lets time pass. On a line that is no tick nothing may come of it,
// save what a tick at the very time of the line itself brings.
func (tl *timeline) advance(to time.Time, tick bool) {
	tl.t.Helper()
	for next := tl.next(); !next.IsZero() && !next.After(to); next = tl.next() {
		if next.Before(tl.now) {
			next = tl.now
		}
		tl.now = next
		tl.add(tl.e.Tick(next.Add(tl.off)))
		if len(tl.got) > 0 && (next.Before(to) || !tick) {
			tl.t.Fatalf("%s\n  at %s already: %s", tl.line, next.Sub(day), strings.Join(tl.got, "; "))
		}
	}
	tl.now = to
}

// next is when something is due, without what the clock jumped.
func (tl *timeline) next() time.Time {
	next := tl.e.Next()
	if !next.IsZero() {
		next = next.Add(-tl.off)
	}
	return next
}

// plain takes out of a diagnosis what the clock jumped.
func (tl *timeline) plain(d Diagnosis) *Diagnosis {
	for _, s := range []*Stamp{&d.FirstSeen, &d.LastSeen, &d.LastOK, &d.ClearedAt} {
		if !s.IsZero() {
			s.Time = s.Add(-tl.off)
		}
	}
	if f := d.Flapping; f != nil {
		d.Flapping = &Flapping{Since: Stamp{f.Since.Add(-tl.off)}, Changes: f.Changes}
	}
	return &d
}

func (tl *timeline) add(out Outcome) {
	for _, c := range out.Changes {
		if !c.At.Equal(tl.now.Add(tl.off)) {
			tl.t.Errorf("%s\n  the change says %s, it is %s", tl.line, c.At, tl.now.Add(tl.off))
		}
		if c.ClockSuspect != tl.e.suspect {
			tl.t.Errorf("%s\n  the change says %v of the clock", tl.line, c.ClockSuspect)
		}
		tl.last[c.Diagnosis.Condition] = c.Diagnosis
		if id := string(c.Diagnosis.Device); !slices.Contains(out.Touched, id) && !slices.Contains(out.Removed, id) {
			tl.t.Errorf("%s\n  %s changed, and its snapshot is not published", tl.line, id)
		}
		tl.got = append(tl.got, string(c.Type)+" "+c.Diagnosis.Condition+attributes(tl.plain(c.Diagnosis)))
	}
	if out.Refused != "" {
		tl.got = append(tl.got, "refused "+string(out.Refused))
	}
	var kinds []string
	for _, c := range out.Checks {
		kinds = append(kinds, c.Kind)
	}
	if len(kinds) > 0 {
		tl.got = append(tl.got, "checks "+strings.Join(kinds, ","))
	}
}

func (tl *timeline) show(device string) {
	s, ok := tl.e.Snapshot(device)
	if !ok {
		tl.got = append(tl.got, "unknown device")
		return
	}
	health, action := s.Judge()
	tl.got = append(tl.got, string(health)+" "+string(action))
	for _, d := range s.Diagnoses {
		tl.got = append(tl.got, d.Condition+attributes(tl.plain(d)))
	}
}

func (tl *timeline) act(w []string) {
	tl.t.Helper()
	now := tl.now.Add(tl.off)
	opt := make(map[string]string)
	for i, word := range w {
		if k, v, ok := strings.Cut(word, "="); ok && i > 1 {
			opt[k] = v
		}
	}
	switch w[0] {
	case "restart":
		tl.restart(now)
	case "jump":
		step, err := time.ParseDuration(w[1])
		if err != nil {
			tl.t.Fatal(err)
		}
		tl.off += step
		tl.add(tl.e.Shift(now.Add(step), step))
		if len(w) > 2 {
			tl.e.SetClockSuspect(true)
		}
	case "suspect":
		tl.e.SetClockSuspect(w[1] == "on")
	case "rules":
		rules := newBook()
		if name, ok := strings.CutPrefix(w[1], "-"); ok {
			rules = rules.without(name)
		}
		tl.add(tl.e.SetRules(now, rules))
	case "check":
		tl.add(tl.e.Conclude(now, Evidence{
			Diagnosis: tl.last[w[1]].ID, Check: w[2], Target: "t", Result: w[3], Verdict: EvidenceVerdict(opt["verdict"]),
		}))
	case string(Acknowledge), string(Unacknowledge), string(Ignore), string(Unignore), string(AddNote), string(Resolve), string(Forget):
		tl.decide(now, w, opt)
	default:
		tl.add(tl.e.Observe(now, observation(tl.t, now, w, opt)))
	}
}

func (tl *timeline) decide(now time.Time, w []string, opt map[string]string) {
	r := Request{Verb: Verb(w[0]), By: "ann", Note: opt["note"], Scope: opt["scope"]}
	if w[1] != "*" {
		r.Device = &w[1]
	}
	if w[2] != "*" {
		r.Condition = &w[2]
	}
	if until := opt["until"]; until != "" {
		r.Until = Stamp{day.Add(clock(tl.t, until))}
	}
	out, err := tl.e.Decide(now, r)
	tl.add(out)
	if err != nil {
		tl.got = append(tl.got, "error "+err.Error())
	}
}

// restart stores the engine as the loop would, through JSON, and restores it.
func (tl *timeline) restart(now time.Time) {
	tl.t.Helper()
	r := stored(tl.t, tl.e)
	tl.e = NewEngine(tl.opts)
	tl.add(tl.e.Restore(now, r))
}

func observation(t *testing.T, now time.Time, w []string, opt map[string]string) Observation {
	t.Helper()
	o := Observation{Device: w[0], Source: "status", At: now, Msg: opt["msg"], Facts: Facts{Model: opt["model"]}}
	if src := opt["src"]; src != "" {
		o.Source = src
	}
	for _, word := range w[2:] {
		o.Retained = o.Retained || word == "retained"
	}
	if ts := opt["ts"]; ts != "" {
		off, err := time.ParseDuration(ts)
		if err != nil {
			t.Fatal(err)
		}
		o.Reported = now.Add(off)
		o.SourceTS = fmt.Appendf(nil, "%d", o.Reported.Unix())
	}
	if times := opt["times"]; times != "" {
		if _, err := fmt.Sscan(times, &o.Repeats); err != nil {
			t.Fatal(err)
		}
		o.Repeats--
	}
	if w[0] == "own" || w[0] == "over" {
		o.Device, o.Source, o.Key, o.CodeRaw = "", "agent", Key{Producer: ProducerAgent, Name: w[1]}, w[1]
		o.Says = map[string]Saying{"own": SaysFault, "over": SaysOver}[w[0]]
		return o
	}
	switch w[1] {
	case "ok":
		o.Says = SaysSuccess
	case "online":
		o.Says = SaysOnline
	case "lost":
		o.Says, o.Key = SaysLost, Key{Producer: ProducerAvailability, Name: "lost"}
	case "resting":
		o.Says = SaysResting
	case "removed":
		o.Says = SaysRemoved
	default:
		o.Says, o.Key, o.CodeRaw = SaysFault, Key{Producer: ProducerDNA}, w[1]
		if _, err := fmt.Sscan(w[1], &o.Key.Code); err != nil {
			t.Fatalf("no step: %q", w)
		}
	}
	return o
}

func clock(t *testing.T, s string) time.Duration {
	t.Helper()
	var h, m, sec int
	if _, err := fmt.Sscanf(s, "%d:%d:%d", &h, &m, &sec); err != nil {
		t.Fatalf("no time: %q", s)
	}
	return time.Duration(h*3600+m*60+sec) * time.Second
}
