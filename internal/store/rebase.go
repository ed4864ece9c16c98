package store

import (
	"bytes"
	"context"
	"fmt"

	"github.com/google/uuid"

	"fieldmedic/internal/diagnose"
)

// Rebase begins a new epoch, so that numbers which somebody else has seen given
// to other events stand for themselves: the events above the cursor get new ids.
// To be called between two turns of the loop.
func (s *Store) Rebase(ctx context.Context) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	w, err := s.begin(ctx)
	if err != nil {
		return s.failed(ctx, err, false)
	}
	defer w.rollback()
	was, is := *s.epoch.Load(), uuid.New()
	rebase(w, s.cursor.Load(), was, is)
	w.meta(metaEpoch, is.String())
	w.meta(metaPrevious, was.String())
	w.meta(metaCommit, fmt.Sprint(w.n))
	if err := w.commit(); err != nil {
		return s.failed(ctx, fmt.Errorf("begin a new epoch: %w", err), false)
	}
	s.commits = w.n
	s.tail.reset()
	s.epoch.Store(&is)
	s.note()
	s.opts.Log.Warn("the store's events are numbered within a new epoch", "epoch", is.String(), "before", was.String())
	return nil
}

// rebaseRows are rewritten at a time.
const rebaseRows = 200

// rebase writes the rows above the cursor anew. They keep the number of their
// commit, by which problems are compared with the log.
func rebase(w *writer, cursor int64, was, is uuid.UUID) {
	for w.err == nil {
		list, err := rows(w, "WHERE seq > ? ORDER BY seq LIMIT ?", cursor, rebaseRows)
		if err != nil {
			w.err = err
		}
		if w.err != nil || len(list) == 0 {
			return
		}
		for _, row := range list {
			e := &row.LogEntry
			id := eventID(is, e.Seq)
			if e.Type == diagnose.Dropped {
				id = droppedID(is, Range{e.Seq, max(e.Seq, endOf(e.Body))})
			}
			body := bytes.Replace(e.Body, []byte(`"`+e.EventID+`"`), []byte(`"`+id+`"`), 1)
			body = bytes.Replace(body, []byte(`"epoch":"`+was.String()+`"`), []byte(`"epoch":"`+is.String()+`"`), 1)
			w.direct("UPDATE log SET event_id = ?, body = ?, crc = ? WHERE seq = ?", id, body,
				sum(e.Seq, row.at, e.Device, e.Condition, string(e.Type), string(e.Severity), id, body, row.n), e.Seq)
			cursor = e.Seq
		}
	}
}

// logRow is a row of the log as the file has it.
type logRow struct {
	diagnose.LogEntry
	at, n int64
}

func rows(w *writer, where string, args ...any) (list []logRow, err error) {
	found, err := w.tx.QueryContext(w.ctx, "SELECT seq, at, device, condition, type, severity, event_id, body, n FROM log "+where, args...)
	if err != nil {
		return nil, fmt.Errorf("read the log: %w", err)
	}
	defer func() { _ = found.Close() }() // Err below reports
	for found.Next() {
		var r logRow
		if err := found.Scan(&r.Seq, &r.at, &r.Device, &r.Condition, &r.Type, &r.Severity, &r.EventID, &r.Body, &r.n); err != nil {
			return nil, fmt.Errorf("read a row of the log: %w", err)
		}
		list = append(list, r)
	}
	if err := found.Err(); err != nil {
		return nil, fmt.Errorf("read the log: %w", err)
	}
	return list, nil
}

// SetAside gives one event up that cannot be published: a "dropped" takes its
// place. Its error says that there is no such event, or what the storage says.
func (s *Store) SetAside(ctx context.Context, seq int64) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	w, err := s.begin(ctx)
	if err != nil {
		return s.failed(ctx, err, false)
	}
	defer w.rollback()
	list, err := rows(w, "WHERE seq = ?", seq)
	if err != nil {
		return s.failed(ctx, err, false)
	}
	if len(list) == 0 {
		return fmt.Errorf("set event %d aside: the log has no such event", seq)
	}
	e := &list[0].LogEntry
	r := run{Range: Range{seq, max(seq, endOf(e.Body))}}
	w.direct("DELETE FROM log WHERE seq = ?", seq)
	r.entry = w.dropped(*s.epoch.Load(), r.Range, s.opts.Now(), s.opts.ClockSuspect())
	if err := w.commit(); err != nil {
		return s.failed(ctx, fmt.Errorf("set event %d aside: %w", seq, err), false)
	}
	s.commits = w.n
	s.tail.cut(s.floor, []run{r})
	s.note()
	const shown = 200
	s.opts.Log.Error("an event cannot be published and is set aside", "seq", seq, "type", e.Type, "device", e.Device,
		"condition", e.Condition, "begins", string(e.Body[:min(shown, len(e.Body))]))
	return nil
}
