package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// lockName is the file whose lock holds the state directory.
const lockName = "fieldmedic.lock"

// dirLock holds a state directory for this process. The kernel lets it go when
// the process ends, however it ends.
type dirLock struct{ file *os.File }

// lockDir takes the directory, or tells which process has it.
func lockDir(dir string) (*dirLock, error) {
	name := filepath.Join(dir, lockName)
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the state directory: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer func() { _ = file.Close() }() // nothing was written
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock the state directory %s: %w", dir, err)
		}
		return nil, fmt.Errorf("the state directory %s is in use by another fieldmedic, pid %s (stop that one, or set state.dir)", dir, holder(name))
	}
	// The lock holds without the number in it, which only names us: a full disk
	// is no reason not to start.
	if err := writePID(file); err != nil && !noRoom(err) {
		return nil, errors.Join(fmt.Errorf("write %s: %w", name, err), file.Close())
	}
	return &dirLock{file: file}, nil
}

func holder(name string) string {
	b, err := os.ReadFile(name)
	if pid := strings.TrimSpace(string(b)); err == nil && pid != "" {
		return pid
	}
	return "unknown"
}

func writePID(file *os.File) error {
	pid := fmt.Appendf(nil, "%d\n", os.Getpid())
	if _, err := file.WriteAt(pid, 0); err != nil { // over the old one: its block is there
		return err
	}
	return file.Truncate(int64(len(pid)))
}

func (l *dirLock) release() error { return l.file.Close() }
