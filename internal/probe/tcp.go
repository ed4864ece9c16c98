package probe

import (
	"context"
	"errors"
	"net"
	"syscall"
)

// Results of tcp that rules know; and one that says where the way ends.
const (
	tcpOpen        = "open"
	tcpRefused     = "refused"
	tcpTimeout     = "timeout"
	tcpUnreachable = "unreachable"
)

// tcp makes one connection and closes it: nothing is said on it.
func (s Site) tcp(ctx context.Context, t Target) Answer {
	address, answer := s.server(TCP, t)
	if answer != nil {
		return *answer
	}
	conn, err := s.dialer().DialContext(ctx, "tcp", address)
	if err != nil {
		result, why := connectFailure(err)
		if result == "" {
			return cannotTell(TCP, address, why, tcpOpen)
		}
		return found(TCP, address, result, why, tcpOpen)
	}
	seen := tcpOpen
	if host, _ := splitAddress(address); !isAddr(host) {
		seen += " at " + conn.RemoteAddr().String()
	}
	if err := conn.Close(); err != nil {
		seen += ", and broken at once"
	}
	return found(TCP, address, tcpOpen, seen, tcpOpen)
}

// connectFailure is the class of a connection that did not come about, and what
// was seen. No class: the probe could not even try, which is a finding of
// another probe, or of none.
func connectFailure(err error) (result, seen string) {
	var name *net.DNSError
	switch {
	case errors.Is(err, context.Canceled):
		return "", "it was stopped"
	case errors.As(err, &name):
		// What is wrong with the name is for the dns probe to say.
		return "", "the name could not be looked up"
	case errors.Is(err, ErrDenied):
		return "", reason(err)
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET):
		return tcpRefused, tcpRefused
	case errors.Is(err, syscall.EHOSTUNREACH):
		return tcpUnreachable, "host unreachable"
	case errors.Is(err, syscall.ENETUNREACH):
		return tcpUnreachable, "network unreachable"
	case isTimeout(err), errors.Is(err, syscall.ETIMEDOUT):
		return tcpTimeout, tcpTimeout
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EACCES):
		return "", "this gateway's own filter forbids it"
	}
	return "", "this gateway could not try: " + innermost(err).Error()
}

// reason is a denial without the words that the dialler puts around it.
func reason(err error) string {
	for err != nil {
		var op *net.OpError
		if !errors.As(err, &op) {
			break
		}
		err = op.Err
	}
	return err.Error()
}

// innermost is the last error of a chain: what the system said.
func innermost(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}
