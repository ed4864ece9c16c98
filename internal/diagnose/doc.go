// Package diagnose is the hub of Fieldmedic: the nouns that every room speaks
// of, the engine that turns observations into diagnoses, and the loop that
// drives it.
//
// A message goes one straight way:
//
//	Observation -> Symptom -> Hypothesis -> Check -> Evidence -> Diagnosis -> Change
//
// The engine is a step function: time and facts come in, values go out. It has
// no clock, lock, goroutine or I/O, so a table with literal times tests any of
// it and a recorded day replays in milliseconds. The loop (Loop) is the only
// owner of an engine; everybody else gets copies or reads the store.
//
// The package imports the standard library only. Everything it needs from the
// outside stands in small interfaces on this side: Rulebook, Journal, Outbox.
package diagnose
