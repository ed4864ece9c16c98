package web

import (
	"net/http"
	"slices"
	"strings"

	"fieldmedic/internal/diagnose"
)

// deviceView is the content of a device's page.
type deviceView struct {
	Name, Path string
	Health     diagnose.Health
	Heard      moment
	Heading    string
	// First is the worst open diagnosis; Also are the other open ones, Ended
	// those that cleared of late.
	First *diagnosisView
	Also  []diagnosisView
	Ended []diagnosisView
	// For is whom the steps are written for, Readers the choice.
	For     diagnose.Audience
	Readers []readerView
	Facts   []factView
	Time    []timeView
}

type readerView struct {
	Name, Path string
	Chosen     bool
}

type factView struct{ Name, Value string }

// historyShown bounds the timeline of a page.
const historyShown = 50

// devicePage shows one device: causes, evidence, steps and what happened.
func (s *Server) devicePage(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if id == "" {
		id = r.URL.Query().Get("id")
	}
	rec, known, err := s.opts.Store.Device(r.Context(), id)
	if err != nil {
		s.brokenPage(w, r, err)
		return
	}
	if !known {
		s.sorry(w, http.StatusNotFound, "No device of this id is known here: "+visible(id))
		return
	}
	entries, err := s.opts.Store.History(r.Context(), id, historyShown)
	if err != nil {
		s.brokenPage(w, r, err)
		return
	}
	t := s.teller()
	v := t.deviceView(&rec, diagnose.Audience(r.URL.Query().Get("for")))
	v.Time = t.timeline(entries)
	s.show(w, http.StatusOK, "device", v.Heading+" – "+v.Name, v)
}

func (t *teller) deviceView(rec *diagnose.DeviceRecord, reader diagnose.Audience) deviceView {
	if !slices.Contains(diagnose.Audiences(), reader) {
		reader = diagnose.Technician
	}
	snap := rec.Snapshot(t.now)
	v := deviceView{
		Name: visible(rec.ID), Path: devicePath(rec.ID), Heard: t.moment(rec.LastHeard), For: reader,
		Facts: facts(rec.Facts),
	}
	v.Health, _ = snap.Judge()
	open := t.openViews(&snap, reader)
	for i := range snap.Diagnoses {
		if d := &snap.Diagnoses[i]; !d.Open() {
			v.Ended = append(v.Ended, t.view(d, reader))
		}
	}
	switch {
	case len(open) > 0:
		v.First, v.Also, v.Heading = &open[0], open[1:], open[0].Title
	case v.Health == diagnose.HealthUnknown:
		v.Heading = "Never heard"
	default:
		v.Heading = "Works"
	}
	sign := "?"
	if strings.Contains(v.Path, "?") {
		sign = "&"
	}
	for _, a := range diagnose.Audiences() {
		name := strings.ToUpper(string(a[:1])) + string(a[1:])
		v.Readers = append(v.Readers, readerView{name, v.Path + sign + "for=" + string(a), a == reader})
	}
	return v
}

func facts(f diagnose.Facts) []factView {
	var list []factView
	for _, one := range []factView{
		{"Model", f.Model}, {"Firmware", f.FW}, {"MAC", f.MAC}, {"IP", f.IP}, {"Device id of the SDK", f.DID}, {"Product id", f.PID},
	} {
		if one.Value != "" {
			list = append(list, factView{one.Name, visible(one.Value)})
		}
	}
	return list
}
