package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"unsafe"
)

// disk is an ext4 file system of its own on a file, which can break as a real
// one does: by an error of the file system, after which the kernel makes it
// read-only; or at once, with everything that was not synced lost.
type disk struct {
	image, at string
	device    string
}

// diskSize is room for the store, its log, and what is left after trimming.
const diskSize = 64 << 20

// newDisk makes one and mounts it. The kernel lets go of the loop device when
// the mount ends, and the mount ends with our namespace.
func newDisk(image, at string) (*disk, error) {
	d := &disk{image: image, at: at}
	f, err := os.Create(image)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.Truncate(diskSize), f.Close()); err != nil {
		return nil, err
	}
	if err := run1("mkfs.ext4", "-q", "-F", "-m", "0", image); err != nil {
		return nil, err
	}
	return d, d.mount()
}

func (d *disk) mount() error {
	if err := run1("mount", "-o", "loop,errors=remount-ro", d.image, d.at); err != nil {
		return err
	}
	out, err := exec.Command("losetup", "-n", "-O", "NAME", "-j", d.image).Output() //nolint:gosec // our own file
	if err != nil {
		return fmt.Errorf("find the loop device: %w", err)
	}
	d.device = strings.TrimSpace(string(bytes.TrimSpace(out)))
	return nil
}

// readOnly makes the kernel find an error, and so allow no more writing.
func (d *disk) readOnly() error {
	return os.WriteFile(filepath.Join("/sys/fs/ext4", filepath.Base(d.device), "trigger_fs_error"), []byte("chaos"), 0o200)
}

// goDown stops the file system as a loss of power does: nothing that is not on
// the disk comes there any more, the journal included, and every access fails.
// (EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH.)
func (d *disk) goDown() error {
	const shutdown, noLogFlush = 0x8004587d, uint32(2)
	dir, err := os.Open(d.at)
	if err != nil {
		return err
	}
	flags := noLogFlush
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, dir.Fd(), shutdown, uintptr(unsafe.Pointer(&flags))) //nolint:gosec // the call's own form
	err = dir.Close()
	if errno != 0 {
		return fmt.Errorf("stop the file system: %w", errno)
	}
	return err
}

// anew is what a restart of the machine does: the journal is played back.
// Nobody may use it meanwhile.
func (d *disk) anew() error { return errors.Join(d.unmount(), d.mount()) }

func (d *disk) unmount() error { return syscall.Unmount(d.at, 0) }

// fileLimit bounds the size of every file that a process writes, in bytes; a
// write beyond it fails. 0: no bound.
func fileLimit(pid int, size uint64) error {
	limit := syscall.Rlimit{Cur: size, Max: ^uint64(0)}
	if size == 0 {
		limit.Cur = limit.Max
	}
	_, _, errno := syscall.Syscall6(syscall.SYS_PRLIMIT64, uintptr(pid), syscall.RLIMIT_FSIZE, uintptr(unsafe.Pointer(&limit)), 0, 0, 0) //nolint:gosec // the call's own form
	if errno != 0 {
		return fmt.Errorf("bound the agent's files: %w", errno)
	}
	return nil
}
