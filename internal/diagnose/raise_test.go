package diagnose

import "testing"

func TestRaise(t *testing.T) {
	play(t, `
	00:00:00 lamp -7 msg=m model=RM4  -> raised session-expired status=suspected sev=warning action=re-authenticate id=id-1 occ=1 reports=1 code=-7 raw=-7 family=firmware first=00:00:00 last=00:00:00 lastok=null cleared=null stale=false flapping=no model=RM4 msg=m dev=lamp
	00:00:01 lamp -4      -> raised not-supported sev=minor
	00:00:02 plug -7      -> raised session-expired dev=plug id=id-3 occ=1
	00:00:03 plug -100    ->                       # switched off by a site rule
	00:00:04 plug resting ->
	00:00:05 show lamp    -> attention use-supported-command; not-supported; session-expired`)
}

// Repeats count, and say nothing while nothing of the face changes.
func TestRepeat(t *testing.T) {
	play(t, `
	00:00:00 lamp -4       -> raised not-supported
	00:00:01 lamp -4       ->
	00:00:02 lamp -4 msg=x ->
	00:00:09 show lamp     -> attention use-supported-command; not-supported reports=3 first=00:00:00 last=00:00:02 msg=x status=suspected
	00:00:10 lamp -4022    -> changed not-supported code=-4022 family=dnasdk id=id-1 reports=4
	00:00:11 lamp -4022    ->`)
}

// Three reports in half an hour, ten seconds apart, confirm; a burst is one.
func TestConfirmByReports(t *testing.T) {
	play(t, `
	00:00:00 lamp -7 -> raised session-expired status=suspected sev=warning
	00:00:03 lamp -7 ->
	00:00:09 lamp -7 ->
	00:00:10 lamp -7 ->
	00:00:19 lamp -7 ->
	00:00:20 lamp -7 -> changed session-expired status=confirmed sev=major reports=6
	00:00:40 lamp -7 ->
	00:01:00 lamp -7 -> changed session-expired status=confirmed causes=re-paired:likely,key-old:possible,locked:possible # keeps-coming
	00:02:00 lamp -7 ->`)
}

// Where one report is enough, it raises as suspected all the same.
func TestConfirmByOneReport(t *testing.T) {
	play(t, `
	00:00:00 lamp -11 -> raised user-cancelled status=suspected; changed user-cancelled status=confirmed
	00:00:01 lamp -11 ->`)
}

// An occurrence is confirmed by its own reports.
func TestConfirmStartsAnew(t *testing.T) {
	play(t, `
	00:00:00 lamp -7 -> raised session-expired
	00:00:10 lamp -7 ->
	00:00:11 lamp ok -> cleared session-expired
	00:00:20 lamp -7 -> raised session-expired occ=2 status=suspected
	00:00:30 lamp -7 ->
	00:00:40 lamp -7 -> changed session-expired status=confirmed`)
}

// The half hour slides: the last three reports count, not those since a start.
func TestConfirmWindowSlides(t *testing.T) {
	play(t, `
	00:00:00 lamp -7 -> raised session-expired
	00:20:00 lamp -7 ->
	00:35:00 lamp -7 ->
	00:50:00 lamp -7 -> changed session-expired status=confirmed`)
}

func TestConfirmByTime(t *testing.T) {
	play(t, `
	00:00:00 lamp -4000 -> raised network-timeout sev=minor status=suspected
	00:05:00 tick       -> changed network-timeout sev=major status=confirmed
	00:06:00 lamp -4000 ->
	00:06:01 lamp ok    -> cleared network-timeout by=signal
	00:06:02 lamp -4000 -> raised network-timeout sev=minor status=suspected occ=2
	00:06:03 lamp ok    -> cleared network-timeout
	00:59:00 tick       ->`)
}

// The payload's own time is believed when it is in the past of a day.
func TestReportedTime(t *testing.T) {
	play(t, `
	30:00:00 lamp -4013 ts=-1h  -> raised dns-failed first=29:00:00 last=29:00:00 evidence=0 causes=clock:likely,resolver:possible
	30:00:01 lamp -4013         -> changed dns-failed last=30:00:01 causes=resolver:likely,clock:possible
	30:00:02 plug -4013 ts=2m   -> raised dns-failed first=30:00:02 causes=resolver:likely,clock:possible
	30:00:03 lock -4013 ts=-25h -> raised dns-failed first=30:00:03 evidence=1
	30:00:04 lock -4013 ts=-25h ->`)
}

