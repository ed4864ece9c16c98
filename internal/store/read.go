package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"fieldmedic/internal/diagnose"
)

// Restore reads everything that the engine starts from: first what is kept of
// the agent and the site themselves, a record without an id, if there is one.
// A row that does not match its checksum is left out and logged.
func (s *Store) Restore(ctx context.Context) (diagnose.Restored, error) {
	r := diagnose.Restored{Epoch: s.Epoch(), Seq: s.seq.Load(), SiteWide: make(map[string]*diagnose.SiteDecisions)}
	site, ok, err := s.Device(ctx, "")
	if err == nil && ok {
		r.Devices = append(r.Devices, site)
	}
	if err != nil && !errors.Is(err, errDamaged) {
		return r, err
	}
	err = s.EachDevice(ctx, func(rec diagnose.DeviceRecord) error {
		r.Devices = append(r.Devices, rec)
		return nil
	})
	if err != nil {
		return r, err
	}
	err = s.each(ctx, s.read(), "SELECT condition, body, crc FROM sitewide", func(row stored) error {
		sd := new(diagnose.SiteDecisions)
		if err := json.Unmarshal(row.body, sd); err != nil {
			return err
		}
		r.SiteWide[row.key] = sd
		return nil
	})
	return r, err
}

// pageOfDevices is how many devices are read at a time: a large site is not
// held in memory, and a slow reader does not keep the write-ahead log from
// being moved into the file.
const pageOfDevices = 256

// EachDevice calls f for each device, in the order of their ids, with all its
// problems, each as it is when its page is read. Nothing is held while f runs.
func (s *Store) EachDevice(ctx context.Context, f func(diagnose.DeviceRecord) error) error {
	for after := ""; ; {
		page, last, err := s.page(ctx, after)
		if err != nil || last == "" {
			return err
		}
		for _, rec := range page {
			if err := f(rec); err != nil {
				return err
			}
		}
		after = last
	}
}

