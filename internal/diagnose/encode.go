package diagnose

import (
	"encoding/json"
	"strconv"
)

// This file writes diagnoses, events and problems as JSON. The bytes are those
// that encoding/json makes of the same structs, which the tests hold it to. It
// is done by hand because each fresh fault is written three times (event,
// snapshot, store), and reflection was most of what a fault cost.

// encoder appends to b. The first error stands in err.
type encoder struct {
	b []byte
	// words fill in the sentences of diagnoses; without them a diagnosis is
	// written as it is.
	words Words
	err   error
}

func (e *encoder) raw(s string) { e.b = append(e.b, s...) }

// The following write a key, which comes with its quotes and what stands
// before it, and a value.

func (e *encoder) text(key, s string) { e.b = AppendText(append(e.b, key...), s) }

// name writes a text, or null when it is empty.
func (e *encoder) name(key, s string) {
	if s == "" {
		e.raw(key)
		e.raw("null")
		return
	}
	e.text(key, s)
}

func (e *encoder) number(key string, n int64) { e.b = strconv.AppendInt(append(e.b, key...), n, 10) }

func (e *encoder) flag(key string, is bool) { e.b = strconv.AppendBool(append(e.b, key...), is) }

func (e *encoder) time(key string, t Stamp) { e.b = t.append(append(e.b, key...)) }

// other writes what is rare by reflection.
func (e *encoder) other(key string, v any) {
	value, err := json.Marshal(v)
	if err != nil && e.err == nil {
		e.err = err
	}
	e.raw(key)
	e.b = append(e.b, value...)
}

// diagnosis writes all of d but the advice, and leaves the brace open.
func (e *encoder) diagnosis(d *Diagnosis) {
	e.raw("{")
	if d.ID != "" {
		e.text(`"id":`, d.ID)
		e.raw(",")
	}
	e.text(`"gateway":`, d.Gateway)
	e.name(`,"device":`, string(d.Device))
	e.text(`,"scope":`, string(d.Scope))
	e.text(`,"condition":`, d.Condition)
	e.text(`,"family":`, string(d.Family))
	if d.Code == nil {
		e.raw(`,"code":null`)
	} else {
		e.number(`,"code":`, int64(*d.Code))
	}
	e.text(`,"code_raw":`, d.CodeRaw)
	e.text(`,"msg":`, d.Msg)
	e.text(`,"severity":`, string(d.Severity))
	e.text(`,"kind":`, string(d.Kind))
	e.text(`,"audience":`, string(d.Audience))
	e.text(`,"status":`, string(d.Status))
	e.text(`,"action":`, string(d.Action))
	e.causes(d)
	if d.Evidence != nil && len(d.Evidence) == 0 {
		e.raw(`,"evidence":[]`)
	} else {
		e.other(`,"evidence":`, d.Evidence)
	}
	title := d.Title
	if e.words != nil {
		title = e.words.Title(d)
	}
	e.text(`,"title":`, title)
	e.history(d)
	e.people(d)
	e.facts(&d.Facts)
	e.text(`,"rule":`, d.Rule)
	e.flag(`,"stale":`, d.Stale)
}

func (e *encoder) causes(d *Diagnosis) {
	if d.Causes == nil && e.words == nil {
		e.raw(`,"causes":null`)
		return
	}
	e.raw(`,"causes":[`)
	for i, c := range d.Causes {
		if i > 0 {
			e.raw(",")
		}
		if e.words != nil {
			c.Because = e.words.Because(d, c)
		}
		e.text(`{"cause":`, c.Cause)
		e.text(`,"action":`, string(c.Action))
		e.text(`,"verdict":`, string(c.Verdict))
		e.text(`,"because":`, c.Because)
		if c.Reason != "" {
			e.text(`,"reason":`, c.Reason)
		}
		e.raw("}")
	}
	e.raw("]")
}

// history writes times and counts.
func (e *encoder) history(d *Diagnosis) {
	e.time(`,"first_seen":`, d.FirstSeen)
	e.time(`,"last_seen":`, d.LastSeen)
	e.time(`,"last_ok":`, d.LastOK)
	e.time(`,"cleared_at":`, d.ClearedAt)
	switch {
	case d.SourceTS == nil:
		e.raw(`,"source_ts":null`)
	case digits(d.SourceTS):
		e.raw(`,"source_ts":`)
		e.b = append(e.b, d.SourceTS...)
	default:
		e.other(`,"source_ts":`, d.SourceTS)
	}
	e.number(`,"occurrence":`, int64(d.Occurrence))
	e.number(`,"reports":`, d.Reports)
	if d.Flapping == nil {
		e.raw(`,"flapping":null`)
	} else {
		e.time(`,"flapping":{"since":`, d.Flapping.Since)
		e.number(`,"changes":`, int64(d.Flapping.Changes))
		e.raw("}")
	}
	e.name(`,"cleared_by":`, string(d.ClearedBy))
	e.name(`,"explained_by":`, string(d.ExplainedBy))
}

