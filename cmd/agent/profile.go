//go:build profile

package main

import (
	"os"
	"runtime"
	"runtime/pprof"
)

// startProfile keeps a CPU profile in the file that CPUPROFILE names,
// until the function it answers is called, which adds one of the heap beside
// it. It is in benchmark builds only.
func startProfile() (stop func()) {
	name := os.Getenv("CPUPROFILE")
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
		if heap, err := os.Create(name + ".heap"); err == nil {
			runtime.GC()
			_ = pprof.WriteHeapProfile(heap) // as above
			_ = heap.Close()
		}
	}
}
