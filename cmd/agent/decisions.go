package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"fieldmedic/internal/diagnose"
)

// This file is the commands that tell the running service what a person
// decided: one for each verb that changes something.

// decision describes the command of one verb.
type decision struct {
	verb    diagnose.Verb
	short   string
	long    string
	example string
	// done is what is said when it was carried out.
	done string
	// condition: it may be about one condition; siteWide: also about that
	// condition on every device; until: it may end by itself; note: it takes
	// words, which must be there where needNote is set.
	condition, siteWide, until, note, needNote bool
}

// decisions are the verbs of contract section 6, and those that take them back.
func decisions() []decision {
	return []decision{
		{
			verb: diagnose.Recheck, condition: true, done: "checking again",
			short:   "Check again which cause it is",
			long:    "Ask the service to check again, now, which cause the open faults of a device have.",
			example: "  fieldmedic recheck ac-7\n  fieldmedic recheck ac-7 dns-resolution-failed",
		},
		{
			verb: diagnose.Acknowledge, condition: true, siteWide: true, until: true, note: true, done: "acknowledged",
			short: "Say that somebody is on it",
			long: "Say that somebody is on the open faults of a device. They stay open and count as\nbefore; " +
				"who is on it is shown. It holds through clear, re-opening and restart.",
			example: "  fieldmedic acknowledge ac-7 --note \"on my way\"\n  fieldmedic acknowledge ac-7 device-lost --until 4h",
		},
		{
			verb: diagnose.Unacknowledge, condition: true, siteWide: true, done: "not acknowledged any more",
			short: "Take back that somebody is on it", long: "Take back an acknowledgement.",
			example: "  fieldmedic unacknowledge ac-7",
		},
		{
			verb: diagnose.Ignore, condition: true, siteWide: true, until: true, note: true, done: "ignored",
			short: "Keep a fault from counting",
			long: "Keep faults from counting for a device's health: they stay listed, and nobody is\ncalled for them. " +
				"It holds through clear, re-opening and restart, until its end or until\nit is taken back.",
			example: "  fieldmedic ignore ac-7 firmware-too-old --note \"replaced in May\" --until 720h\n  fieldmedic ignore --site device-locked",
		},
		{
			verb: diagnose.Unignore, condition: true, siteWide: true, done: "counts again",
			short: "Let an ignored fault count again", long: "Take back that faults are ignored.",
			example: "  fieldmedic unignore ac-7",
		},
		{
			verb: diagnose.AddNote, condition: true, siteWide: true, note: true, needNote: true, done: "noted",
			short: "Leave words for the next person", long: "Leave words on the open faults of a device; the newest 20 stay.",
			example: "  fieldmedic note ac-7 --note \"connector was loose, reseated\"",
		},
		{
			verb: diagnose.Resolve, condition: true, siteWide: true, done: "closed",
			short: "Close a fault by hand",
			long: "Close the open faults of a device by hand: for those that no signal ends. A fault\nthat is still there " +
				"comes back with its next report.",
			example: "  fieldmedic resolve ac-7 no-permission",
		},
		{
			verb: diagnose.Forget, done: "forgotten",
			short: "Let go of a device that was removed",
			long: "Let go of a device: what is open on it ends as retired, and its topic is emptied.\n" +
				"A device that reports again is known again.",
			example: "  fieldmedic forget ac-7",
		},
	}
}

func newDecision(v decision) *cobra.Command {
	args := "DEVICE"
	if v.condition {
		args += " [CONDITION]"
	}
	if v.siteWide {
		args += " | --site CONDITION"
	}
	cmd := &cobra.Command{
		Use: string(v.verb) + " " + args, Short: v.short, Long: v.long + "\n\n" + socketHelp, Example: v.example,
		Args: cobra.RangeArgs(1, 2),
	}
	if !v.condition {
		cmd.Args = cobra.ExactArgs(1)
	}
	addServiceFlags(cmd)
	var site bool
	var note, until, by string
	cmd.Flags().StringVar(&by, "by", userName(), "`name` of who says it")
	if v.siteWide {
		cmd.Flags().BoolVar(&site, "site", false, "the condition on every device, also later")
	}
	if v.note {
		cmd.Flags().StringVarP(&note, "note", "n", "", "`words` that are shown with it")
	}
	if v.until {
		cmd.Flags().StringVar(&until, "until", "", "when it ends: a `time`, or how long it holds (4h)")
	}
	output := addOutput(cmd, formatText)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r := diagnose.Request{Verb: v.verb, Transaction: uuid.NewString(), By: by, Note: note}
		if err := v.aim(&r, args, site); err != nil {
			return usage(err)
		}
		if v.needNote && strings.TrimSpace(note) == "" {
			return usage(errors.New("there is nothing to note (--note \"...\")"))
		}
		var err error
		if r.Until, err = untilWhen(until, time.Now()); err != nil {
			return usage(err)
		}
		return v.send(cmd, r, output.word)
	}
	return cmd
}

// aim says what a request is about.
func (v decision) aim(r *diagnose.Request, args []string, site bool) error {
	for i := range args {
		args[i] = strings.TrimPrefix(args[i], numberMark) // -4013 may be an id, too
	}
	switch {
	case site && len(args) != 1:
		return fmt.Errorf("--site takes one condition, there are %d arguments (fieldmedic %s --site CONDITION)", len(args), v.verb)
	case site:
		r.Scope, r.Condition = string(diagnose.ScopeSite), &args[0]
	default:
		r.Device = &args[0]
		if len(args) == 2 {
			r.Condition = &args[1]
		}
	}
	return nil
}

// send asks the service to carry a request out.
func (v decision) send(cmd *cobra.Command, r diagnose.Request, format string) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), serviceTimeout)
	defer cancel()
	service, err := dialService(cmd)
	if err != nil {
		return err
	}
	answer, err := service.Decide(ctx, r)
	if err != nil {
		return asked(err)
	}
	if format == formatJSON {
		err = printJSON(cmd.OutOrStdout(), answer)
	} else if answer.OK {
		_, err = fmt.Fprintln(cmd.OutOrStdout(), v.done)
	}
	if err == nil && !answer.OK {
		return asked(errors.New(answer.Error))
	}
	return err
}

// untilWhen reads the end of a decision: a time, or how long from now.
func untilWhen(text string, now time.Time) (diagnose.Stamp, error) {
	if text == "" {
		return diagnose.Stamp{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return diagnose.Stamp{Time: now.Add(d).UTC().Truncate(time.Millisecond)}, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return diagnose.Stamp{}, fmt.Errorf("--until %q is neither a time nor how long (2026-12-24T18:00:00Z, 4h, 30m)", text)
	}
	return diagnose.Stamp{Time: at}, nil
}

// userName is who sits at the terminal, as far as the environment says; behind
// sudo it is the person, not root.
func userName() string {
	return cmp.Or(os.Getenv("SUDO_USER"), os.Getenv("USER"), os.Getenv("LOGNAME"))
}
