package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"
)

// walkFor bounds how long a walk looks for rows behind places that cannot be
// read: a start must not take long.
const walkFor = 250 * time.Millisecond

// walker reads the rows of one table by their places in the file. Where some
// cannot be read it halves the range again and again, and so comes around them.
type walker struct {
	db    *sql.DB
	table table
	// row gets each row that was read, sound or not; its error ends the walk.
	row func(rowid int64, row []any, sound bool) error
	// tolerant walks go on behind what cannot be read; others end there.
	tolerant bool
	unread   []places
	// since is when the last row came, failing how long none did.
	since   time.Time
	failing time.Duration
}

// stopError is an error of the walker's row function.
type stopError struct{ error }

// places is a range of places in the file.
type places struct{ lo, hi int64 }

// walk reads the rows at lo to hi. Ranges wait in line, so that a large hole
// does not use up the tries of what lies behind it.
func (w *walker) walk(ctx context.Context, lo, hi int64) error {
	for line := []places{{lo, hi}}; len(line) > 0; line = line[1:] {
		r := line[0]
		w.since = time.Now()
		last, err := w.read(ctx, r)
		if err == nil {
			continue
		}
		w.failing += time.Since(w.since)
		if stop, ok := err.(stopError); ok { //nolint:errorlint // it is made below, and never wrapped
			return stop.error
		}
		if !w.tolerant || ctx.Err() != nil {
			return err
		}
		r.lo = max(r.lo, last+1)
		if r.lo >= r.hi || w.failing > walkFor {
			w.unread = append(w.unread, r)
			continue
		}
		mid := r.lo + (r.hi-r.lo)/2
		line = append(line, places{r.lo, mid}, places{mid + 1, r.hi})
	}
	return nil
}

// gaps counts what could not be read, neighbours as one.
func (w *walker) gaps() int {
	slices.SortFunc(w.unread, func(a, b places) int { return cmp.Compare(a.lo, b.lo) })
	n, end := 0, int64(-1)
	for _, r := range w.unread {
		if r.lo > end+1 {
			n++
		}
		end = max(end, r.hi)
	}
	return n
}

// read gives the rows of one range, and the place of the last that came.
func (w *walker) read(ctx context.Context, r places) (last int64, err error) {
	last = r.lo - 1
	if w.tolerant {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("reading panicked: %v", p)
			}
		}()
	}
	rows, err := w.db.QueryContext(ctx, w.table.query(), r.lo, r.hi)
	if err != nil {
		return last, fmt.Errorf("read table %s: %w", w.table.name, err)
	}
	defer func() { _ = rows.Close() }() // rows.Err below reports
	vals := make([]any, len(w.table.cols)+2)
	to := make([]any, len(vals))
	for i := range vals {
		to[i] = &vals[i]
	}
	for rows.Next() {
		if err := rows.Scan(to...); err != nil {
			return last, fmt.Errorf("read a row of table %s: %w", w.table.name, err)
		}
		rowid, ok := vals[0].(int64)
		if !ok || rowid <= last || rowid > r.hi {
			return last, &damageError{fmt.Errorf("rows of table %s are out of order", w.table.name)}
		}
		last = rowid
		crc, ok := vals[len(vals)-1].(int64)
		row := vals[1 : len(vals)-1 : len(vals)-1]
		sound := ok && w.table.sound(row, crc)
		if sound {
			row = w.table.present(row)
		}
		if err := w.row(rowid, row, sound); err != nil {
			return last, stopError{err}
		}
		w.since = time.Now()
	}
	if err := rows.Err(); err != nil {
		return last, fmt.Errorf("read table %s: %w", w.table.name, err)
	}
	return last, nil
}

// last is the place of the table's last row, or a guess where that cannot be
// told.
func (w *walker) last(ctx context.Context, guess int64) int64 {
	var last sql.NullInt64
	if err := w.db.QueryRowContext(ctx, "SELECT max(rowid) FROM "+w.table.name).Scan(&last); err != nil {
		return guess
	}
	return last.Int64
}
