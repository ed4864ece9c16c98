package web

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"fieldmedic/internal/diagnose"
)

// teller turns what the store knows into what a page shows: at one time, in
// the words of one rule set.
type teller struct {
	now   time.Time
	words diagnose.Words
	// languages to tell it in, the one to prefer first.
	languages []string
}

func (s *Server) teller() *teller {
	return &teller{s.now(), s.opts.Words(), append(slices.Clone(s.status().Languages), "en")}
}

func (t *teller) moment(at diagnose.Stamp) moment { return momentOf(at.Time, t.now) }

// diagnosisView is one diagnosis as a page shows it.
type diagnosisView struct {
	Title, Condition, Code string
	Summary, Lang          string
	Severity               diagnose.Severity
	Status                 diagnose.Status
	Action                 diagnose.Action
	Since, Last, ClearedAt moment
	ClearedBy              string
	Reports                string
	Msg, Rule              string
	Marks                  []string
	// Leading is the cause that speaks, nil where all are excluded; Others
	// are the rest in order.
	Leading  *causeView
	Others   []causeView
	Evidence []evidenceView
	Steps    []stepView
	Notes    []noteView
}

type causeView struct {
	Name    string
	Verdict diagnose.Verdict
	Because string
	Action  diagnose.Action
}

type evidenceView struct {
	Check, Target, Observed, Verdict string
	At                               moment
	TookMS                           int64
}

type stepView struct {
	Title    string
	Details  []string
	WorkedIf string
	Within   string
	// Open for the step to begin with.
	Open bool
}

type noteView struct {
	By, Text string
	At       moment
}

func (t *teller) openViews(snap *diagnose.Snapshot, reader diagnose.Audience) []diagnosisView {
	var views []diagnosisView
	for i := range snap.Diagnoses {
		if d := &snap.Diagnoses[i]; d.Open() {
			views = append(views, t.view(d, reader))
		}
	}
	return views
}

// view turns a diagnosis into what a page shows of it.
func (t *teller) view(d *diagnose.Diagnosis, reader diagnose.Audience) diagnosisView {
	described := d.Describe(t.words)
	advice, lang := t.advice(d)
	v := diagnosisView{
		Title: described.Title, Condition: d.Condition, Code: codeOf(d), Summary: advice.Summary, Lang: lang,
		Severity: d.Severity, Status: d.Status, Action: d.Action, Marks: marks(d),
		Since: t.moment(d.FirstSeen), Last: t.moment(d.LastSeen),
		ClearedAt: t.moment(d.ClearedAt), ClearedBy: clearedWords(d.ClearedBy),
		Reports: count(d.Reports, "report", "reports"), Msg: visible(d.Msg), Rule: d.Rule,
		Steps: stepViews(stepsFor(advice, reader)),
	}
	for _, c := range described.Causes {
		view := causeView{strings.ReplaceAll(c.Cause, "-", " "), c.Verdict, c.Because, c.Action}
		if v.Leading == nil && c.Verdict != diagnose.VerdictExcluded {
			v.Leading = &view
		} else {
			v.Others = append(v.Others, view)
		}
	}
	for _, e := range d.Evidence {
		v.Evidence = append(v.Evidence, evidenceView{
			e.Check, visible(e.Target), visible(e.Observed), evidenceWords(e.Verdict), t.moment(e.At), e.TookMS,
		})
	}
	for _, n := range d.Notes {
		v.Notes = append(v.Notes, noteView{visible(n.By), visible(n.Note), t.moment(n.At)})
	}
	return v
}

func stepsFor(a diagnose.Advice, reader diagnose.Audience) []diagnose.Step {
	switch reader {
	case diagnose.User:
		return a.User
	case diagnose.Developer:
		return a.Developer
	}
	return a.Technician
}

func stepViews(steps []diagnose.Step) []stepView {
	views := make([]stepView, len(steps))
	for i, step := range steps {
		views[i] = stepView{Title: step.Title, Details: step.Details, WorkedIf: step.WorkedIf, Open: i == 0}
		if step.WithinS != nil {
			views[i].Within = duration(*step.WithinS)
		}
	}
	return views
}

// duration writes seconds in the words of a person.
func duration(seconds int) string {
	if seconds >= 120 && seconds%60 == 0 {
		return strconv.Itoa(seconds/60) + " min"
	}
	return strconv.Itoa(seconds) + " s"
}

// advice is the one in the first language, with its language: the page's own
// is English.
func (t *teller) advice(d *diagnose.Diagnosis) (diagnose.Advice, string) {
	all := t.words.Advice(d)
	for _, lang := range t.languages {
		if a, ok := all[lang]; ok {
			return a, lang
		}
	}
	return diagnose.Advice{}, "en"
}
