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
	r := diagnose.Restored{Epoch: s.epoch, Seq: s.seq.Load(), SiteWide: make(map[string]*diagnose.SiteDecisions)}
	err := s.EachDevice(ctx, func(rec diagnose.DeviceRecord) error {
		r.Devices = append(r.Devices, rec)
		return nil
	})
	if err != nil {
		return r, err
	}
	err = s.each(ctx, "SELECT condition, body, 0 FROM sitewide", false, func(condition string, body []byte) error {
		sd := new(diagnose.SiteDecisions)
		r.SiteWide[condition] = sd
		return json.Unmarshal(body, sd)
	})
	return r, err
}

// EachDevice calls f for each device, in the order of their ids, with all its
// problems. Problems are read a device at a time: a large site is not held in
// memory.
func (s *Store) EachDevice(ctx context.Context, f func(diagnose.DeviceRecord) error) error {
	var records []diagnose.DeviceRecord
	err := s.each(ctx, "SELECT id, body, crc FROM device ORDER BY id", true, func(_ string, body []byte) error {
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
	for _, rec := range records {
		if err := s.problems(ctx, &rec); err != nil {
			return err
		}
		if err := f(rec); err != nil {
			return err
		}
	}
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
	return s.each(ctx, "SELECT condition, body, crc FROM problem WHERE device = ? ORDER BY condition", true,
		func(_ string, body []byte) error {
			var p diagnose.Problem
			if err := json.Unmarshal(body, &p); err != nil {
				return err
			}
			rec.Problems = append(rec.Problems, p)
			return nil
		}, rec.ID)
}

// each reads rows of (key, body, checksum).
func (s *Store) each(ctx context.Context, query string, summed bool, f func(key string, body []byte) error, args ...any) error {
	rows, err := s.read.QueryContext(ctx, query, args...)
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
