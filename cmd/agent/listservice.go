package main

import (
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"fieldmedic/internal/web"
)

// This file is how commands find the running service.

const (
	// serviceTimeout is how long a command waits for the service's answers.
	serviceTimeout = 20 * time.Second
	// systemRuntime is where the packaged service has its socket.
	systemRuntime = "/run/fieldmedic"
	socketName    = "fieldmedic.sock"
)

func addServiceFlags(cmd *cobra.Command) {
	cmd.Flags().String("socket", "", "control `socket` of the service (default: see above)")
	cmd.Flags().StringP("config", "c", "", "configuration `file` that names the state directory")
}

// dialService is a client of the service that runs.
func dialService(cmd *cobra.Command) (*web.Client, error) {
	paths, err := servicePaths(cmd)
	if err != nil {
		return nil, err
	}
	return web.Dial(paths...), nil
}

// servicePaths are the places where the socket may be, in the order of
// contract section 1.
func servicePaths(cmd *cobra.Command) ([]string, error) {
	if path, err := cmd.Flags().GetString("socket"); err != nil || path != "" {
		return []string{path}, err
	}
	var dirs []string
	if dir := os.Getenv("RUNTIME_DIRECTORY"); dir != "" {
		dirs = append(dirs, dir)
	}
	dirs = append(dirs, systemRuntime)
	// The service's configuration may have mistakes, or secrets that are not
	// ours to read: no reason not to look where it says the state is.
	switch cfg, err := loadConfig(cmd.Flags()); {
	case cfg != nil:
		dirs = append(dirs, cfg.State.Dir)
	case cmd.Flags().Changed("config"):
		return nil, usage(err)
	default:
		dirs = append(dirs, stateDir())
	}
	var paths []string
	for _, dir := range dirs {
		path := filepath.Join(dir, socketName)
		if dir != "" && !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
	}
	return paths, nil
}

// asked marks what the service answered, or why it did not, as what could not
// be done; the client's errors are whole sentences.
func asked(err error) error { return &exitError{exitFailed, err} }
