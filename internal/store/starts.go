package store

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Starts that failed by themselves are remembered, so that a file which the
// program cannot live with does not stop it for ever. A process that was killed
// while it opened the store leaves nothing here.
const (
	startsName = "fieldmedic.starts"
	// After startsMost failures within startsSpan everything is set aside.
	startsMost = 3
	startsSpan = 5 * time.Minute
)

// failedStarts are those within the span before now.
func (s *Store) failedStarts(now time.Time) []time.Time {
	b, err := os.ReadFile(filepath.Join(s.opts.Dir, startsName))
	if err != nil {
		return nil // what cannot be read says nothing
	}
	var list []time.Time
	for line := range strings.FieldsSeq(string(b)) {
		if ms, err := strconv.ParseInt(line, 10, 64); err == nil {
			if at := time.UnixMilli(ms); !at.After(now) && now.Sub(at) < startsSpan {
				list = append(list, at)
			}
		}
	}
	return list
}

// noteFailedStart remembers one, and tells whether that is too many.
func (s *Store) noteFailedStart(now time.Time) bool {
	list := append(s.failedStarts(now), now)
	list = slices.Clone(list[max(0, len(list)-startsMost):])
	var b []byte
	for _, at := range list {
		b = append(strconv.AppendInt(b, at.UnixMilli(), 10), '\n')
	}
	s.trouble("remember a failed start", os.WriteFile(filepath.Join(s.opts.Dir, startsName), b, 0o600))
	return len(list) >= startsMost
}

func (s *Store) forgetFailedStarts() {
	err := os.Remove(filepath.Join(s.opts.Dir, startsName))
	if os.IsNotExist(err) {
		err = nil
	}
	s.trouble("forget failed starts", err)
}
