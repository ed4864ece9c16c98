package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"fieldmedic/internal/web"
)

func newToken() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token FILE",
		Short: "Make a token for page and API",
		Long: `Make a token for page and API, print it once, and append its hash to FILE, which
is what web.token_file names. The token itself is stored nowhere: who loses it
makes another and takes the line out. A reader may look at everything, and a
technician may decide, too. The service takes the file over at its next reload
(SIGHUP).`,
		Example: `  fieldmedic token /etc/fieldmedic/tokens
  fieldmedic token /etc/fieldmedic/tokens --role reader`,
		Args: cobra.ExactArgs(1),
	}
	role := addChoice(cmd, "role", "", string(web.Technician), "what its holder may do", string(web.Technician), string(web.Reader))
	output := addOutput(cmd, formatText)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		token := rand.Text()
		line, err := web.HashToken(web.Role(role.word), token)
		if err != nil {
			return &exitError{exitFailed, err}
		}
		if err := appendLine(args[0], line); err != nil {
			return &exitError{exitFailed, fmt.Errorf("store the token's hash: %w", err)}
		}
		if output.word == formatJSON {
			return printJSON(cmd.OutOrStdout(), map[string]string{"token": token, "role": role.word, "file": args[0]})
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "A token for a %s. It is shown this once; its hash is in %s.\n", role.word, args[0])
		_, err = fmt.Fprintln(cmd.OutOrStdout(), token)
		return err
	}
	return cmd
}

// appendLine adds a line to a file that nobody else may read; a last line
// without an end gets one first.
func appendLine(file, line string) error {
	before, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return plainFileError(err)
	}
	if n := len(before); n > 0 && before[n-1] != '\n' {
		line = "\n" + line
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return plainFileError(err)
	}
	if _, err := f.WriteString(line + "\n"); err != nil {
		return errors.Join(err, f.Close())
	}
	return errors.Join(f.Sync(), f.Close())
}
