package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// result is what one run showed.
type result struct {
	plan
	at   time.Time
	took time.Duration

	sent, broker, given, agent, decided, delivered int
	// lostBroker never came to the agent; lostFlight came to a life of the agent
	// that ended before it could answer, and did not come again; lostAgent was
	// the agent's; lostDamaged was lost with a damaged store, and the agent said
	// so.
	lostBroker, lostFlight, lostAgent, lostDamaged int
	// events that the store held, those of them that never came to the app, and
	// how many of these the broker had acknowledged.
	events, lostEvents, forgotten int
	// gone are events that were lost with a damaged store, which said so.
	gone int
	// givenUp were let go from a full outbox, which the agent said; renumbered
	// came to the app under the id of a later epoch.
	givenUp, renumbered int
	// epochs are those of the store, damages how often it was damaged.
	epochs, damages int
	// kills are the ends of the agent; burst is the most events that it sent in
	// one watermark interval.
	kills, burst int
	// missed events came to the app, and not to the one that is away now and
	// then: only a broker that keeps sessions can hold them for it.
	missed int
	// repeats came again under the same id, sentAgain of them by the agent;
	// raisedAgain are reports with more than one raised event.
	repeats, sentAgain, raisedAgain int
	disorder, wrong                 []string
	faults                          []outcome
	noticed                         map[fault][]time.Duration
	usage                           usage
	exits, trouble, evidence        []string
}

// outcome is what one injected fault showed; took is 0 where the next fault
// came before the recovery.
type outcome struct {
	fault fault
	took  time.Duration
	hung  bool // no recovery while it was waited for
	exits int  // of the agent by itself, from this fault to the next
	lost  int  // ids that the agent had been given before it and lost
}

// answerWithin is how long an agent that lives may take to acknowledge what it
// was given.
const answerWithin = 2 * time.Second

// shownAtMost bounds the examples of each kind.
const shownAtMost = 6

// judge compares what everybody saw.
func (s *site) judge() result {
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	r := result{
		plan: s.plan, at: time.Now(), disorder: s.ledger.disorder, wrong: s.ledger.wrong,
		usage: s.watcher.usage(), trouble: s.trouble, noticed: s.noticed, burst: s.ledger.burst(),
	}
	r.epochs, r.damages = len(s.ledger.epochs()), len(s.damages)
	came := map[string]string{} // epochs of changes that came to the app
	for _, e := range s.ledger.events {
		if e.received > 0 {
			came[e.kind+" "+e.device] = e.epoch
		}
	}
	for id, e := range s.ledger.events {
		if epoch, ok := came[e.kind+" "+e.device]; ok && epoch != e.epoch && e.received == 0 {
			r.renumbered++
			continue
		}
		s.judgeEvent(&r, id, e)
	}
	exits := s.agent.ownExits()
	for _, e := range exits {
		r.exits = append(r.exits, e.at.Format(stamp)+": "+e.how)
	}
	r.kills = s.agent.life() - 1
	for i, h := range s.happened {
		o := outcome{fault: h.fault, took: h.waited.took, hung: h.waited.took == 0 && !h.waited.overtaken}
		for _, e := range exits {
			if e.at.After(h.from) && (i+1 == len(s.happened) || e.at.Before(s.happened[i+1].from)) {
				o.exits++
			}
		}
		r.faults = append(r.faults, o)
	}
	for _, rep := range s.ledger.reports {
		s.judgeReport(&r, rep)
	}
	if len(s.ledger.reports) > 0 {
		r.took = r.at.Sub(s.ledger.reports[0].sent)
	}
	return r
}

func (s *site) judgeReport(r *result, rep *report) {
	count := func(to *int, t time.Time) {
		if !t.IsZero() {
			*to++
		}
	}
	r.sent++
	count(&r.broker, rep.broker)
	count(&r.given, rep.given)
	count(&r.agent, rep.agent)
	count(&r.decided, rep.decided)
	count(&r.delivered, rep.delivered)
	if rep.raised > 1 {
		r.raisedAgain++
	}
	switch {
	case !rep.delivered.IsZero():
	case rep.given.IsZero():
		r.lostBroker++
	case rep.agent.IsZero() && rep.decided.IsZero() && !s.agent.livedOn(rep.life, rep.given, answerWithin):
		r.lostFlight++
	case s.damagedAfter(rep):
		r.lostDamaged++
	case s.raisedAndGivenUp(rep):
		// counted with the events
	default:
		r.lostAgent++
		if i := s.blamed(rep); i >= 0 {
			r.faults[i].lost++
		}
		r.tell("lost by the agent: " + s.story(rep))
	}
}

// blamed is the fault that most likely lost a report: a damaged store spoils
// what comes after it as well; else it must be the next one. -1: none.
func (s *site) blamed(rep *report) int {
	blamed := -1
	for i, h := range s.happened {
		switch {
		case h.fault == storeDamage && h.from.Before(rep.given):
			blamed = i
		case h.to.After(rep.given) && blamed < 0:
			return i
		}
	}
	return blamed
}

// damagedAfter: the store was damaged after it had the report, and the agent
// said that something is lost.
func (s *site) damagedAfter(rep *report) bool {
	had := rep.agent
	if had.IsZero() {
		had = rep.decided
	}
	return s.saidDamage(had)
}

