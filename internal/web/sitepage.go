package web

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"time"

	"fieldmedic/internal/diagnose"
)

// group is where a device stands on the site's page, in that order.
type group int

const (
	needsYou group = iota
	explained
	neverHeard
	working
)

// place is as much of a device as its order takes: 10,000 of them are held
// while one page of them is made.
type place struct {
	id    string
	group group
	rank  int
	since time.Time
}

// placeOf judges by the worst open diagnosis that is not ignored; info needs
// nobody, and what another fault explains needs nothing of its own.
func placeOf(snap *diagnose.Snapshot) place {
	p := place{id: string(snap.Device), group: working, rank: math.MaxInt}
	switch health, _ := snap.Judge(); health {
	case diagnose.HealthOK:
		return p
	case diagnose.HealthUnknown:
		p.group = neverHeard
		return p
	}
	p.group = explained
	for i := range snap.Diagnoses {
		d := &snap.Diagnoses[i]
		if !d.Open() || d.Ignored != nil || d.Severity.Rank() >= diagnose.Info.Rank() {
			continue
		}
		if d.ExplainedBy == "" && p.group == explained {
			p.group, p.rank = needsYou, math.MaxInt
		}
		if (d.ExplainedBy == "") == (p.group == needsYou) && d.Severity.Rank() < p.rank {
			p.rank, p.since = d.Severity.Rank(), d.FirstSeen.Time
		}
	}
	return p
}

func worstFirst(a, b place) int {
	return cmp.Or(cmp.Compare(a.group, b.group), cmp.Compare(a.rank, b.rank), a.since.Compare(b.since), cmp.Compare(a.id, b.id))
}

// rowsShown is how many devices one page lists.
const rowsShown = 50

// sitePage lists what is open, worst first.
func (s *Server) sitePage(w http.ResponseWriter, r *http.Request) {
	places, err := s.places(r.Context())
	if err != nil {
		s.brokenPage(w, r, err)
		return
	}
	last := int64(max(1, (len(places)+rowsShown-1)/rowsShown))
	n, err := number(r, "page", 1, math.MaxInt32)
	if err != nil {
		s.sorry(w, http.StatusBadRequest, visible(err.Error())+".")
		return
	}
	n = min(max(n, 1), last)
	v := siteView{Page: n, Pages: last, Status: s.status()}
	if n > 1 {
		v.Before = n - 1
	}
	if n < last {
		v.After = n + 1
	}
	from := min(int(n-1)*rowsShown, len(places))
	to := min(from+rowsShown, len(places))
	if v.Groups, err = s.groups(r.Context(), places, from, to); err != nil {
		s.brokenPage(w, r, err)
		return
	}
	site := s.opts.Store.Site()
	v.Faults = s.teller().openViews(&site, diagnose.User)
	v.Sentence = sentence(places)
	s.show(w, http.StatusOK, "site", v.Sentence, v)
}

// siteView is the content of the site's page.
type siteView struct {
	Sentence string
	// Faults of the site itself.
	Faults []diagnosisView
	Groups []groupView
	// Page of Pages; Before and After are 0 at the ends.
	Page, Pages, Before, After int64
	Status                     Status
}

type groupView struct {
	Name string
	// Total counts the devices of the group on all pages.
	Total int
	// Need is set for the group that needs a person; Folded ones are closed at
	// first.
	Need, Folded bool
	Rows         []rowView
}

type rowView struct {
	Path, Name string
	Health     diagnose.Health
	Title      string
	Code       string
	Then       string
	Lang       string
	Since      moment
	Heard      moment
	// Marks are words about it: who is on it, whether it comes and goes.
	Marks []string
	Quiet bool
}

func (s *Server) places(ctx context.Context) ([]place, error) {
	done, err := s.oneScan(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	var places []place
	err = s.opts.Store.EachSnapshot(ctx, func(snap diagnose.Snapshot) error {
		if snap.Device != "" {
			places = append(places, placeOf(&snap))
		}
		return nil
	})
	slices.SortFunc(places, worstFirst)
	return places, err
}

// sentence says in one line how the site is.
func sentence(places []place) string {
	var of [working + 1]int
	for _, p := range places {
		of[p.group]++
	}
	total := int64(len(places))
	var s string
	switch {
	case total == 0:
		return "No device has been heard yet"
	case of[needsYou] > 0:
		verb := "need"
		if of[needsYou] == 1 {
			verb = "needs"
		}
		s = fmt.Sprintf("%d of %s %s you", of[needsYou], count(total, "device", "devices"), verb)
	case of[working] == 1 && total == 1:
		return "The one device works"
	case of[working] == len(places):
		return fmt.Sprintf("All %d devices work", total)
	default:
		s = fmt.Sprintf("None of %s needs you", count(total, "device", "devices"))
	}
	if n := of[explained]; n > 0 {
		s += fmt.Sprintf("; another fault explains %d more", n)
	}
	if n := of[neverHeard]; n > 0 {
		s += fmt.Sprintf("; %d never spoke", n)
	}
	return s
}

// groups makes the rows from..to of places. A device that went away meanwhile
// is left out.
func (s *Server) groups(ctx context.Context, places []place, from, to int) ([]groupView, error) {
	var total [working + 1]int
	for _, p := range places {
		total[p.group]++
	}
	names := [working + 1]string{"Need you", "Explained by another fault", "Never heard", "Working"}
	t := s.teller()
	var views []groupView
	at := group(-1)
	for _, p := range places[from:to] {
		rec, known, err := s.opts.Store.Device(ctx, p.id)
		if err != nil {
			return nil, err
		}
		if !known {
			continue
		}
		if p.group != at {
			at = p.group
			views = append(views, groupView{Name: names[at], Total: total[at], Need: at == needsYou, Folded: at == working && len(views) > 0})
		}
		last := &views[len(views)-1]
		last.Rows = append(last.Rows, t.row(&rec, p.group))
	}
	return views, nil
}

func (t *teller) row(rec *diagnose.DeviceRecord, in group) rowView {
	snap := rec.Snapshot(t.now)
	health, _ := snap.Judge()
	row := rowView{
		Path: devicePath(rec.ID), Name: visible(rec.ID), Health: health,
		Heard: t.moment(rec.LastHeard), Quiet: in != needsYou,
	}
	if in == neverHeard {
		return row
	}
	d := speaker(&snap, in)
	if d == nil {
		return row
	}
	described := d.Describe(t.words)
	row.Title, row.Code, row.Since = described.Title, codeOf(d), t.moment(d.FirstSeen)
	row.Marks = marks(d)
	advice, lang := t.advice(d)
	row.Lang = lang
	for _, steps := range [][]diagnose.Step{advice.User, advice.Technician, advice.Developer} {
		if len(steps) > 0 && in == needsYou {
			row.Then = steps[0].Title
			break
		}
	}
	return row
}

// speaker is the diagnosis that a row speaks of: the worst one for which the
// device is in its group, or of a working device the first that is open.
func speaker(snap *diagnose.Snapshot, in group) *diagnose.Diagnosis {
	var other *diagnose.Diagnosis
	for i := range snap.Diagnoses {
		d := &snap.Diagnoses[i]
		if !d.Open() {
			break // these come last
		}
		if in != needsYou || d.ExplainedBy == "" && d.Ignored == nil {
			return d
		}
		if other == nil {
			other = d
		}
	}
	return other
}

func (s *Server) brokenPage(w http.ResponseWriter, r *http.Request, err error) {
	status, text := s.broken(r, err)
	s.sorry(w, status, text+".")
}
