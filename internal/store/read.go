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

// EachDevice calls f for each device, in the order of their ids, with all its
// problems. It reads both tables once, side by side, as they are at one time;
// f must not be slow, nor wait for a commit.
func (s *Store) EachDevice(ctx context.Context, f func(diagnose.DeviceRecord) error) error {
	tx, err := s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("read the store: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // it only reads
	var records []diagnose.DeviceRecord
	err = s.each(ctx, tx, "SELECT id, body, crc FROM device ORDER BY id", true, func(_ string, body []byte) error {
		var rec diagnose.DeviceRecord
		if err := json.Unmarshal(body, &rec); err != nil {
			return err
		}
		records = append(records, rec)
		return nil
	})
	if err != nil {
		return err
	}
	// done calls f for the records before the one with this id, which are
	// complete; a large site is not held in memory with all its problems.
	done := func(id string) error {
		for len(records) > 0 && records[0].ID < id {
			rec := records[0]
			records = records[1:]
			if err := f(rec); err != nil {
				return err
			}
		}
		return nil
	}
	err = s.each(ctx, tx, "SELECT device, body, crc FROM problem ORDER BY device, condition", true,
		func(device string, body []byte) error {
			if err := done(device); err != nil {
				return err
			}
			if len(records) == 0 || records[0].ID != device {
				return nil // the device's own row is damaged
			}
			return addProblem(&records[0], body)
		})
	if err != nil {
		return err
	}
	for _, rec := range records {
		if err := f(rec); err != nil {
			return err
		}
	}
	return nil
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
