// Package fakenet is a network to test with, on addresses of this machine:
// resolvers, certificates, web servers and time servers that fail in every way
// that the probes tell apart. It is not part of the product.
package fakenet

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"
)

// Loopback is where fakes listen unless they are told otherwise: a free port.
const Loopback = "127.0.0.1:0"

// conns are the open connections of a fake, which end with it.
type conns struct {
	mu     sync.Mutex
	open   map[net.Conn]bool
	closed bool
	wg     sync.WaitGroup
}

// serve accepts until the listener closes, and runs handle for each connection.
func (c *conns) serve(l net.Listener, handle func(net.Conn)) {
	c.open = map[net.Conn]bool{}
	c.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if !c.add(conn) {
				_ = conn.Close()
				return
			}
			c.wg.Go(func() {
				defer c.remove(conn)
				handle(conn)
			})
		}
	})
}

func (c *conns) add(conn net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.open[conn] = true
	return true
}

func (c *conns) remove(conn net.Conn) {
	c.mu.Lock()
	delete(c.open, conn)
	c.mu.Unlock()
	_ = conn.Close()
}

func (c *conns) close() {
	c.mu.Lock()
	c.closed = true
	for conn := range c.open {
		_ = conn.Close()
	}
	c.mu.Unlock()
	c.wg.Wait()
}

// reset cuts a connection the hard way: the other side sees a reset.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// hold keeps a connection open and silent until the other side goes away.
func hold(conn net.Conn) {
	buf := make([]byte, 512)
	for {
		if _, err := conn.Read(buf); err != nil {
			return
		}
	}
}

// RefusedPort is an address on loopback where nothing listens.
func RefusedPort() (string, error) {
	l, err := net.Listen("tcp", Loopback)
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}

// BlackHole is an address where connections are neither accepted nor refused,
// as behind a filter that drops them.
type BlackHole struct {
	Addr string
	fd   int
	full []net.Conn
}

// StartBlackHole listens on loopback and fills the queue of what waits to be
// accepted: Linux drops what comes then.
func StartBlackHole() (*BlackHole, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make a socket: %w", err)
	}
	hole := &BlackHole{fd: fd}
	if err := hole.fill(); err != nil {
		hole.Close()
		return nil, err
	}
	return hole, nil
}

func (b *BlackHole) fill() error {
	if err := syscall.Bind(b.fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	if err := syscall.Listen(b.fd, 0); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	at, err := syscall.Getsockname(b.fd)
	if err != nil {
		return fmt.Errorf("ask for the port: %w", err)
	}
	here, ok := at.(*syscall.SockaddrInet4)
	if !ok {
		return errors.New("ask for the port: it is no IPv4 socket")
	}
	b.Addr = fmt.Sprintf("127.0.0.1:%d", here.Port)
	const enough = 16
	for range enough {
		conn, err := net.DialTimeout("tcp", b.Addr, 200*time.Millisecond)
		var n net.Error
		switch {
		case err == nil:
			b.full = append(b.full, conn)
		case errors.As(err, &n) && n.Timeout():
			return nil // it is full
		default:
			return fmt.Errorf("fill the queue: %w", err)
		}
	}
	return fmt.Errorf("%d connections did not fill the queue", enough)
}

// Close ends it.
func (b *BlackHole) Close() {
	for _, conn := range b.full {
		_ = conn.Close()
	}
	_ = syscall.Close(b.fd)
}
