package rules

import (
	"testing"

	"fieldmedic/internal/diagnose"
)

func BenchmarkLoad(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Load(Options{Languages: []string{"en", "zh-Hans"}}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	s, err := Load(Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		s.Match(diagnose.Key{Producer: diagnose.ProducerDNA, Code: -7})
	}
}

func BenchmarkAdvice(b *testing.B) {
	s, err := Load(Options{})
	if err != nil {
		b.Fatal(err)
	}
	r := s.Match(diagnose.Key{Code: -7}).Rule
	d := diagnose.Diagnosis{Device: "d", Condition: r.Condition, Code: new(int32(-7))}
	for _, c := range r.Causes {
		d.Causes = append(d.Causes, diagnose.RankedCause{Cause: c.Name, Verdict: diagnose.VerdictPossible})
	}
	b.ReportAllocs()
	for b.Loop() {
		s.Advice(&d)
	}
}

func BenchmarkAppendAdvice(b *testing.B) {
	s, err := Load(Options{})
	if err != nil {
		b.Fatal(err)
	}
	r := s.Match(diagnose.Key{Code: -7}).Rule
	d := diagnose.Diagnosis{Device: "d", Condition: r.Condition, Code: new(int32(-7)), Causes: r.Ranking}
	room := make([]byte, 0, 1<<16)
	b.ReportAllocs()
	for b.Loop() {
		b.SetBytes(int64(len(s.AppendAdvice(room, &d))))
	}
}
