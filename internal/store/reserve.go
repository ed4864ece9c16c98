package store

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// The reserve is a file of no content that holds room for a start on a full
// disk: opening a store needs some blocks, and it is better to come up and say
// that the disk is full.
const (
	reserveName = "fieldmedic.reserve"
	reserveSize = 256 << 10
)

// giveReserve lets the reserve go; false when there is none.
func (s *Store) giveReserve() bool {
	return os.Remove(filepath.Join(s.opts.Dir, reserveName)) == nil
}

// keepReserve makes the reserve where it is missing and there is room for four
// of its kind. Its bytes are random: some file systems do not store others.
func (s *Store) keepReserve() error {
	name := filepath.Join(s.opts.Dir, reserveName)
	if info, err := os.Stat(name); err == nil && info.Size() == reserveSize {
		return nil
	}
	if free, err := s.free(); err != nil || free < 4*reserveSize {
		return err
	}
	b := make([]byte, reserveSize)
	_, _ = rand.Read(b) // never fails, by its own promise
	if err := os.WriteFile(name, b, 0o600); err != nil {
		return errors.Join(fmt.Errorf("make the reserve: %w", err), os.Remove(name))
	}
	return nil
}

// free is what the file system has left for us, in bytes.
func (s *Store) free() (int64, error) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(s.opts.Dir, &fs); err != nil {
		return 0, fmt.Errorf("ask for the room on the disk: %w", err)
	}
	return int64(fs.Bavail) * int64(fs.Bsize), nil //nolint:unconvert,nolintlint // their types differ between systems
}
