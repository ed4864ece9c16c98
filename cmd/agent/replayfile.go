package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxRecordedLine holds a packet of 256 KiB with every byte escaped.
const maxRecordedLine = 2 << 20

// recording is one file of recorded messages, read line by line.
type recording struct {
	name string
	scan *bufio.Scanner
	line int
	// next is the message that comes next; ended: there is none.
	next  recorded
	ended bool
}

// openRecordings opens all files; "-" is stdin. The function closes them.
func openRecordings(names []string, stdin io.Reader) ([]*recording, func(), error) {
	var all []*recording
	var files []*os.File
	closeAll := func() {
		for _, f := range files {
			_ = f.Close() // only read
		}
	}
	for _, name := range names {
		if name == "-" {
			all = append(all, newRecording("stdin", stdin))
			continue
		}
		f, err := os.Open(name)
		if err != nil {
			closeAll()
			return nil, nil, fmt.Errorf("open a recording: %w", err)
		}
		files = append(files, f)
		all = append(all, newRecording(name, f))
	}
	return all, closeAll, nil
}

func newRecording(name string, r io.Reader) *recording {
	scan := bufio.NewScanner(r)
	scan.Buffer(make([]byte, 0, 64<<10), maxRecordedLine)
	return &recording{name: name, scan: scan}
}

// advance reads the next message.
func (r *recording) advance() error {
	for r.scan.Scan() {
		r.line++
		line := strings.TrimSpace(r.scan.Text())
		if line == "" {
			continue // where %J lost a payload, among others
		}
		var err error
		if r.next, err = readRecorded(line); err != nil {
			return usage(fmt.Errorf("%s:%d: %w", r.name, r.line, err))
		}
		return nil
	}
	r.ended = true
	switch err := r.scan.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return usage(fmt.Errorf("%s:%d: the line is longer than %d MiB (a recorded message)", r.name, r.line+1, maxRecordedLine>>20))
	case err != nil:
		return &exitError{exitFailed, fmt.Errorf("%s:%d: read a recording: %w", r.name, r.line+1, err)}
	}
	return nil
}

// merge hands the messages of all recordings over by time; at the same time
// those of the file named first. Within a file the order is never changed.
func merge(all []*recording, take func(r *recording, m recorded) error) error {
	for _, r := range all {
		if err := r.advance(); err != nil {
			return err
		}
	}
	for {
		var first *recording
		for _, r := range all {
			if !r.ended && (first == nil || r.next.at.Before(first.next.at)) {
				first = r
			}
		}
		if first == nil {
			return nil
		}
		if err := take(first, first.next); err != nil {
			return err
		}
		if err := first.advance(); err != nil {
			return err
		}
	}
}
