package diagnose

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// scatter fills a value with something, by its type: every field of every
// struct, so that one that is new here is in the tests at once.
func scatter(r *rand.Rand, v reflect.Value) {
	texts := []string{"", "plain", "ünïcode 设备", `"q" \ / <b>&amp;`, "line\nend\x00\x7f", "\u2028\u2029", "bad\xffutf\xc3"}
	switch v.Interface().(type) {
	case Stamp:
		times := []time.Time{{}, day.Add(1234567 * time.Microsecond), day.In(time.FixedZone("", 7200)), time.Unix(0, 0)}
		v.Set(reflect.ValueOf(Stamp{times[r.IntN(len(times))]}))
		return
	case time.Time:
		v.Set(reflect.ValueOf(day))
		return
	case json.RawMessage:
		raws := []string{"1795341601250", "0", "-1", `"2026-11-22T10:00:00Z"`, `"<ts>"`, " [1, 2] ", "1.5e3", "00"}
		if i := r.IntN(len(raws)); i < len(raws)-1 { // the last is no JSON
			v.Set(reflect.ValueOf(json.RawMessage(raws[i])))
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for _, field := range v.Fields() {
			scatter(r, field)
		}
	case reflect.Pointer:
		if r.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			scatter(r, v.Elem())
		}
	case reflect.Slice:
		if n := r.IntN(4); n > 0 { // 0 leaves it nil
			v.Set(reflect.MakeSlice(v.Type(), n-1, n-1))
			for i := range n - 1 {
				scatter(r, v.Index(i))
			}
		}
	case reflect.String:
		v.SetString(texts[r.IntN(len(texts))])
	case reflect.Bool:
		v.SetBool(r.IntN(2) > 0)
	case reflect.Uint8:
		v.SetUint(uint64(r.IntN(6)))
	default:
		v.SetInt(int64(r.IntN(5)-2) * 1_000_000_007 % (1 << 31))
	}
}

// What is written by hand is what encoding/json writes, byte for byte.
func TestEncodeLikeReflection(t *testing.T) {
	w := plainWords{advice: 3}
	compare := func(what string, got []byte, err error, v any) {
		t.Helper()
		want, wantErr := json.Marshal(v)
		if err != nil || wantErr != nil || string(got) != string(want) {
			t.Fatalf("%s (%v, %v)\n got %s\nwant %s", what, err, wantErr, got, want)
		}
	}
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 1))
		var p Problem
		scatter(r, reflect.ValueOf(&p).Elem())
		got, err := p.AppendJSON(nil)
		compare("problem", got, err, p)

		rec := DeviceRecord{ID: p.Diagnosis.Msg, Sources: p.Diagnosis.Members, LastHeard: p.SpacedAt, UpdatedAt: Stamp{day}, Facts: p.Diagnosis.Facts}
		got, err = rec.AppendJSON([]byte{})
		compare("record", got, err, rec)

		described := p.Diagnosis.Describe(w)
		ev := Event{Schema: Schema, Seq: 7, Type: Raised, At: Stamp{day}, Diagnosis: &p.Diagnosis}
		if seed%2 > 0 {
			ev.EventID, ev.Epoch, ev.ClockSuspect = "id<", "epoch", true
		}
		e := encoder{words: w}
		e.event(&ev)
		ev.Diagnosis = &described
		compare("event", e.b, e.err, ev)

		scatter(r, reflect.ValueOf(&ev).Elem())
		got = AppendDropped([]byte("before"), ev)
		ev.Schema, ev.Type, ev.Diagnosis = Schema, Dropped, nil
		compare("dropped", got[len("before"):], nil, ev)

		s := Snapshot{Device: p.Diagnosis.Device, UpdatedAt: day, Heard: true, Diagnoses: []Diagnosis{p.Diagnosis, p.Diagnosis}}
		got, err = s.Encode("gw", w)
		health, action := s.Judge()
		one := DiagnosisJSON{Diagnosis: described, Advice: w.Advice(&p.Diagnosis)}
		compare("snapshot", got, err, SnapshotJSON{
			Schema: Schema, Gateway: "gw", Device: s.Device, Health: health, Action: action, UpdatedAt: Stamp{day},
			Diagnoses: []DiagnosisJSON{one, one},
		})
	}
}

// What cannot be encoded is an error, as ever.
func TestEncodeRefusesWhatIsNoJSON(t *testing.T) {
	d := diagnosisOf("x", Major, 0)
	d.SourceTS = json.RawMessage("007")
	s := Snapshot{Device: "ac-7", Diagnoses: []Diagnosis{d}}
	if b, err := s.Encode("gw", plainWords{}); err == nil || !strings.Contains(err.Error(), "ac-7") {
		t.Errorf("%s, %v", b, err)
	}
	p := Problem{Diagnosis: d}
	if b, err := p.AppendJSON(nil); err == nil {
		t.Errorf("%s", b)
	}
}

// Members are cut, and a message that is too large is shortened, in whatever
// was written by hand as well.
func TestEncodeCutsMembers(t *testing.T) {
	d := diagnosisOf("dns-down", Major, 0)
	for i := range 1200 {
		d.Members = append(d.Members, fmt.Sprintf("device-%04d", i))
	}
	e := encoder{words: plainWords{}}
	e.diagnosis(&d)
	var back Diagnosis
	if err := json.Unmarshal(append(e.b, '}'), &back); err != nil || len(back.Members) != MaxMembers || back.MembersTotal != 1200 {
		t.Errorf("%v: %d of %d members", err, len(back.Members), back.MembersTotal)
	}
}

// The event in the place of others is one that the schema knows.
func TestDroppedFitsTheSchema(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile("../../docs/schema/event.json")
	if err != nil {
		t.Fatal(err)
	}
	const id = "0190a5f0-1c1e-7c3a-8a57-3a3fd9b9a001"
	ev := Event{EventID: id, Epoch: id, Seq: 3, At: Stamp{day}, FromSeq: 3, ToSeq: 7, ClockSuspect: true}
	for _, ok := range []bool{true, false} {
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(AppendDropped(nil, ev)))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(doc); (err == nil) != ok {
			t.Errorf("%s: %v", AppendDropped(nil, ev), err)
		}
		ev.ToSeq = 0
	}
}
