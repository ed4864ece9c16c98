//go:build profile

package main

import (
	"os"
	"runtime/pprof"
)

// startProfile keeps a CPU profile in the file that FIELDMEDIC_PROFILE names,
// until the function it answers is called. It is in benchmark builds only.
func startProfile() (stop func()) {
	name := os.Getenv("FIELDMEDIC_PROFILE")
	if name == "" {
		return func() {}
	}
	f, err := os.Create(name)
	if err != nil {
		return func() {}
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return func() { _ = f.Close() } // an empty file tells it
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close() // a profile that cannot be read tells it
	}
}