// page reads the devices behind after; last is the id to go on behind, or empty
// when there are no more. Devices whose own row is damaged are left out, with
// their problems.
func (s *Store) page(ctx context.Context, after string) (page []diagnose.DeviceRecord, last string, err error) {
	tx, err := s.read().BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, "", fmt.Errorf("read the store: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // it only reads
	var end sql.NullString
	err = tx.QueryRowContext(ctx, "SELECT max(id) FROM (SELECT id FROM device WHERE id > ? ORDER BY id LIMIT ?)", after, pageOfDevices).Scan(&end)
	if err != nil || !end.Valid {
		return nil, "", err
	}
	places := make(map[string]int)
	err = s.each(ctx, tx, "SELECT id, body, n, crc FROM device WHERE id > ? AND id <= ? ORDER BY id", func(row stored) error {
		var rec diagnose.DeviceRecord
		if err := json.Unmarshal(row.body, &rec); err != nil {
			return err
		}
		places[row.key] = len(page)
		page = append(page, rec)
		return nil
	}, after, end.String)
	if err != nil {
		return nil, "", err
	}
	const problems = "SELECT device, condition, body, n, crc FROM problem WHERE device > ? AND device <= ? ORDER BY device, condition"
	err = s.each(ctx, tx, problems, func(row stored) error {
		if i, ok := places[row.key]; ok {
			return addProblem(&page[i], row.body)
		}
		return nil
	}, after, end.String)
	return page, end.String, err
}

func addProblem(rec *diagnose.DeviceRecord, body []byte) error {
	var p diagnose.Problem
	if err := json.Unmarshal(body, &p); err != nil {
		return err
	}
	rec.Problems = append(rec.Problems, p)
	return nil
}

// Device returns one device's record; false when it is not known. The record
// without an id is that of the agent and the site themselves.
func (s *Store) Device(ctx context.Context, id string) (diagnose.DeviceRecord, bool, error) {
	var rec diagnose.DeviceRecord
	var body []byte
	var n, crc int64
	err := s.read().QueryRowContext(ctx, "SELECT body, n, crc FROM device WHERE id = ?", id).Scan(&body, &n, &crc)
	if errors.Is(err, sql.ErrNoRows) {
		return rec, false, nil
	}
	if err == nil && sum(id, body, n) != crc {
		err = errDamaged
	}
	if err == nil {
		err = json.Unmarshal(body, &rec)
	}
	if err == nil {
		err = s.problems(ctx, &rec)
	}
	if err != nil {
		return rec, false, fmt.Errorf("read device %q: %w", id, s.reading(err))
	}
	return rec, true, nil
}

func (s *Store) problems(ctx context.Context, rec *diagnose.DeviceRecord) error {
	return s.each(ctx, s.read(), "SELECT device, condition, body, n, crc FROM problem WHERE device = ? ORDER BY condition",
		func(row stored) error { return addProblem(rec, row.body) }, rec.ID)
}

// querier is a pool, or a transaction of it.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// stored is a row of state: what it belongs to, and its body.
type stored struct {
	key  string
	body []byte
}

// each reads whole rows of state, the checksum last. A row that is not what was
// written, or that f cannot make sense of, is left out and logged.
func (s *Store) each(ctx context.Context, db querier, query string, f func(stored) error, args ...any) error {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("read the store: %w", s.reading(err))
	}
	defer func() { _ = rows.Close() }() // rows.Err below reports
	cols, err := rows.Columns()
	if err != nil {
		return fmt.Errorf("read the store: %w", err)
	}
	vals, to := make([]any, len(cols)), make([]any, len(cols))
	for i := range vals {
		to[i] = &vals[i]
	}
	for rows.Next() {
		if err := rows.Scan(to...); err != nil {
			return fmt.Errorf("read a row of the store: %w", err)
		}
		var row stored
		row.key, _ = vals[0].(string)
		last := len(vals) - 1
		for _, v := range vals[1:last] {
			if body, ok := v.([]byte); ok {
				row.body = body
			}
		}
		if crc, ok := vals[last].(int64); !ok || sum(vals[:last]...) != crc {
			s.opts.Log.Error("a row of the store is damaged and left out", "key", row.key, "err", s.reading(errDamaged))
			continue
		}
		if err := f(row); err != nil {
			s.opts.Log.Error("a row of the store makes no sense and is left out", "key", row.key, "err", err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read the store: %w", s.reading(err))
	}
	return nil
}

// EachSnapshot calls f with what is to be shown now: the site first, then each
// device.
func (s *Store) EachSnapshot(ctx context.Context, f func(diagnose.Snapshot) error) error {
	site, _, err := s.Snapshot(ctx, "")
	if err != nil {
		return err
	}
	if err := f(site); err != nil {
		return err
	}
	return s.EachDevice(ctx, func(rec diagnose.DeviceRecord) error { return f(rec.Snapshot(s.opts.Now())) })
}

// Snapshot is what is to be shown now of a device, or with no id of the site;
// false when the device is not known.
func (s *Store) Snapshot(ctx context.Context, id string) (diagnose.Snapshot, bool, error) {
	rec, ok, err := s.Device(ctx, id)
	if err != nil {
		return diagnose.Snapshot{}, false, err
	}
	if id != "" {
		if !ok {
			return diagnose.Snapshot{}, false, nil
		}
		return rec.Snapshot(s.opts.Now()), true, nil
	}
	site := diagnose.Snapshot{UpdatedAt: time.UnixMilli(s.born.Load())}
	if ok {
		site = rec.Snapshot(s.opts.Now())
	}
	site.Heard = true
	return site, true, nil
}

// siteWait is how long a reader of the site's snapshot waits.
const siteWait = 2 * time.Second

// Site is the site's own snapshot: what the agent says of itself, and what
// concerns many devices. Until there is anything it dates from the store's first
// day; so it does where it cannot be read, which is logged.
func (s *Store) Site() diagnose.Snapshot {
	ctx, done := context.WithTimeout(context.Background(), siteWait)
	defer done()
	site, _, err := s.Snapshot(ctx, "")
	s.trouble("read the site's snapshot", err)
	if err != nil {
		return diagnose.Snapshot{UpdatedAt: time.UnixMilli(s.born.Load()), Heard: true}
	}
	return site
}
