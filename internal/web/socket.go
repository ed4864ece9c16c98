package web

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
)

// maxSocketPath is the room for a path in sockaddr_un on Linux, less the zero
// at its end (unix(7)).
const maxSocketPath = 107

// ListenSocket listens for the command line at path: mode 0600, or 0660 for a
// group that is named. A socket that a killed process left behind is replaced;
// that nobody listens on it any more is for the caller to know, who holds the
// lock of the state directory. Nobody can connect before the mode is set.
func ListenSocket(path, group string) (net.Listener, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("control socket %s: the path has %d bytes (%d at most; set state.dir)", path, len(path), maxSocketPath)
	}
	if old, err := os.Lstat(path); err == nil && old.Mode().Type() != fs.ModeSocket {
		return nil, fmt.Errorf("control socket %s: there is something else of that name (move it away)", path)
	}
	// The socket is made in a directory that only we may enter, and moved to
	// its place when its mode is right.
	dir, err := os.MkdirTemp(filepath.Dir(path), ".s")
	if err != nil {
		return nil, fmt.Errorf("make the control socket: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // empty but for a failure
	made := filepath.Join(dir, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: shortest(made), Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("make the control socket: %w", err)
	}
	l.SetUnlinkOnClose(false) // it would look for the first name
	err = permit(made, group)
	if err == nil {
		err = os.Rename(made, path)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make the control socket: %w", err), l.Close())
	}
	return &socket{UnixListener: l, path: path}, nil
}
