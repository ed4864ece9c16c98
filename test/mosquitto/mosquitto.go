// Package mosquitto starts a real Mosquitto on a free loopback port, for tests
// and benchmarks. It is not part of the product.
package mosquitto

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Options of a broker; the zero value lets everybody in and keeps nothing.
type Options struct {
	// Dir for configuration, log and persistence; it must exist.
	Dir string
	// Port, or 0 for a free one.
	Port int
	// Lines of mosquitto.conf that are added.
	Lines []string
	// Users with their passwords; empty lets everybody in.
	Users map[string]string
	// Guests are let in without a name where there are users.
	Guests bool
}

// Broker is a running Mosquitto.
type Broker struct {
	Port int
	opts Options
	cmd  *exec.Cmd
	log  *bytes.Buffer
}

// startTimeout is how long a broker may take until it accepts connections.
const startTimeout = 10 * time.Second

// Start runs a broker and waits until it accepts connections.
func Start(opts Options) (*Broker, error) {
	b := &Broker{opts: opts, Port: opts.Port}
	if b.Port == 0 {
		port, err := FreePort()
		if err != nil {
			return nil, err
		}
		b.Port = port
	}
	if err := b.configure(); err != nil {
		return nil, err
	}
	return b, b.Run()
}

// FreePort finds a TCP port of the loopback interface that nobody uses now.
func FreePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}

// configure writes mosquitto.conf and the password file.
func (b *Broker) configure() error {
	// Without a place of its own its persistence would lie in the package's.
	lines := []string{"log_dest stderr", "log_type error", "log_type warning", "persistence_location " + b.opts.Dir + "/"}
	if len(b.opts.Users) == 0 {
		lines = append(lines, "allow_anonymous true")
	} else {
		file := filepath.Join(b.opts.Dir, "passwords")
		if err := writePasswords(file, b.opts.Users); err != nil {
			return err
		}
		lines = append(lines, "allow_anonymous "+strconv.FormatBool(b.opts.Guests), "password_file "+file)
	}
	if os.Geteuid() == 0 {
		lines = append(lines, "user root") // else it gives its rights up and cannot read our files
	}
	lines = append(lines, "listener "+strconv.Itoa(b.Port)+" 127.0.0.1")
	lines = append(lines, b.opts.Lines...)
	if err := os.WriteFile(b.conf(), []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		return fmt.Errorf("write the broker's configuration: %w", err)
	}
	return nil
}

func (b *Broker) conf() string { return filepath.Join(b.opts.Dir, "mosquitto.conf") }

func writePasswords(file string, users map[string]string) error {
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		return fmt.Errorf("write the broker's passwords: %w", err)
	}
	for user, password := range users {
		out, err := exec.Command("mosquitto_passwd", "-b", file, user, password).CombinedOutput()
		if err != nil {
			return fmt.Errorf("set the password of %s: %w: %s", user, err, out)
		}
	}
	return nil
}

// Run starts the process, after Start or after Kill and Stop.
func (b *Broker) Run() error {
	path, err := exec.LookPath("mosquitto")
	if err != nil {
		path = "/usr/sbin/mosquitto" // Debian's place, which is not on every PATH
	}
	b.log = new(bytes.Buffer)
	b.cmd = exec.Command(path, "-c", b.conf())
	b.cmd.Stdout, b.cmd.Stderr = b.log, b.log
	// It must not outlive a test that is killed.
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := b.cmd.Start(); err != nil {
		return fmt.Errorf("start mosquitto (make test installs it): %w", err)
	}
	deadline := time.Now().Add(startTimeout)
	for {
		conn, err := net.DialTimeout("tcp", b.Address(), time.Second)
		if err == nil {
			return conn.Close()
		}
		if time.Now().After(deadline) {
			return errors.Join(fmt.Errorf("mosquitto accepts no connections: %w", err), b.Kill())
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Address is HOST:PORT.
func (b *Broker) Address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(b.Port)) }

// URL is the address as in mqtt.broker.
func (b *Broker) URL() string { return "mqtt://" + b.Address() }

// PID of the process.
func (b *Broker) PID() int { return b.cmd.Process.Pid }

// Signal sends a signal to the process.
func (b *Broker) Signal(s os.Signal) error { return b.cmd.Process.Signal(s) }

// Kill ends it at once, as a power loss would.
func (b *Broker) Kill() error { return b.end(syscall.SIGKILL) }

// Stop ends it in order: it saves its persistence.
func (b *Broker) Stop() error { return b.end(syscall.SIGTERM) }

func (b *Broker) end(s os.Signal) error {
	if err := b.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal mosquitto: %w", err)
	}
	err := b.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return fmt.Errorf("wait for mosquitto: %w", err)
	}
	return nil
}

// Log is what it wrote until it ended.
func (b *Broker) Log() string { return b.log.String() }
