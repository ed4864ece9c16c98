package web

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// maxSocketPath is the room for a path in sockaddr_un on Linux, less the zero
// at its end (unix(7)).
const maxSocketPath = 107

// ListenSocket listens for the command line at path: mode 0600, or 0660 for a
// group that is named. A socket that a killed process left behind is replaced;
// one that somebody answers on is not.
func ListenSocket(path, group string) (net.Listener, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("control socket %s: the path has %d bytes (%d at most; set state.dir)", path, len(path), maxSocketPath)
	}
	switch old, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("look for the control socket: %w", err)
	case old.Mode().Type() != fs.ModeSocket:
		return nil, fmt.Errorf("control socket %s: something else has that name (move it away)", path)
	default:
		if conn, err := net.Dial("unix", path); err == nil {
			_ = conn.Close() // only opened to see that it can be
			return nil, fmt.Errorf("control socket %s: another fieldmedic is running on it (stop that one)", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("take over the control socket: %w", err)
		}
	}
	// On Linux a socket's file gets the mode that the socket has when it is
	// bound, so that there is no moment in which others could connect.
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = syscall.Fchmod(int(fd), 0o600) }) // permit says so again
	}}
	l, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on the control socket: %w", err)
	}
	if err := permit(path, group); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func permit(path, group string) error {
	if group == "" {
		if err := os.Chmod(path, 0o600); err != nil {
			return fmt.Errorf("protect the control socket: %w", err)
		}
		return nil
	}
	gid, err := groupID(group)
	if err != nil {
		return err
	}
	// The group first: 0660 must never hold for the group we came with.
	if err := os.Chown(path, -1, gid); err != nil {
		return fmt.Errorf("web.socket_group: give the control socket to group %s: %w", group, err)
	}
	if err := os.Chmod(path, 0o660); err != nil {
		return fmt.Errorf("protect the control socket: %w", err)
	}
	return nil
}

// groupID finds a group by name or by number.
func groupID(group string) (int, error) {
	if gid, err := strconv.Atoi(group); err == nil && gid >= 0 {
		return gid, nil
	}
	g, err := user.LookupGroup(group)
	if err != nil {
		return 0, fmt.Errorf("web.socket_group: group %q is not known (a group of /etc/group, or its number)", group)
	}
	gid, err := strconv.Atoi(g.Gid)
	if err != nil {
		return 0, fmt.Errorf("web.socket_group: group %q has the id %q, which is no number", group, g.Gid)
	}
	return gid, nil
}