// What a payload says, and what else is open, brings another cause forward.
func TestRanking(t *testing.T) {
	play(t, `
	00:00:00 lamp -7            -> raised session-expired causes=key-old:likely,locked:possible,re-paired:possible
	00:00:01 lamp -7 msg=paired -> changed session-expired action=re-pair causes=re-paired:likely,key-old:possible,locked:possible
	00:00:02 lamp -7            -> changed session-expired action=re-authenticate
	00:00:03 lamp -9            -> raised device-reset; changed session-expired action=re-pair
	00:00:04 resolve lamp device-reset -> cleared device-reset by=manual; changed session-expired action=re-authenticate
	00:00:05 lamp -9            -> raised device-reset; changed session-expired action=re-pair
	00:00:06 lamp ok            -> cleared session-expired          # and no word on how it looks without the other
	00:00:07 lamp -7            -> raised session-expired action=re-pair`)
}

// All that ends by one message ends first; what is left is judged once.
func TestNoChangeOnTheWayOut(t *testing.T) {
	play(t, `
	00:00:00 lamp -9      -> raised device-reset
	00:00:01 lamp -7      -> raised session-expired action=re-pair
	00:00:02 resolve lamp * -> cleared device-reset; cleared session-expired
	00:00:03 plug -9      -> raised device-reset
	00:00:04 plug -7      -> raised session-expired action=re-pair
	00:00:05 plug removed -> cleared device-reset by=retired; cleared session-expired by=retired action=re-pair`)
}

func TestUnknownCode(t *testing.T) {
	play(t, `
	00:00:00 lamp -777 -> raised unknown-code-777 sev=info action=contact-support code=-777
	00:00:01 lamp -778 -> raised unknown-code-778
	00:00:02 lamp -777 ->
	00:00:03 show lamp -> ok contact-support; unknown-code-777; unknown-code-778
	24:00:01 tick      -> cleared unknown-code-778 by=quiet
	24:00:02 tick      -> cleared unknown-code-777 by=quiet
	24:00:03 lamp -777 -> raised unknown-code-777 occ=2
	24:00:04 lamp ok   -> cleared unknown-code-777 by=signal`)
}

// A code by itself: what the command "code" prints.
func TestPresumed(t *testing.T) {
	b := newBook()
	for _, c := range []struct {
		key       Key
		raw, want string
	}{
		{Key{Code: -7}, "0xfff9", "session-expired status=suspected action=re-authenticate sev=warning code=-7 raw=0xfff9 family=firmware causes=key-old:likely,locked:possible,re-paired:possible evidence=0 occ=0 id="},
		{Key{Code: -777}, "-777", "unknown-code-777 action=contact-support sev=info code=-777"},
		{Key{Name: "lost"}, "lost", "device-lost code=null raw=lost action=check-power first=null last=null"},
	} {
		d := Presumed(b.Match(c.key), "gw", c.raw)
		if got := d.Condition + attributes(&d); !fits(c.want, got) {
			t.Errorf("got %s\nwant %s", got, c.want)
		}
		if d.Gateway != "gw" || d.Rule == "" || d.Scope != ScopeDevice || d.Evidence == nil {
			t.Errorf("not filled in: %+v", d)
		}
	}
}

// Diagnoses of one rule share its plain ranking, which what is known of one of
// them does not touch.
func TestPlainRankingIsShared(t *testing.T) {
	e := play(t, `
	00:00:00 lamp -7            -> raised session-expired
	00:00:01 plug -7            -> raised session-expired
	00:00:02 plug -7 msg=paired -> changed session-expired causes=re-paired:likely,key-old:possible,locked:possible
	00:00:03 fan  -7            -> raised session-expired causes=key-old:likely,locked:possible,re-paired:possible`)
	causes := func(device string) *RankedCause { return &e.devices[device].problems[0].Diagnosis.Causes[0] }
	shared := &e.devices["lamp"].problems[0].rule.Ranking[0]
	if causes("lamp") != shared || causes("fan") != shared || causes("plug") == shared {
		t.Error("which diagnoses share a ranking is wrong")
	}
}
