package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fieldmedic/internal/diagnose"
)

// socketHelp is what the commands that ask the service say of it; serviceHelp
// has the exit codes of list and show behind it.
const (
	socketHelp = `The service is asked over its control socket, fieldmedic.sock, which is looked
for in $RUNTIME_DIRECTORY, in /run/fieldmedic and in the state directory.`
	serviceHelp = socketHelp + `

Exit code: 0 when nothing is open, 3 when a critical or major fault is open,
4 when only minor ones, warnings or infos are, 1 when no service answers. What a
person ignores is shown and does not count.`
)

func newList() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the open faults of the running service",
		Long: `List what is open at the running service, worst first.

` + serviceHelp,
		Example: `  fieldmedic list
  fieldmedic list -o json | jq -r '.[] | [.device, .action] | @tsv'`,
		Args: noArguments,
	}
	addServiceFlags(cmd)
	output := addOutput(cmd, formatText)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx, cancel := context.WithTimeout(cmd.Context(), serviceTimeout)
		defer cancel()
		open, devices, err := openDiagnoses(ctx, cmd)
		if err != nil {
			return err
		}
		if output.word == formatJSON {
			err = printJSON(cmd.OutOrStdout(), open)
		} else {
			err = printOpen(cmd.OutOrStdout(), open, devices, time.Now())
		}
		return cmp.Or(err, openExit(open))
	}
	return cmd
}

// openDiagnoses asks the service for all that is open, worst first, and how
// many devices it knows.
func openDiagnoses(ctx context.Context, cmd *cobra.Command) ([]diagnose.DiagnosisJSON, int, error) {
	service, err := dialService(cmd)
	if err != nil {
		return nil, 0, err
	}
	site, err := service.Site(ctx)
	if err != nil {
		return nil, 0, asked(err)
	}
	open, devices := stillOpen([]diagnose.DiagnosisJSON{}, site), 0
	for snapshot, err := range service.Devices(ctx) {
		if err != nil {
			return nil, 0, asked(err)
		}
		open = stillOpen(open, snapshot)
		devices++
	}
	slices.SortStableFunc(open, worstFirst)
	return open, devices, nil
}

// stillOpen adds the open diagnoses of a snapshot.
func stillOpen(open []diagnose.DiagnosisJSON, s diagnose.SnapshotJSON) []diagnose.DiagnosisJSON {
	for _, d := range s.Diagnoses {
		if d.Open() {
			open = append(open, d)
		}
	}
	return open
}

// worstFirst orders open diagnoses of several devices as a snapshot orders
// those of one.
func worstFirst(a, b diagnose.DiagnosisJSON) int {
	ignored := func(d diagnose.DiagnosisJSON) int {
		if d.Ignored != nil {
			return 1
		}
		return 0
	}
	return cmp.Or(
		ignored(a)-ignored(b),
		a.Severity.Rank()-b.Severity.Rank(),
		a.FirstSeen.Compare(b.FirstSeen.Time),
		strings.Compare(string(a.Device), string(b.Device)),
	)
}

// openExit is the exit code for what is open, as an error without a text; nil
// when nothing is.
func openExit(open []diagnose.DiagnosisJSON) error {
	code := 0
	for _, d := range open {
		switch {
		case !d.Open() || d.Ignored != nil:
		case d.Severity.Rank() <= diagnose.Major.Rank():
			return &exitError{code: exitFaults}
		default:
			code = exitWarnings
		}
	}
	if code == 0 {
		return nil
	}
	return &exitError{code: code}
}

// printOpen prints a table of what is open.
func printOpen(w io.Writer, open []diagnose.DiagnosisJSON, devices int, now time.Time) error {
	if len(open) == 0 {
		_, err := fmt.Fprintf(w, "Nothing is open. Devices known: %d.\n", devices)
		return err
	}
	head := []column{{"DEVICE", 24}, {"SEVERITY", 8}, {"WHAT IS WRONG", 0}, {"ACTION", 21}, {"SINCE", 7}}
	rows := make([][]string, len(open))
	for i, d := range open {
		rows[i] = []string{
			deviceName(d.Device), string(d.Severity), visible(d.Title) + remarks(d.Diagnosis), string(d.Action),
			ago(now.Sub(d.FirstSeen.Time)),
		}
	}
	return printTable(w, textWidth(w), head, rows)
}

// deviceName is a device as it is shown; what is the site's has none.
func deviceName(id diagnose.DeviceID) string { return visible(cmp.Or(string(id), "(site)")) }

// remarks are what one must know of an open diagnosis besides its title.
func remarks(d diagnose.Diagnosis) string {
	var list []string
	add := func(holds bool, word string) {
		if holds {
			list = append(list, word)
		}
	}
	add(d.Ignored != nil, "ignored")
	add(d.Acknowledged != nil, "acknowledged")
	add(d.Flapping != nil, "comes and goes")
	add(d.ExplainedBy != "", "explained by another")
	add(d.Stale, "last known state")
	if len(list) == 0 {
		return ""
	}
	return " (" + strings.Join(list, ", ") + ")"
}
