package store

import (
	"database/sql"
	"fmt"

	"fieldmedic/internal/diagnose"
)

// This file gives events up that were not published, when the outbox is full.

// inFlight bounds the events above the cursor that may be on their way to the
// broker: the publisher's window, and a page of what it reads at a time. They
// are given up last, for nobody would tell of the loss: the place of the
// "dropped" has been passed.
const inFlight = 512

// run is a run of events that were given up, and the entry in their place.
type run struct {
	Range
	events int64 // given up now; others were before
	entry  diagnose.LogEntry
}

// giveUp gives events up that were not published yet.
func (s *Store) giveUp(w *writer, c *cut, cursor, bytes int64, rows int) error {
	kept, err := s.inFlight(w, cursor)
	if err != nil {
		return err
	}
	for _, pass := range []struct {
		above    int64
		critical bool
	}{{max(c.skip, kept), false}, {kept, true}, {cursor, true}} {
		list, err := look(w, pass.above, s.seq.Load(), rows, bytes-c.freed, func(r *outRow) bool {
			return !r.dropped && (!r.critical || pass.critical)
		})
		if err != nil {
			return err
		}
		runs := c.choose(list, pass.critical, bytes)
		for i := range runs {
			r := &runs[i]
			w.direct("DELETE FROM log WHERE seq BETWEEN ? AND ?", r.From, r.To)
			r.entry = w.dropped(*s.epoch.Load(), r.Range, s.opts.Now(), s.opts.ClockSuspect())
		}
		c.runs = append(c.runs, runs...)
		if n := len(list); !pass.critical && n > 0 {
			c.skip = list[n-1].From - 1
			if len(runs) > 0 && c.freed >= bytes {
				c.skip = runs[len(runs)-1].From - 1
			}
		}
		if w.err != nil || c.freed >= bytes || !pass.critical && len(list) == rows {
			return w.err // there may be more behind: the next commit looks there
		}
		c.all = pass.above == cursor && len(list) < rows
	}
	return w.err
}

// inFlight is the last number that may be on its way to the broker.
func (s *Store) inFlight(w *writer, cursor int64) (int64, error) {
	handed := s.handed.Load()
	if handed <= cursor {
		return cursor, nil
	}
	var last sql.NullInt64
	err := w.tx.QueryRowContext(w.ctx, "SELECT max(seq) FROM (SELECT seq FROM log WHERE seq > ? ORDER BY seq LIMIT ?)", cursor, inFlight).Scan(&last)
	if err != nil {
		return 0, fmt.Errorf("look at the outbox: %w", err)
	}
	return max(cursor, min(handed, last.Int64)), nil
}

// choose picks rows until the bytes are free. Neighbours make one run, and so do
// they with one that was given up before.
func (c *cut) choose(list []outRow, critical bool, bytes int64) []run {
	var runs []run
	open := false
	for _, r := range list {
		if !r.dropped && (r.critical && !critical || c.freed >= bytes) {
			open = false
			if c.freed >= bytes {
				break
			}
			continue
		}
		if !open {
			runs = append(runs, run{Range: Range{r.From, r.From - 1}})
			open = true
		}
		last := &runs[len(runs)-1]
		last.To = r.To
		if !r.dropped {
			last.events++
			c.freed += r.bytes
		}
	}
	kept := runs[:0]
	for _, r := range runs {
		if r.events > 0 {
			kept = append(kept, r)
		}
	}
	return kept
}
