package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"strconv"

	"fieldmedic/internal/diagnose"
)

// statements are the writer's, prepared once.
type statements struct {
	log, device, problem, dropDevice, dropProblems, dropProblem, sitewide, dropSitewide, cursor *sql.Stmt
}

func (st *statements) prepare(ctx context.Context, db *sql.DB) error {
	for _, p := range []struct {
		to    **sql.Stmt
		query string
	}{
		{&st.log, "INSERT INTO log (seq, at, device, condition, type, event_id, body, crc) VALUES (?,?,?,?,?,?,?,?)"},
		{&st.device, "INSERT INTO device (id, body, crc) VALUES (?,?,?) ON CONFLICT (id) DO UPDATE SET body = excluded.body, crc = excluded.crc"},
		{&st.problem, "INSERT INTO problem (device, condition, body, crc) VALUES (?,?,?,?) ON CONFLICT (device, condition) DO UPDATE SET body = excluded.body, crc = excluded.crc"},
		{&st.dropDevice, "DELETE FROM device WHERE id = ?"},
		{&st.dropProblems, "DELETE FROM problem WHERE device = ?"},
		{&st.dropProblem, "DELETE FROM problem WHERE device = ? AND condition = ?"},
		{&st.sitewide, "INSERT INTO sitewide (condition, body) VALUES (?,?) ON CONFLICT (condition) DO UPDATE SET body = excluded.body"},
		{&st.dropSitewide, "DELETE FROM sitewide WHERE condition = ?"},
		{&st.cursor, "UPDATE meta SET value = ? WHERE key = 'cursor'"},
	} {
		stmt, err := db.PrepareContext(ctx, p.query)
		if err != nil {
			return err
		}
		*p.to = stmt
	}
	return nil
}

func (st *statements) close() {
	for _, stmt := range []*sql.Stmt{
		st.log, st.device, st.problem, st.dropDevice, st.dropProblems, st.dropProblem, st.sitewide, st.dropSitewide, st.cursor,
	} {
		if stmt != nil {
			_ = stmt.Close() // the pool is closed next, which reports what matters
		}
	}
}

// checksum uses the polynomial that processors compute in one instruction; its
// table is made once, by the library.
func checksum(b []byte) int64 { return int64(crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))) }

// Commit makes a batch durable in one transaction, all of it or nothing. When
// it returns nil the disk has it.
func (s *Store) Commit(ctx context.Context, b *diagnose.Batch) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin a transaction: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	w := writer{ctx: ctx, tx: tx, st: &s.stmts, bound: make(map[*sql.Stmt]*sql.Stmt)}
	w.removed(b.Removed)
	w.entries(b.Entries)
	w.devices(b.Devices)
	w.siteWide(b.SiteWide)
	cursor := s.cursor.Load()
	if cursor != s.saved.Load() {
		w.exec(s.stmts.cursor, strconv.FormatInt(cursor, 10))
	}
	if w.err != nil {
		return w.err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	s.saved.Store(cursor)
	s.dirty.Store(true)
	if n := len(b.Entries); n > 0 {
		s.seq.Store(b.Entries[n-1].Seq)
		s.tail.add(b.Entries)
	}
	return nil
}

// writer writes a batch's parts into one transaction; the first error stops it.
type writer struct {
	ctx context.Context
	tx  *sql.Tx
	st  *statements
	// bound are the statements as this transaction runs them.
	bound map[*sql.Stmt]*sql.Stmt
	// body is the last row's, for the room it has.
	body []byte
	err  error
}

func (w *writer) exec(stmt *sql.Stmt, args ...any) {
	if w.err != nil {
		return
	}
	bound := w.bound[stmt]
	if bound == nil {
		bound = w.tx.StmtContext(w.ctx, stmt)
		w.bound[stmt] = bound
	}
	if _, err := bound.ExecContext(w.ctx, args...); err != nil {
		w.err = fmt.Errorf("write: %w", err)
	}
}

// row encodes a row's body, which is good until the next.
func (w *writer) row(v interface{ AppendJSON([]byte) ([]byte, error) }) []byte {
	body, err := v.AppendJSON(w.body[:0])
	if err != nil && w.err == nil {
		w.err = fmt.Errorf("encode: %w", err)
	}
	w.body = body
	return body
}

func (w *writer) removed(ids []string) {
	for _, id := range ids {
		w.exec(w.st.dropDevice, id)
		w.exec(w.st.dropProblems, id)
	}
}

func (w *writer) entries(entries []diagnose.LogEntry) {
	for i := range entries {
		e := &entries[i]
		w.exec(w.st.log, e.Seq, e.At.UnixMilli(), e.Device, e.Condition, string(e.Type), e.EventID, e.Body, checksum(e.Body))
	}
}

func (w *writer) devices(devices []diagnose.DeviceRecord) {
	for i := range devices {
		d := &devices[i]
		body := w.row(d)
		w.exec(w.st.device, d.ID, body, checksum(body))
		for _, condition := range d.Gone {
			w.exec(w.st.dropProblem, d.ID, condition)
		}
		for j := range d.Problems {
			p := &d.Problems[j]
			body := w.row(p)
			w.exec(w.st.problem, d.ID, p.Diagnosis.Condition, body, checksum(body))
		}
	}
}

func (w *writer) siteWide(decisions map[string]*diagnose.SiteDecisions) {
	for condition, sd := range decisions {
		if sd == nil {
			w.exec(w.st.dropSitewide, condition)
			continue
		}
		body, err := json.Marshal(sd)
		if err != nil && w.err == nil {
			w.err = fmt.Errorf("encode: %w", err)
		}
		w.exec(w.st.sitewide, condition, body)
	}
}
