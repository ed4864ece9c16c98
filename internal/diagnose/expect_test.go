package diagnose

import (
	"encoding/json"
	"fmt"
	"sort"
	"strings"
)

// attributes are all the keys that an expectation may name.
func attributes(d *Diagnosis) string {
	a := map[string]string{
		"status": string(d.Status), "sev": string(d.Severity), "action": string(d.Action), "by": string(d.ClearedBy),
		"occ": fmt.Sprint(d.Occurrence), "reports": fmt.Sprint(d.Reports), "id": d.ID, "dev": string(d.Device),
		"family": string(d.Family), "raw": d.CodeRaw, "stale": fmt.Sprint(d.Stale), "msg": d.Msg,
		"flapping": "no", "ack": "no", "ign": "no", "code": "null", "notes": fmt.Sprint(len(d.Notes)),
		"first": at(d.FirstSeen), "last": at(d.LastSeen), "lastok": at(d.LastOK), "cleared": at(d.ClearedAt),
		"scope": string(d.Scope), "model": d.Facts.Model, "evidence": fmt.Sprint(len(d.Evidence)),
	}
	if d.Flapping != nil {
		a["flapping"] = fmt.Sprintf("%d@%s", d.Flapping.Changes, at(d.Flapping.Since))
	}
	if d.Acknowledged != nil {
		a["ack"] = d.Acknowledged.By
	}
	if d.Ignored != nil {
		a["ign"] = d.Ignored.By
	}
	if d.Code != nil {
		a["code"] = fmt.Sprint(*d.Code)
	}
	var causes []string
	for _, c := range d.Causes {
		causes = append(causes, c.Cause+":"+string(c.Verdict))
	}
	a["causes"] = strings.Join(causes, ",")
	var all []string
	for k, v := range a {
		all = append(all, k+"="+v)
	}
	sort.Strings(all)
	return " " + strings.Join(all, " ")
}

func at(s Stamp) string {
	if s.IsZero() {
		return "null"
	}
	d := s.Sub(day)
	return fmt.Sprintf("%02d:%02d:%02d", int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60)
}

// compare holds what came against what was to come: as many, in this order,
// each with all the words of its expectation.
func (tl *timeline) compare(want string) {
	tl.t.Helper()
	var items []string
	for item := range strings.SplitSeq(want, ";") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	ok := len(items) == len(tl.got)
	for i := 0; ok && i < len(items); i++ {
		ok = fits(items[i], tl.got[i])
	}
	if !ok {
		tl.t.Fatalf("%s\n  got: %s", tl.line, strings.Join(tl.got, "\n       "))
	}
}

func fits(want, got string) bool {
	if text, ok := strings.CutPrefix(want, "error "); ok {
		return strings.HasPrefix(got, "error ") && strings.Contains(got, text)
	}
	w := strings.Fields(want)
	g := strings.Fields(got)
	for i, word := range w {
		if strings.Contains(word, "=") {
			if !strings.Contains(got+" ", " "+word+" ") {
				return false
			}
		} else if i >= len(g) || g[i] != word {
			return false
		}
	}
	return true
}

// stored is what the store would give back, through JSON.
func stored(t interface {
	Helper()
	Fatal(args ...any)
}, e *Engine,
) Restored {
	t.Helper()
	r := Restored{SiteWide: e.siteWide}
	for _, d := range e.inOrder() {
		rec, _ := e.Record(d.id)
		rec.Problems = append([]Problem{}, rec.Problems...)
		for i, p := range rec.Problems {
			b, err := json.Marshal(p)
			if err != nil {
				t.Fatal(err)
			}
			var back Problem
			if err := json.Unmarshal(b, &back); err != nil {
				t.Fatal(err)
			}
			rec.Problems[i] = back
		}
		r.Devices = append(r.Devices, rec)
	}
	return r
}

// dump is all that is kept of all devices, as text.
func dump(t interface {
	Helper()
	Fatal(args ...any)
}, e *Engine,
) string {
	t.Helper()
	var b strings.Builder
	for _, rec := range stored(t, e).Devices {
		text, err := json.Marshal(struct {
			Record   DeviceRecord
			Problems []Problem
		}{rec, rec.Problems})
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(text, '\n'))
	}
	return b.String()
}
