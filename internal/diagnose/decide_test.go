package diagnose

import "testing"

// A person's word stays through clear, re-opening and restart.
func TestDecisionsStick(t *testing.T) {
	play(t, `
	00:00:00 lamp -7                        -> raised session-expired ack=no
	00:00:01 acknowledge lamp session-expired -> changed session-expired ack=ann status=suspected
	00:00:02 note lamp session-expired note=n ->
	00:00:03 lamp ok                        -> cleared session-expired ack=ann notes=1
	00:20:00 restart                        ->
	00:20:01 lamp -7                        -> raised session-expired ack=ann notes=1 occ=2
	00:20:02 restart                        ->
	00:20:03 lamp -7                        ->
	00:20:04 unacknowledge lamp *           -> changed session-expired ack=no
	00:20:05 unacknowledge lamp *           ->
	00:20:06 lamp ok                        -> cleared session-expired ack=no notes=1
	00:20:07 ignore lamp session-expired    ->                 # it is over: no event
	00:20:08 lamp -7                        -> raised session-expired ign=ann occ=3
	00:20:09 show lamp                      -> ok none; session-expired ign=ann
	00:20:10 unignore lamp session-expired  -> changed session-expired ign=no
	00:20:11 show lamp                      -> attention re-authenticate; session-expired`)
}

func TestDecisionsRunOut(t *testing.T) {
	play(t, `
	00:00:00 lamp -9                             -> raised device-reset
	00:00:01 ignore lamp device-reset until=01:00:00 -> changed device-reset ign=ann
	00:00:02 acknowledge lamp * until=03:00:00   -> changed device-reset ack=ann
	00:59:59 restart                             ->
	01:00:00 tick                                -> changed device-reset ign=no ack=ann
	01:00:01 resolve lamp *                      -> cleared device-reset ack=ann
	03:00:00 tick                                ->            # it is over: no event
	03:00:01 lamp -9                             -> raised device-reset ack=no ign=no
	03:00:02 ignore lamp * until=03:00:02        -> error which is past`)
}

// With scope site it holds for the condition on every device, now and later.
func TestDecisionsForTheSite(t *testing.T) {
	play(t, `
	00:00:00 lamp -7                       -> raised session-expired
	00:00:01 lamp -4                       -> raised not-supported
	00:00:02 ignore * session-expired scope=site until=01:00:00 -> changed session-expired ign=ann
	00:00:03 plug -7                       -> raised session-expired ign=ann dev=plug
	00:00:04 restart                       ->
	00:00:05 lock -7                       -> raised session-expired ign=ann dev=lock
	00:00:06 unignore lock session-expired -> changed session-expired ign=no
	00:59:00 plug removed                  -> cleared session-expired
	00:59:01 lamp removed                  -> cleared session-expired; cleared not-supported
	02:00:00 hub -7                        -> raised session-expired ign=no dev=hub  # it ran out meanwhile
	02:00:01 acknowledge * session-expired scope=site -> changed session-expired dev=hub ack=ann; changed session-expired dev=lock ack=ann
	02:00:02 resolve * session-expired scope=site -> cleared session-expired dev=hub; cleared session-expired dev=lock
	02:00:03 unacknowledge * session-expired scope=site ->
	02:00:04 hub -7                        -> raised session-expired ack=no
	02:00:05 ignore * nonsense scope=site  -> error no rule makes a condition
	02:00:06 ignore * * scope=site         -> error condition is missing`)
}

// A site-wide decision that ran out is told to the store, once.
func TestSiteWideExpiryIsStored(t *testing.T) {
	e := play(t, `00:00:00 ignore * session-expired scope=site until=01:00:00 ->`)
	out := e.Observe(day.Add(clock(t, "01:00:00")), Observation{Device: "d", Says: SaysFault, Key: Key{Code: -7}})
	if sd, ok := out.SiteWide["session-expired"]; !ok || sd != nil || len(e.siteWide) > 0 {
		t.Fatalf("outcome %v, engine %v", out.SiteWide, e.siteWide)
	}
}

func TestForget(t *testing.T) {
	play(t, `
	00:00:00 lamp -7       -> raised session-expired
	00:00:01 lamp ok src=b -> cleared session-expired
	00:00:02 acknowledge lamp session-expired ->
	00:00:03 lamp -4       -> raised not-supported
	00:00:04 forget lamp * -> cleared not-supported by=retired
	00:00:05 kept lamp     -> no
	00:00:06 forget lamp * -> error is not known
	00:00:07 forget * *    -> error device is missing
	00:00:08 lamp -7       -> raised session-expired ack=no occ=1`)
}

func TestRequestsForNothing(t *testing.T) {
	play(t, `
	00:00:00 lamp -7                    -> raised session-expired
	00:00:01 acknowledge plug *         -> error device "plug" is not known
	00:00:02 acknowledge lamp nonsense  -> error never had
	00:00:03 acknowledge * *            -> error nothing is open at the site
	00:00:04 lamp ok                    -> cleared session-expired
	00:00:05 acknowledge lamp *         -> error nothing is open on device
	00:00:06 plug lost                  ->
	00:00:07 resolve plug device-lost   -> error never had`)
}

func TestVerbsOfLaterVersionsAreAnswered(t *testing.T) {
	e := play(t, `00:00:00 lamp -7 -> raised session-expired`)
	lamp := "lamp"
	for _, verb := range []Verb{Recheck, ReportOutcome, Resend, "dance"} {
		out, err := e.Decide(day, Request{Verb: verb, Device: &lamp})
		if err == nil || len(out.Changes)+len(out.Touched) > 0 {
			t.Errorf("%s: %v %+v", verb, err, out)
		}
	}
}

// Notes are bounded; the newest stay.
func TestNotesAreBounded(t *testing.T) {
	e := play(t, `00:00:00 lamp -7 -> raised session-expired`)
	lamp := "lamp"
	before, _ := e.Snapshot(lamp)
	for i := range maxNotes + 5 {
		if _, err := e.Decide(day, Request{Verb: AddNote, Device: &lamp, Note: string(rune('a' + i))}); err != nil {
			t.Fatal(err)
		}
	}
	s, _ := e.Snapshot(lamp)
	if n := s.Diagnoses[0].Notes; len(n) != maxNotes || n[0].Note != "f" || len(before.Diagnoses[0].Notes) != 0 {
		t.Fatalf("%d notes, the first %+v", len(n), n[0])
	}
}
