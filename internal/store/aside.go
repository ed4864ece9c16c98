package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Files are set aside under the store's name, what they are, and the time.
const (
	asideDamaged = "damaged"
	asideSchema1 = "schema1"
	// asideKept is how many damaged sets are kept, the newest.
	asideKept  = 2
	asideStamp = "20060102T150405.000Z"
)

// A copy that is complete bears one of these names until it has taken the
// place of what it was made from: a process that is killed in between finishes
// at the next start.
const (
	copying  = ".copying"
	salvaged = ".salvaged"
	migrated = ".migrated"
)

// sidecars are the files that belong to a database, itself the first.
func sidecars() []string { return []string{"", "-wal", "-shm", "-journal"} }

// finishAside lets a complete copy take its place.
func (s *Store) finishAside() error {
	for _, c := range []struct{ suffix, kind string }{{salvaged, asideDamaged}, {migrated, asideSchema1}} {
		if _, err := os.Stat(s.file + c.suffix); err != nil {
			continue
		}
		names, err := s.moveAside(c.kind)
		if err != nil {
			return err
		}
		if err := os.Rename(s.file+c.suffix, s.file); err != nil {
			return fmt.Errorf("put the copy of the store in its place: %w", err)
		}
		if err := s.syncDir(); err != nil {
			return err
		}
		if c.kind == asideDamaged {
			s.opts.Log.Error("the damaged store is set aside, what could be read of it goes on", "set_aside", names)
			s.tell(func(r *OpenReport) { r.SetAside = append(r.SetAside, names...) })
		} else {
			s.opts.Log.Info("the store has this program's schema now; the older file is kept", "backup", names)
		}
	}
	return nil
}

// moveAside renames whatever there is of the file, and tells the new names.
func (s *Store) moveAside(kind string) ([]string, error) {
	to := s.file + "." + kind + "-" + s.opts.Now().UTC().Format(asideStamp)
	var names []string
	for _, part := range sidecars() {
		err := os.Rename(s.file+part, to+part)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("set the store aside: %w", err)
		}
		names = append(names, filepath.Base(to+part))
		if err := os.Chmod(to+part, 0o600); err != nil {
			return nil, fmt.Errorf("set the store aside: %w", err)
		}
	}
	keep := asideKept
	if kind == asideSchema1 {
		keep = 1
	}
	s.trouble("remove what was set aside", s.prune(kind, keep))
	return names, s.syncDir()
}

// prune keeps the newest sets of a kind.
func (s *Store) prune(kind string, keep int) error {
	prefix := FileName + "." + kind + "-"
	entries, err := os.ReadDir(s.opts.Dir)
	if err != nil {
		return fmt.Errorf("list the state directory: %w", err)
	}
	base := func(name string) string {
		for _, part := range sidecars()[1:] {
			name = strings.TrimSuffix(name, part)
		}
		return name
	}
	var sets []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) && !slices.Contains(sets, base(e.Name())) {
			sets = append(sets, base(e.Name()))
		}
	}
	slices.Sort(sets)
	var errs []error
	for _, set := range sets[:max(0, len(sets)-keep)] {
		for _, part := range sidecars() {
			if err := os.RemoveAll(filepath.Join(s.opts.Dir, set+part)); err != nil {
				errs = append(errs, err)
			}
		}
		s.opts.Log.Info("an older set of files is removed", "set", set)
	}
	return errors.Join(errs...)
}

// syncDir makes renames durable.
func (s *Store) syncDir() error {
	dir, err := os.Open(s.opts.Dir)
	if err != nil {
		return fmt.Errorf("sync the state directory: %w", err)
	}
	defer func() { _ = dir.Close() }() // it was only read
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("sync the state directory: %w", err)
	}
	return nil
}
