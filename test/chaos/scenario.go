package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// scenario is a fault that is staged once, with figures of its own; the faults
// that come by seed are in faults.go.
type scenario struct {
	mode, matrix              string
	fault, injection, promise string
	// run stages it; an error says that it could not be staged, not that a
	// promise was broken.
	run func(ctx context.Context, e *env) (finding, error)
}

// finding is what a scenario showed.
type finding struct {
	figures []string
	broken  []string
}

func (f *finding) say(format string, args ...any) {
	f.figures = append(f.figures, fmt.Sprintf(format, args...))
}

// want says what is broken where it does not hold.
func (f *finding) want(ok bool, format string, args ...any) {
	if !ok {
		f.broken = append(f.broken, fmt.Sprintf(format, args...))
	}
}

// env is what scenarios are staged with.
type env struct {
	binary string
	seed   uint64
	scale  float64 // of the counts that the promises name
	during time.Duration
	keep   bool
}

// scaled is a count of a promise, smaller where it is only tried out.
func (e *env) scaled(n int) int { return max(1, int(float64(n)*e.scale)) }

// notHere is the error of what this machine does not allow.
type notHere struct{ why string }

func (e notHere) Error() string { return "not possible here: " + e.why }

// scenarios are all of them.
func scenarios() []scenario {
	return slices.Concat(poisonScenarios(), floodScenarios(), queueScenarios(), rivalScenarios(),
		accessScenarios(), tlsScenarios(), configScenarios(), commitScenarios())
}

// scenarioModes are their modes, each once; modeMatrix is all of them.
func scenarioModes() []string {
	list := []string{modeMatrix}
	for _, s := range scenarios() {
		if !slices.Contains(list, s.mode) {
			list = append(list, s.mode)
		}
	}
	return list
}

const modeMatrix = "matrix"

// perform runs the scenarios of a mode one after the other.
func perform(ctx context.Context, e *env, mode string) ([]line, []error) {
	var lines []line
	var broken []error
	for _, s := range scenarios() {
		if mode != modeMatrix && mode != s.mode || ctx.Err() != nil {
			continue
		}
		start := time.Now()
		f, err := s.run(ctx, e)
		if err != nil {
			fmt.Printf("%s, %s: %v\n", s.mode, s.fault, err)
			if _, no := errors.AsType[notHere](err); !no {
				broken = append(broken, fmt.Errorf("%s: %w", s.fault, err))
			}
			continue
		}
		figure := strings.Join(f.figures, "; ")
		fmt.Printf("%s, %s (%s): %s\n", s.mode, s.fault, time.Since(start).Round(time.Second), figure)
		for _, b := range f.broken {
			fmt.Println("  broken: " + b)
			broken = append(broken, fmt.Errorf("%s: %s", s.fault, firstLine(b)))
		}
		if len(f.broken) > 0 {
			figure += ". Broken: " + strings.Join(f.broken[:min(len(f.broken), 3)], "; ")
		}
		lines = append(lines, line{
			matrix: s.matrix, mode: s.mode, fault: s.fault, injection: s.injection, promise: s.promise,
			figure: figure, held: len(f.broken) == 0, date: today(),
		})
	}
	return lines, broken
}

// spool is a directory of a scenario; done removes it.
func (e *env) spool() (dir string, done func(), err error) {
	dir, err = os.MkdirTemp("", "fieldmedic-chaos-")
	return dir, func() {
		if e.keep {
			fmt.Fprintln(os.Stderr, "chaos: kept", dir)
			return
		}
		_ = os.RemoveAll(dir) // a temporary directory
	}, err
}
