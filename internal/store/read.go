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

// Restore reads everything that the engine starts from. A row that does not
// match its checksum is left out and logged.
func (s *Store) Restore(ctx context.Context) (diagnose.Restored, error) {
	r := diagnose.Restored{Epoch: s.Epoch(), Seq: s.seq.Load(), SiteWide: make(map[string]*diagnose.SiteDecisions)}
	err := s.EachDevice(ctx, func(rec diagnose.DeviceRecord) error {
		r.Devices = append(r.Devices, rec)
		return nil
	})
	if err != nil {
		return r, err
	}
	err = s.each(ctx, s.read, "SELECT condition, body, 0 FROM sitewide", false, func(condition string, body []byte) error {
		sd := new(diagnose.SiteDecisions)
		r.SiteWide[condition] = sd
		return json.Unmarshal(body, sd)
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
	tx, err := s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
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
	err = s.each(ctx, tx, "SELECT id, body, crc FROM device WHERE id > ? AND id <= ? ORDER BY id", true, func(id string, body []byte) error {
		var rec diagnose.DeviceRecord
		if err := json.Unmarshal(body, &rec); err != nil {
			return err
		}
		places[id] = len(page)
		page = append(page, rec)
		return nil
	}, after, end.String)
	if err != nil {
		return nil, "", err
	}
	const problems = "SELECT device, body, crc FROM problem WHERE device > ? AND device <= ? ORDER BY device, condition"
	err = s.each(ctx, tx, problems, true, func(device string, body []byte) error {
		if i, ok := places[device]; ok {
			return addProblem(&page[i], body)
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

// Device returns one device's record; false when it is not known.
func (s *Store) Device(ctx context.Context, id string) (diagnose.DeviceRecord, bool, error) {
	var rec diagnose.DeviceRecord
	var body []byte
	var crc int64
	err := s.read.QueryRowContext(ctx, "SELECT body, crc FROM device WHERE id = ?", id).Scan(&body, &crc)
	if errors.Is(err, sql.ErrNoRows) {
		return rec, false, nil
	}
	if err != nil {
		return rec, false, fmt.Errorf("read device %q: %w", id, err)
	}
	if checksum(body) != crc {
		return rec, false, fmt.Errorf("read device %q: %w", id, errDamaged)
	}
	if err := json.Unmarshal(body, &rec); err != nil {
		return rec, false, fmt.Errorf("read device %q: %w", id, err)
	}
	return rec, true, s.problems(ctx, &rec)
}

func (s *Store) problems(ctx context.Context, rec *diagnose.DeviceRecord) error {
	return s.each(ctx, s.read, "SELECT device, body, crc FROM problem WHERE device = ? ORDER BY condition", true,
		func(_ string, body []byte) error { return addProblem(rec, body) }, rec.ID)
}

// querier is a pool, or a transaction of it.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// each reads rows of (key, body, checksum).
func (s *Store) each(ctx context.Context, db querier, query string, summed bool, f func(key string, body []byte) error, args ...any) error {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("read the store: %w", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err below reports
	for rows.Next() {
		var key string
		var body []byte
		var crc int64
		if err := rows.Scan(&key, &body, &crc); err != nil {
			return fmt.Errorf("read a row of the store: %w", err)
		}
		if summed && checksum(body) != crc {
			s.opts.Log.Error("a row of the store is damaged and left out", "key", key, "err", errDamaged)
			continue
		}
		if err := f(key, body); err != nil {
			return fmt.Errorf("read %q of the store: %w", key, err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read the store: %w", err)
	}
	return nil
}

// EachSnapshot calls f with what is to be shown now: the site first, then each
// device.
func (s *Store) EachSnapshot(ctx context.Context, f func(diagnose.Snapshot) error) error {
	if err := f(s.Site()); err != nil {
		return err
	}
	return s.EachDevice(ctx, func(rec diagnose.DeviceRecord) error { return f(rec.Snapshot(time.Now())) })
}

// Site is the site's own snapshot. No rule of scope site exists yet, so it
// dates from the store's first day and lists nothing.
func (s *Store) Site() diagnose.Snapshot {
	return diagnose.Snapshot{UpdatedAt: s.born, Heard: true}
}
