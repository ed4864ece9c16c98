package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fieldmedic/internal/diagnose"
	"fieldmedic/internal/rules"
	"fieldmedic/internal/web"
)

// showEvents is how many of a device's newest events are shown.
const showEvents = 100

func newShow() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show DEVICE",
		Short: "Show one device: what is wrong, what to do, and its timeline",
		Long: `Show what the running service knows of one device: its health, each open
diagnosis with its causes, evidence and steps, and its timeline.

` + serviceHelp,
		Example: `  fieldmedic show ac-7
  fieldmedic show ac-7 --for technician
  fieldmedic show ac-7 -o json`,
		Args: cobra.ExactArgs(1),
	}
	addServiceFlags(cmd)
	readers := make([]string, 0, len(diagnose.Audiences()))
	for _, a := range diagnose.Audiences() {
		readers = append(readers, string(a))
	}
	reader := addChoice(cmd, "for", "", "", "whose steps to show (default: those of the reader it addresses)", readers...)
	lang := cmd.Flags().String("lang", "", "`language` of the texts (default: the service's first)")
	output := addOutput(cmd, formatText)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx, cancel := context.WithTimeout(cmd.Context(), serviceTimeout)
		defer cancel()
		device := strings.TrimPrefix(args[0], numberMark) // -4013 may be an id, too
		shown, err := showDevice(ctx, cmd, device)
		if err != nil {
			return err
		}
		if output.word == formatJSON {
			err = printJSON(cmd.OutOrStdout(), shown)
		} else {
			t := showText{
				reader: diagnose.Audience(reader.word), lang: *lang, width: textWidth(cmd.OutOrStdout()), now: time.Now(),
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), t.all(shown))
		}
		return cmp.Or(err, openExit(shown.Diagnoses))
	}
	return cmd
}

// shownDevice is a device's snapshot with its timeline, oldest first.
type shownDevice struct {
	diagnose.SnapshotJSON
	Events []diagnose.Event `json:"events"`
}

// showDevice asks the service for one device.
func showDevice(ctx context.Context, cmd *cobra.Command, device string) (shownDevice, error) {
	service, err := dialService(cmd)
	if err != nil {
		return shownDevice{}, err
	}
	shown := shownDevice{Events: []diagnose.Event{}}
	shown.SnapshotJSON, err = service.Device(ctx, device)
	var said *web.Error
	if errors.As(err, &said) && said.Status == http.StatusNotFound {
		return shown, unknownDevice(ctx, service, device)
	}
	if err != nil {
		return shown, asked(err)
	}
	events, err := service.Events(ctx, device, -1, showEvents)
	if err != nil {
		return shown, asked(err)
	}
	shown.Events = append(shown.Events, events...)
	return shown, nil
}

// unknownDevice says that there is no such device, and which may be meant.
func unknownDevice(ctx context.Context, service *web.Client, device string) error {
	hint := "it was never heard, and is not in the inventory"
	var ids []string
	for snapshot, err := range service.Devices(ctx) {
		if err != nil {
			return asked(err)
		}
		ids = append(ids, string(snapshot.Device))
	}
	if near := rules.Nearest(device, ids); near != "" {
		hint = "did you mean " + visible(near) + "?"
	}
	return &exitError{exitFailed, fmt.Errorf("no device %s is known (%s)", visible(device), hint)}
}