// raisedAndGivenUp: its event was given up from a full outbox.
func (s *site) raisedAndGivenUp(rep *report) bool {
	for _, e := range s.ledger.events {
		if e.device == rep.device && e.kind == "raised" && s.ledger.gaveUp(e) {
			return true
		}
	}
	return false
}

// saidDamage: the store was damaged after a time, and the agent said so.
func (s *site) saidDamage(had time.Time) bool {
	after := slices.ContainsFunc(s.damages, func(at time.Time) bool { return at.After(had) })
	return after && saysDamage(s.agent.everSaid())
}

// saysDamage finds an error that speaks of a damaged store. That a question of
// the harness cannot be answered is no word of the agent's own.
func saysDamage(lines []string) bool {
	return slices.ContainsFunc(lines, func(line string) bool {
		line = strings.ToLower(line)
		if !strings.Contains(line, `"level":"error"`) || strings.Contains(line, "answer a request") {
			return false
		}
		for _, word := range []string{"damage", "corrupt", "malformed", "set aside", "lost"} {
			if strings.Contains(line, word) {
				return true
			}
		}
		return false
	})
}

// story is the way of one report, and what happened meanwhile.
func (s *site) story(rep *report) string {
	var b strings.Builder
	fmt.Fprintf(&b, "id %d (%s)", rep.n, rep.device)
	for _, station := range []struct {
		name string
		at   time.Time
	}{
		{"sent", rep.sent},
		{"broker acknowledged", rep.broker},
		{"given to the agent", rep.given},
		{"agent acknowledged", rep.agent},
		{"seen in the store", rep.decided},
	} {
		at := "never"
		if !station.at.IsZero() {
			at = station.at.Format(stamp)
		}
		fmt.Fprintf(&b, ", %s %s", station.name, at)
	}
	from, to := rep.sent.Add(-time.Second), rep.sent.Add(5*time.Second)
	for _, h := range s.happened {
		if h.to.After(from) && h.from.Before(to) {
			fmt.Fprintf(&b, "; %s %s %s to %s", h.fault, h.what, h.from.Format(stamp), h.to.Format(stamp))
		}
	}
	return b.String()
}

func (s *site) judgeEvent(r *result, id string, e *event) {
	if e.stored {
		r.events++
	}
	r.repeats += max(0, e.received-1)
	r.sentAgain += max(0, e.sent-1)
	if e.received > 0 && !e.away {
		if r.missed++; r.keeps == keepsAll && r.missed <= shownAtMost {
			r.tell(fmt.Sprintf("missed by the app that is away now and then: %s of %s, seq %d", e.kind, e.device, e.seq))
		}
	}
	if e.received > 0 || !e.stored {
		return
	}
	switch {
	case s.ledger.gaveUp(e):
		r.givenUp++
		return
	case s.saidDamage(e.at):
		r.gone++
		return
	}
	r.lostEvents++
	if e.acknowledged {
		r.forgotten++
	}
	r.tell(fmt.Sprintf("decided and never received: %s of %s, seq %d, event %s, sent %d times, acknowledged to the agent: %t (life %d)",
		e.kind, e.device, e.seq, id, e.sent, e.acknowledged, e.lastLife))
}

func (r *result) tell(line string) {
	if len(r.evidence) < 2*shownAtMost {
		r.evidence = append(r.evidence, line)
	}
}

// failures are the promises that did not hold.
func (r *result) failures() []string {
	var list []string
	say := func(n int, format string) {
		if n > 0 {
			list = append(list, fmt.Sprintf(format, n))
		}
	}
	say(r.lostAgent, "%d ids that the agent was given are missing")
	say(r.lostEvents, "%d decided events never came to the app")
	if r.keeps == keepsAll {
		say(r.missed, "%d events never came to an app that was away, though the broker keeps everything")
	}
	say(len(r.disorder), "%d events came out of the order of seq")
	say(len(r.wrong), "%d events are not what they must be")
	say(len(r.exits), "%d times the agent ended by itself")
	if r.epochs > 1+r.damages {
		list = append(list, fmt.Sprintf("the store began %d epochs, and was damaged %d times", r.epochs, r.damages))
	}
	if limit, bounded := r.repeatsAllowed(); bounded && r.sentAgain > limit {
		list = append(list, fmt.Sprintf("%d events were sent again (at most %d are promised)", r.sentAgain, limit))
	}
	for _, limit := range limits() {
		took := r.recoveries(func(d described) bool { return d.within == limit })
		if len(took) > 0 && quantile(took, 99) > limit {
			list = append(list, fmt.Sprintf("recovery takes %s for 99 of 100 (%s is promised)", short(quantile(took, 99)), limit))
		}
	}
	return append(list, r.trouble...)
}

// sendWindow is how many events may be under way to the broker, and what may be
// sent again for a kill beside the events of one watermark interval.
const sendWindow = 256

// repeatsAllowed is how many events may be sent again. Only kills of the agent
// are bounded so: a broker that was killed is sent all that it may have lost.
func (r *result) repeatsAllowed() (limit int, bounded bool) {
	return r.kills * (r.burst + sendWindow), r.mode == modeAgentKills
}
