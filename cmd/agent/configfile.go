package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"unicode/utf8"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v4"
)

const (
	defaultConfigFile = "/etc/fieldmedic/fieldmedic.yaml"
	// maxConfig is the largest configuration file in bytes.
	maxConfig = 1 << 20
)

// readConfigFile reads the file that --config names, or the usual one if it is
// there. The name is empty when there is no file.
func readConfigFile(flags *pflag.FlagSet, usual string, found *collector) (string, []byte) {
	file, named := usual, false
	if f := flags.Lookup("config"); f != nil && f.Changed {
		file, named = f.Value.String(), true
	}
	if file == "" {
		found.unreadable("--config", position{}, "the name is empty (a configuration file, as %s)", usual)
		return file, nil
	}
	content, err := readAtMost(file, maxConfig)
	switch {
	case err == nil:
		return file, content
	case !named && errors.Is(err, os.ErrNotExist):
		return "", nil
	}
	found.unreadable(file, position{}, "%v (a file that can be read, 1 MiB at most)", plainFileError(err))
	return file, nil
}

func readAtMost(file string, most int64) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	content, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(content)) > most {
		err = fmt.Errorf("is larger than %d KiB", most>>10)
	}
	return content, err
}

// plainFileError says what the system said, without the path said already.
func plainFileError(err error) error {
	if pathError, ok := errors.AsType[*os.PathError](err); ok {
		return fmt.Errorf("cannot be read: %w", pathError.Err)
	}
	return err
}

// parseYAML reads one document; nil for an empty one or a broken one. It loads
// into nodes, which expands nothing: a small file stays small.
func parseYAML(where string, content []byte, found *collector) *yaml.Node {
	if at, bad := badByte(content); bad {
		found.unreadable(where, at, "this byte is no text (UTF-8 without control characters)")
		return nil
	}
	loader, err := yaml.NewLoader(bytes.NewReader(content))
	if err != nil {
		found.unreadable(where, position{1, 1}, "cannot be read as YAML: %v", err)
		return nil
	}
	var doc, second yaml.Node
	if err := loader.Load(&doc); err != nil {
		syntaxError(where, err, found)
		return nil
	}
	if err := loader.Load(&second); err == nil {
		found.add(where, positionOf(&second), "", "a second document (one document a file)")
	} else if !errors.Is(err, io.EOF) {
		syntaxError(where, err, found)
	}
	if len(doc.Content) != 1 || isNull(doc.Content[0]) {
		return nil
	}
	return doc.Content[0]
}

// rightYAML is what most often is wrong in what is no YAML.
const rightYAML = "indent with blanks, close quotes and brackets, put values with : or # in quotes"

func syntaxError(where string, err error, found *collector) {
	if errors.Is(err, io.EOF) {
		return // an empty file: every key has its default
	}
	if load, ok := errors.AsType[*yaml.LoadError](err); ok {
		at := position{max(1, load.Mark.Line), max(1, load.Mark.Column)}
		found.unreadable(where, at, "cannot be read as YAML: %s (%s)", load.Message, rightYAML)
		return
	}
	found.unreadable(where, position{1, 1}, "cannot be read as YAML: %v (%s)", err, rightYAML)
}

// badByte finds the first byte that YAML may not hold (YAML 1.2.2, 5.1).
func badByte(content []byte) (position, bool) {
	at := position{1, 1}
	for i := 0; i < len(content); {
		r, size := utf8.DecodeRune(content[i:])
		switch {
		case r == '\n':
			at = position{at.line + 1, 0}
		case r == utf8.RuneError && size == 1, r < ' ' && r != '\t' && r != '\r', r == 0x7f:
			return at, true
		}
		at.col++
		i += size
	}
	return position{}, false
}
