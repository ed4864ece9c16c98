package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"fieldmedic/internal/diagnose"
)

// The newest entries stay in memory, so that a publisher which keeps up never
// asks the file: up to tailSize of them, and as many as have tailBytes in their
// bodies together, which for events of one device is about the same.
const (
	tailSize  = 1024
	tailBytes = 2 << 20
)

// tail holds the newest log entries in order of seq: all that the log has from
// low on.
type tail struct {
	mu      sync.Mutex
	low     int64
	entries []diagnose.LogEntry
	bytes   int
}

func (t *tail) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.low, t.entries, t.bytes = 0, nil, 0
}

func (t *tail) add(entries []diagnose.LogEntry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.low == 0 {
		t.low = entries[0].Seq
	}
	for _, e := range entries {
		e.At = time.UnixMilli(e.At.UnixMilli()) // as the file has it
		t.entries = append(t.entries, e)
		t.bytes += len(e.Body)
	}
	over := 0
	for len(t.entries)-over > tailSize || t.bytes > tailBytes {
		t.bytes -= len(t.entries[over].Body)
		t.low = t.entries[over].Seq + 1
		over++
	}
	clear(t.entries[:over]) // the array stays in use until it is full
	t.entries = t.entries[over:]
}

// cut follows the log: what is not above floor is gone, and each run has the
// entry that stands for it in its place.
func (t *tail) cut(floor int64, runs []run) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.low == 0 {
		return
	}
	t.low = max(t.low, floor+1)
	t.entries = slices.DeleteFunc(t.entries, func(e diagnose.LogEntry) bool { return e.Seq <= floor })
	for _, r := range runs {
		at, _ := t.find(r.From)
		end, _ := t.find(r.To + 1)
		t.entries = slices.Delete(t.entries, at, end)
		if r.From >= t.low {
			t.entries = slices.Insert(t.entries, at, r.entry)
		} else if r.To >= t.low {
			t.low = r.To + 1
		}
	}
	t.bytes = 0
	for i := range t.entries {
		t.bytes += len(t.entries[i].Body)
	}
}

// find is the place of the first entry that is not below seq.
func (t *tail) find(seq int64) (int, bool) {
	return slices.BinarySearchFunc(t.entries, seq, func(e diagnose.LogEntry, seq int64) int { return cmp.Compare(e.Seq, seq) })
}

// after answers from memory, or false when the file must be asked.
func (t *tail) after(seq int64, limit int) ([]diagnose.LogEntry, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.low == 0 || seq+1 < t.low {
		return nil, false
	}
	from, _ := t.find(seq + 1)
	to := min(from+limit, len(t.entries))
	return slices.Clone(t.entries[from:to]), true
}

// After returns up to limit entries of the log above seq, in order. A row that
// does not match its checksum is left out and logged: what is behind it must
// not wait for it. Where events were given up, the first of them has an entry of
// type "dropped" in its place.
func (s *Store) After(ctx context.Context, seq int64, limit int) ([]diagnose.LogEntry, error) {
	if s.seq.Load() <= seq {
		return nil, nil
	}
	entries, ok := s.tail.after(seq, limit)
	for last := int64(1); !ok && len(entries) == 0 && last != 0; {
		var err error
		if entries, last, err = s.entries(ctx, "WHERE seq > ? ORDER BY seq LIMIT ?", seq, limit); err != nil {
			return nil, s.reading(err)
		}
		seq = last // all of these are damaged: look behind them
	}
	if n := len(entries); n > 0 {
		raise(&s.handed, entries[n-1].Seq)
	}
	return entries, nil
}

// raise moves a counter that never goes back.
func raise(counter *atomic.Int64, to int64) {
	for {
		was := counter.Load()
		if to <= was || counter.CompareAndSwap(was, to) {
			return
		}
	}
}

// History returns up to limit of a device's newest entries, oldest first.
func (s *Store) History(ctx context.Context, device string, limit int) ([]diagnose.LogEntry, error) {
	entries, _, err := s.entries(ctx, "WHERE device = ? ORDER BY seq DESC LIMIT ?", device, limit)
	slices.Reverse(entries)
	return entries, s.reading(err)
}

// entries reads rows of the log, and tells the number of the last one, good or
// damaged; 0 when there was none.
func (s *Store) entries(ctx context.Context, where string, args ...any) (entries []diagnose.LogEntry, seq int64, err error) {
	rows, err := s.read().QueryContext(ctx, "SELECT seq, at, device, condition, type, severity, event_id, body, n, crc FROM log "+where, args...)
	if err != nil {
		return nil, 0, fmt.Errorf("read the log: %w", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err below reports
	for rows.Next() {
		var e diagnose.LogEntry
		var at, n, crc int64
		if err := rows.Scan(&e.Seq, &at, &e.Device, &e.Condition, &e.Type, &e.Severity, &e.EventID, &e.Body, &n, &crc); err != nil {
			return nil, 0, fmt.Errorf("read a row of the log: %w", err)
		}
		seq = e.Seq
		if sum(e.Seq, at, e.Device, e.Condition, string(e.Type), string(e.Severity), e.EventID, e.Body, n) != crc {
			s.opts.Log.Error("a row of the log is damaged and left out", "seq", e.Seq, "err", s.reading(errDamaged))
			continue
		}
		e.At = time.UnixMilli(at)
		entries = append(entries, e)
	}
	if err := rows.Err(); err != nil {
		return nil, 0, fmt.Errorf("read the log: %w", err)
	}
	return entries, seq, nil
}

// Cursor is the sequence number up to which every event was published.
func (s *Store) Cursor() int64 { return s.cursor.Load() }

// Seq is the highest sequence number that is durable.
func (s *Store) Seq() int64 { return s.seq.Load() }

// Published moves the cursor. It reaches the file with the next commit, or
// within a second: after a crash that much is published again.
func (s *Store) Published(seq int64) { raise(&s.cursor, seq) }

// saveCursor writes the cursor when no commit took it along.
func (s *Store) saveCursor(ctx context.Context) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	cursor := s.cursor.Load()
	if cursor == s.saved.Load() || s.broken.Load() != nil {
		return nil
	}
	text := strconv.FormatInt(cursor, 10)
	if _, err := s.pools.Load().stmts.meta.ExecContext(ctx, metaCursor, text, sum(metaCursor, text)); err != nil {
		return s.failed(ctx, fmt.Errorf("save the publish cursor: %w", err), false)
	}
	s.saved.Store(cursor)
	s.note()
	return nil
}