// people writes who is concerned, and what people said.
func (e *encoder) people(d *Diagnosis) {
	members, total := d.Members, d.MembersTotal
	if e.words != nil {
		members, total = d.listed()
	}
	if len(members) > 0 {
		e.texts(`,"members":`, members)
	}
	if total != 0 {
		e.number(`,"members_total":`, int64(total))
	}
	e.decision(`,"acknowledged":`, d.Acknowledged)
	e.decision(`,"ignored":`, d.Ignored)
	if len(d.Notes) > 0 {
		e.other(`,"notes":`, d.Notes)
	}
}

func (e *encoder) texts(key string, list []string) {
	e.raw(key)
	sep := "["
	for _, s := range list {
		e.text(sep, s)
		sep = ","
	}
	e.raw("]")
}

func (e *encoder) decision(key string, d *Decision) {
	if d == nil {
		e.raw(key)
		e.raw("null")
		return
	}
	e.other(key, d)
}

func (e *encoder) facts(f *Facts) {
	e.raw(`,"facts":{`)
	start := len(e.b)
	for _, fact := range [...]struct{ key, value string }{
		{`"did":`, f.DID}, {`"pid":`, f.PID}, {`"mac":`, f.MAC}, {`"ip":`, f.IP}, {`"model":`, f.Model}, {`"fw":`, f.FW},
	} {
		if fact.value == "" {
			continue
		}
		if len(e.b) > start {
			e.raw(",")
		}
		e.text(fact.key, fact.value)
	}
	e.raw("}")
}

// AppendDropped appends the event that stands in the place of events from
// ev.FromSeq to ev.ToSeq, which were given up; the type is Dropped, and there is
// no diagnosis.
func AppendDropped(b []byte, ev Event) []byte {
	ev.Schema, ev.Type, ev.Diagnosis = Schema, Dropped, nil
	e := encoder{b: b}
	e.event(&ev)
	return e.b
}

// event writes a change as it is published, without advice.
func (e *encoder) event(ev *Event) {
	e.text(`{"schema":`, ev.Schema)
	if ev.EventID != "" {
		e.text(`,"event_id":`, ev.EventID)
	}
	e.number(`,"seq":`, ev.Seq)
	if ev.Epoch != "" {
		e.text(`,"epoch":`, ev.Epoch)
	}
	e.text(`,"type":`, string(ev.Type))
	e.time(`,"at":`, ev.At)
	if ev.FromSeq != 0 {
		e.number(`,"from_seq":`, ev.FromSeq)
	}
	if ev.ToSeq != 0 {
		e.number(`,"to_seq":`, ev.ToSeq)
	}
	if ev.Diagnosis != nil {
		e.raw(`,"diagnosis":`)
		e.diagnosis(ev.Diagnosis)
		e.raw("}")
	}
	if ev.ClockSuspect {
		e.raw(`,"clock_suspect":true`)
	}
	e.raw("}")
}

// AppendJSON appends the problem as encoding/json would write it.
func (p *Problem) AppendJSON(b []byte) ([]byte, error) {
	e := encoder{b: append(b, `{"diagnosis":`...)}
	e.diagnosis(&p.Diagnosis)
	e.raw("}")
	e.times(`,"openings":[`, p.Openings)
	if p.Spaced != 0 {
		e.number(`,"spaced":`, int64(p.Spaced))
	}
	e.time(`,"spaced_at":`, p.SpacedAt)
	e.times(`,"recent":[`, p.Recent)
	if p.Lasting {
		e.raw(`,"lasting":true`)
	}
	if p.Skew != 0 {
		e.number(`,"skew":`, int64(p.Skew))
	}
	if p.Told {
		e.raw(`,"told":true`)
	}
	if p.Pending != nil {
		e.other(`,"pending":`, p.Pending)
	}
	if p.Faulty {
		e.raw(`,"faulty":true`)
	}
	e.raw("}")
	return e.b, e.err
}

// AppendJSON appends the record, without its problems, as encoding/json would
// write it.
func (r *DeviceRecord) AppendJSON(b []byte) ([]byte, error) {
	e := encoder{b: b}
	e.text(`{"id":`, r.ID)
	if len(r.Sources) > 0 {
		e.texts(`,"sources":`, r.Sources)
	}
	e.time(`,"last_heard":`, r.LastHeard)
	e.time(`,"updated_at":`, r.UpdatedAt)
	e.facts(&r.Facts)
	e.raw("}")
	return e.b, e.err
}

// times writes a list that is left out when it is empty.
func (e *encoder) times(key string, list []Stamp) {
	if len(list) == 0 {
		return
	}
	for _, t := range list {
		e.time(key, t)
		key = ","
	}
	e.raw("]")
}
