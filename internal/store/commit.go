package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strconv"

	"fieldmedic/internal/diagnose"
)

// statements are the writer's, prepared once.
type statements struct {
	log, device, problem, dropDevice, dropProblems, dropProblem, sitewide, dropSitewide, meta, pages *sql.Stmt
}

func (st *statements) prepare(ctx context.Context, db *sql.DB) error {
	for _, p := range []struct {
		to    **sql.Stmt
		query string
	}{
		{&st.log, "INSERT INTO log (seq, at, device, condition, type, severity, event_id, body, n, crc) VALUES (?,?,?,?,?,?,?,?,?,?)"},
		{&st.device, "INSERT INTO device (id, body, n, crc) VALUES (?,?,?,?) ON CONFLICT (id) DO UPDATE SET body = excluded.body, n = excluded.n, crc = excluded.crc"},
		{&st.problem, "INSERT INTO problem (device, condition, body, n, crc) VALUES (?,?,?,?,?) ON CONFLICT (device, condition) DO UPDATE SET body = excluded.body, n = excluded.n, crc = excluded.crc"},
		{&st.dropDevice, "DELETE FROM device WHERE id = ?"},
		{&st.dropProblems, "DELETE FROM problem WHERE device = ?"},
		{&st.dropProblem, "DELETE FROM problem WHERE device = ? AND condition = ?"},
		{&st.sitewide, "INSERT INTO sitewide (condition, body, crc) VALUES (?,?,?) ON CONFLICT (condition) DO UPDATE SET body = excluded.body, crc = excluded.crc"},
		{&st.dropSitewide, "DELETE FROM sitewide WHERE condition = ?"},
		{&st.meta, "INSERT INTO meta (key, value, crc) VALUES (?,?,?) ON CONFLICT (key) DO UPDATE SET value = excluded.value, crc = excluded.crc"},
		{&st.pages, "SELECT page_count, freelist_count FROM pragma_page_count, pragma_freelist_count"},
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
		st.log, st.device, st.problem, st.dropDevice, st.dropProblems, st.dropProblem, st.sitewide, st.dropSitewide, st.meta, st.pages,
	} {
		if stmt != nil {
			_ = stmt.Close() // the pool is closed next, which reports what matters
		}
	}
}

// Commit makes a batch durable in one transaction, all of it or nothing. When
// it returns nil the disk has it. A fault of the storage is a
// *diagnose.JournalError: nothing of the batch counts then. After an error of
// the disk the file is opened and checked anew before the next commit; a batch
// that turns out to be in it is not written twice.
func (s *Store) Commit(ctx context.Context, b *diagnose.Batch) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.broken.Load() != nil {
		done, err := s.resume(ctx, b)
		if done || err != nil {
			return err
		}
	}
	if err := s.commit(ctx, b); err != nil {
		return s.failed(ctx, err, true)
	}
	return nil
}

func (s *Store) commit(ctx context.Context, b *diagnose.Batch) error {
	tx, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer tx.rollback()
	cut, err := s.makeRoom(tx, b)
	if err != nil {
		return err
	}
	tx.removed(b.Removed)
	tx.entries(b.Entries)
	tx.devices(b.Devices)
	tx.siteWide(b.SiteWide)
	if len(b.Entries)+len(b.Devices) == 0 {
		tx.meta(metaCommit, strconv.FormatInt(tx.n, 10))
	}
	cursor := s.cursor.Load()
	if cursor != s.saved.Load() {
		tx.meta(metaCursor, strconv.FormatInt(cursor, 10))
	}
	if n := len(b.Entries); n > 0 && tx.err == nil {
		s.next = b.Entries[n-1].Seq
		s.note()
	}
	err = tx.commit()
	s.next = 0
	if err != nil {
		return err
	}
	s.saved.Store(cursor)
	s.settleBatch(tx.n, b)
	s.settleCut(cut)
	s.note()
	return nil
}

// settleBatch takes over in memory what the disk has.
func (s *Store) settleBatch(n int64, b *diagnose.Batch) {
	s.commits = n
	s.dirty.Store(true)
	if len(b.Entries) == 0 {
		return
	}
	last := b.Entries[len(b.Entries)-1]
	s.seq.Store(last.Seq)
	if at := last.At.UnixMilli(); at > s.newest.Load() && !s.opts.ClockSuspect() {
		s.newest.Store(at)
	}
	s.tail.add(b.Entries)
}

// begin starts a transaction; whatever it writes bears the number of the commit
// that it would be. The caller holds s.writing.
func (s *Store) begin(ctx context.Context) (*writer, error) {
	return begin(ctx, s.pools.Load(), s.commits+1)
}

func begin(ctx context.Context, p *pools, n int64) (*writer, error) {
	tx, err := p.write.BeginTx(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("begin a transaction: %w", err)
	}
	return &writer{ctx: ctx, tx: tx, st: &p.stmts, n: n, bound: make(map[*sql.Stmt]*sql.Stmt)}, nil
}

// writer writes rows in one transaction; the first error stops it.
type writer struct {
	ctx context.Context
	tx  *sql.Tx
	st  *statements
	n   int64
	// bound are the statements as this transaction runs them.
	bound map[*sql.Stmt]*sql.Stmt
	// body and args are the last row's, for the room they have.
	body []byte
	args []any
	err  error
}

func (w *writer) rollback() { _ = w.tx.Rollback() } // after a commit it does nothing

func (w *writer) commit() error {
	if w.err != nil {
		return w.err
	}
	if err := w.tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

func (w *writer) bind(stmt *sql.Stmt) *sql.Stmt {
	bound := w.bound[stmt]
	if bound == nil {
		bound = w.tx.StmtContext(w.ctx, stmt)
		w.bound[stmt] = bound
	}
	return bound
}

func (w *writer) exec(stmt *sql.Stmt, args ...any) {
	if w.err != nil {
		return
	}
	if _, err := w.bind(stmt).ExecContext(w.ctx, args...); err != nil {
		w.err = fmt.Errorf("write: %w", err)
	}
}

// put writes a row with its checksum.
func (w *writer) put(stmt *sql.Stmt, row ...any) {
	w.args = append(append(w.args[:0], row...), sum(row...))
	w.exec(stmt, w.args...)
}

func (w *writer) meta(key, value string) { w.put(w.st.meta, key, value) }

// direct runs a statement that is rarely needed.
func (w *writer) direct(query string, args ...any) {
	if w.err != nil {
		return
	}
	if _, err := w.tx.ExecContext(w.ctx, query, args...); err != nil {
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
		w.put(w.st.log, e.Seq, e.At.UnixMilli(), e.Device, e.Condition, string(e.Type), string(e.Severity), e.EventID, e.Body, w.n)
	}
}

func (w *writer) devices(devices []diagnose.DeviceRecord) {
	for i := range devices {
		d := &devices[i]
		w.put(w.st.device, d.ID, w.row(d), w.n)
		for _, condition := range d.Gone {
			w.exec(w.st.dropProblem, d.ID, condition)
		}
		for j := range d.Problems {
			p := &d.Problems[j]
			w.put(w.st.problem, d.ID, p.Diagnosis.Condition, w.row(p), w.n)
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
		w.put(w.st.sitewide, condition, body)
	}
}
