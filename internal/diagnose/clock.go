package diagnose

import "time"

// ClockReading is the gateway's time as the engine may use it.
type ClockReading struct {
	// Now never runs backwards but for a Step.
	Now time.Time
	// Step is how far the clock jumped since the reading before; zero: it runs.
	Step time.Duration
	// Suspect: the clock jumped of late, or was never set. Nothing may expire by
	// it, and what is decided is marked.
	Suspect bool
}
