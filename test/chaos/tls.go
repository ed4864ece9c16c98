package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"fieldmedic/test/mosquitto"
)

const modeTLS = "tls"

func tlsScenarios() []scenario {
	const promise = "named, no word in plain text, tries with patience; recovers without a restart"
	day := func() time.Time { return time.Now().Add(12 * time.Hour) }
	list := []struct {
		fault, injection, state string
		stage                   func(l *lock) error
	}{
		{"certificate expired", "the broker's certificate ran out a minute ago", "tls-expired", func(l *lock) error {
			return l.good.issue(l.dir, "localhost", time.Now().Add(-time.Minute))
		}},
		{"certificate expires while connected", "the broker's certificate runs out after 5 s; the broker is started again then", "tls-expired", nil},
		{"certificate of another authority", "the broker's certificate is signed by a stranger", "tls-failed", func(l *lock) error {
			return l.bad.issue(l.dir, "localhost", day())
		}},
		{"certificate for another name", "the broker's certificate is another host's", "tls-failed", func(l *lock) error {
			return l.good.issue(l.dir, "another.test", day())
		}},
	}
	var all []scenario
	for _, c := range list {
		all = append(all, scenario{modeTLS, "17", c.fault, c.injection, promise, func(ctx context.Context, e *env) (finding, error) {
			return badCertificate(ctx, e, c.state, c.stage)
		}})
	}
	return all
}

// lock is what a broker with TLS needs.
type lock struct {
	dir       string
	good, bad *authority
}

// tap is between the agent and a broker with TLS: it sees how each connection
// begins.
type tap struct {
	listener     net.Listener
	tries, plain atomic.Int64
}

func newTap(target string) (*tap, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	t := &tap{listener: l}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go t.join(conn, target)
		}
	}()
	return t, nil
}

// patientTries are the most that two connections may make in half a minute while
// the certificate does not hold.
const patientTries = 10

// handshake is the first byte of TLS (RFC 8446, 5.1).
const handshake = 0x16

func (t *tap) join(agent net.Conn, target string) {
	defer func() { _ = agent.Close() }() // it may be closed already
	broker, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer func() { _ = broker.Close() }() // the same
	r := bufio.NewReader(agent)
	first, err := r.Peek(1)
	if err != nil {
		return
	}
	if t.tries.Add(1); first[0] != handshake {
		t.plain.Add(1)
	}
	go func() {
		_, _ = io.Copy(agent, broker) // its end is the connection's
		_ = agent.Close()             // it may be closed already
	}()
	_, _ = io.Copy(broker, r) // the same
}

func badCertificate(ctx context.Context, e *env, state string, before func(*lock) error) (finding, error) {
	var f finding
	dir, done, err := e.spool()
	if err != nil {
		return f, err
	}
	defer done()
	l := &lock{dir: dir}
	if l.good, err = newAuthority(dir, "good"); err != nil {
		return f, err
	}
	if l.bad, err = newAuthority(dir, "bad"); err != nil {
		return f, err
	}
	live := before == nil
	if live {
		before = func(l *lock) error { return l.good.issue(l.dir, "localhost", time.Now().Add(5*time.Second)) }
	}
	if err := before(l); err != nil {
		return f, err
	}
	s, t, err := e.locked(ctx, l)
	if err != nil {
		return f, err
	}
	defer func() { _ = s.close() }() // it is judged already
	defer func() { _ = t.listener.Close() }()
	if err := s.agent.start(); err != nil {
		return f, err
	}
	if live {
		f.want(awaitAgent(ctx, s.agent, 4*time.Second) == nil, "not ready with a good certificate")
		pause(ctx, 6*time.Second)
		if err := errors.Join(s.broker.Stop(), s.broker.Run()); err != nil {
			return f, err
		}
	}
	after, ok := says(ctx, s.agent, state, 20*time.Second)
	f.want(ok, "not named in %s", short(after))
	f.say("named after %s", short(after))
	pause(ctx, 10*time.Second)
	tries := t.tries.Load()
	if err := errors.Join(l.good.issue(dir, "localhost", time.Now().Add(12*time.Hour)), s.broker.Stop(), s.broker.Run()); err != nil {
		return f, err
	}
	took, ok := calm(ctx, s.agent, state, restless)
	f.want(ok, "not recovered %s after the certificate was good (%s)", short(took), readiness(ctx, s.agent))
	f.want(tries <= patientTries, "%d tries in the first %s", tries, (after + 10*time.Second).Round(time.Second))
	f.say("%d tries in the first %s, recovered %s after the certificate was good", tries, (after + 10*time.Second).Round(time.Second), short(took))
	f.want(t.plain.Load() == 0, "%d connections began in plain text", t.plain.Load())
	f.want(len(s.agent.ownExits()) == 0, "the agent ended by itself")
	return f, nil
}

// locked is a stage whose broker has TLS, and a listener without it for the
// harness.
func (e *env) locked(ctx context.Context, l *lock) (*stage, *tap, error) {
	port, err := mosquitto.FreePort()
	if err != nil {
		return nil, nil, err
	}
	s, err := e.stage(ctx, staging{later: true, lines: []string{
		"listener " + strconv.Itoa(port) + " 127.0.0.1",
		"certfile " + filepath.Join(l.dir, "broker.pem"), "keyfile " + filepath.Join(l.dir, "broker.key"),
	}})
	if err != nil {
		return nil, nil, err
	}
	t, err := newTap("127.0.0.1:" + strconv.Itoa(port))
	if err != nil {
		return nil, nil, errors.Join(err, s.close())
	}
	err = s.remake(func(o *agentOptions) {
		o.broker = "mqtts://localhost:" + strconv.Itoa(t.listener.Addr().(*net.TCPAddr).Port)
		o.more = append(o.more, "--mqtt-ca-file", l.good.file)
	})
	if err != nil {
		return nil, nil, errors.Join(err, s.close())
	}
	return s, t, nil
}
