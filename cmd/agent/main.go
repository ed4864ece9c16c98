// Fieldmedic turns the error numbers of devices into what is wrong and what to
// do. This package is the program: its commands, its configuration, and the
// wiring of the rooms, which nobody else knows all of.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit codes (contract section 6).
const (
	exitFailed   = 1 // it could not be done
	exitUsage    = 2 // usage, configuration or rules are wrong
	exitFaults   = 3 // faults were found
	exitWarnings = 4 // only warnings were found
)

// exitError ends the program with a code. An empty message prints nothing.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usage marks an error as the caller's to mend.
func usage(err error) error { return &exitError{exitUsage, err} }

func main() {
	stopProfile := startProfile()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	stopProfile()
	os.Exit(code)
}

// execute runs one command line and answers the exit code.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(markNumbers(args))
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	var exit *exitError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, syscall.EPIPE):
		return 0 // the reader has seen enough
	case errors.As(err, new(*fs.PathError)):
		exit = &exitError{exitFailed, err} // an output that takes nothing
	case !errors.As(err, &exit):
		// What cobra itself refuses: an unknown command, flag or argument.
		exit = &exitError{exitUsage, err}
	}
	if text := exit.Error(); text != "" {
		fmt.Fprintln(stderr, "fieldmedic:", text)
	}
	return exit.code
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "fieldmedic",
		Short: "Turns device error numbers into what is wrong and what to do",
		Long: `Fieldmedic listens to the devices of a site over MQTT, turns the error numbers of
the vendor's SDK into conditions with ranked causes, and publishes what to do.`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage(err) })
	root.AddCommand(
		newRun(), newDemo(), newCode(), newCheck(), newList(), newShow(), newProbe(), newReplay(), newToken(), newVersion(),
	)
	for _, v := range decisions() {
		root.AddCommand(newDecision(v))
	}
	return root
}

// noArguments is for commands that take flags only.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes no argument, but there is %q (see --help)", cmd.Name(), args[0])
	}
	return nil
}

// numberMark stands before an argument like -4013, which would else be taken
// for flags. It cannot come from a command line by accident.
const numberMark = "\x01"

// markNumbers marks arguments that are negative numbers, in place: their order
// among flags may mean something.
func markNumbers(args []string) []string {
	marked := make([]string, len(args))
	for i, arg := range args {
		if isNegativeNumber(arg) {
			arg = numberMark + arg
		}
		marked[i] = arg
	}
	return marked
}

func isNegativeNumber(arg string) bool {
	if len(arg) < 2 || arg[0] != '-' {
		return false
	}
	for _, c := range arg[1:] {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// version is set by the linker for releases; otherwise it is what the build
// knows of the repository.
var version = ""

func versionText() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "devel-" + s.Value[:12]
		}
	}
	return "devel"
}
