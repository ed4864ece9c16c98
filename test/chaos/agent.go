package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// restartAfter is how long the service manager waits after an exit that
	// nobody asked for.
	restartAfter = time.Second
	// stopTime is how long an orderly end may take.
	stopTime = 15 * time.Second
	// keptLines of the agent's log are shown when it exits.
	keptLines = 6
)

// agentOptions say what is run, and where.
type agentOptions struct {
	binary  string
	dir     string // of the socket and the log
	state   string
	broker  string // as in mqtt.broker
	gateway string
	config  string   // a file; default: none
	more    []string // further flags; a later one beats an earlier one
	wrap    []string // the beginning of the command, which must become the agent
	env     []string
}

// agent is the real agent as a process, with what systemd would do for it: an
// exit that nobody asked for is followed by a new start, and counted.
type agent struct {
	agentOptions
	args []string
	log  *os.File

	mu     sync.Mutex
	cmd    *exec.Cmd
	ended  chan struct{} // closed when cmd has ended
	wanted bool          // it is to run
	number int           // of lives
	born   time.Time
	lives  []life
	exits  []ending // that nobody asked for
	tail   []string
	said   []string // warnings and errors of this life
	ever   []string // those that speak of the store, of all lives
}

// life is from a start to an end; a frozen agent lives.
type life struct{ from, to time.Time }

// ending is an exit, with the last lines of the log.
type ending struct {
	at  time.Time
	how string
}

func newAgent(o agentOptions) (*agent, error) {
	log, err := os.OpenFile(filepath.Join(o.dir, "agent.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	if o.config == "" {
		o.config = os.DevNull
	}
	args := slices.Concat(o.wrap, []string{
		o.binary, "run", "--config", o.config, "--gateway", o.gateway, "--web-listen=", "--state-dir", o.state,
		"--mqtt-broker", o.broker, "--log-format", "json",
	}, o.more)
	return &agent{agentOptions: o, args: args, log: log}, nil
}

// start begins a new life.
func (a *agent) start() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	cmd := exec.Command(a.args[0], a.args[1:]...) //nolint:gosec // the agent that was built for this run
	cmd.Env = append(append(os.Environ(), "RUNTIME_DIRECTORY="+a.dir), a.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	output, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the agent: %w", err)
	}
	a.cmd, a.ended, a.wanted, a.born = cmd, make(chan struct{}), true, time.Now()
	a.number++
	a.tail, a.said = nil, nil
	a.lives = append(a.lives, life{from: a.born})
	_, _ = fmt.Fprintf(a.log, "--- life %d, pid %d, %s\n", a.number, cmd.Process.Pid, a.born.Format(stamp)) // a help only
	go a.watch(cmd, output, a.ended)
	return nil
}

// watch reads the log of one life, and starts another where nobody asked for
// its end.
func (a *agent) watch(cmd *exec.Cmd, output io.Reader, ended chan struct{}) {
	lines := bufio.NewScanner(output)
	lines.Buffer(nil, maxFrame) // a line that does not fit would stop the agent at its log
	for lines.Scan() {
		line := lines.Text()
		_, _ = fmt.Fprintln(a.log, line) // a help only
		a.mu.Lock()
		if a.tail = append(a.tail, line); len(a.tail) > keptLines {
			a.tail = a.tail[1:]
		}
		if strings.Contains(line, `"level":"WARN"`) || strings.Contains(line, `"level":"ERROR"`) {
			a.said = append(a.said, line)
			if saysDamage([]string{line}) {
				a.ever = append(a.ever, line)
			}
		}
		a.mu.Unlock()
	}
	err := cmd.Wait()
	a.mu.Lock()
	a.lives[len(a.lives)-1].to = time.Now()
	again := a.wanted
	if again {
		slices.Reverse(a.tail) // the last line says why
		a.exits = append(a.exits, ending{time.Now(), fmt.Sprintf("life %d ended by itself after %s: %v: %s",
			a.number, time.Since(a.born).Round(time.Millisecond), err, strings.Join(a.tail, " / "))})
	}
	a.mu.Unlock()
	close(ended)
	if !again {
		return
	}
	time.Sleep(restartAfter)
	a.mu.Lock()
	again = a.wanted && a.ended == ended
	a.mu.Unlock()
	if again {
		_ = a.start() // a failure shows as an agent that does not recover
	}
}

// end sends a signal that ends the process, and waits for the end.
func (a *agent) end(signal syscall.Signal) error {
	a.mu.Lock()
	a.wanted = false
	cmd, ended := a.cmd, a.ended
	a.mu.Unlock()
	if cmd == nil {
		return nil
	}
	if err := cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal the agent: %w", err)
	}
	select {
	case <-ended:
	case <-time.After(stopTime):
		_ = cmd.Process.Kill() // it may have ended this moment
		<-ended
		return fmt.Errorf("the agent did not end %s after %s", stopTime, signal)
	}
	if signal == syscall.SIGTERM && cmd.ProcessState.ExitCode() > 0 {
		return fmt.Errorf("the agent ended with %s after SIGTERM", cmd.ProcessState)
	}
	return nil
}

// signal is for SIGSTOP and SIGCONT.
func (a *agent) signal(s syscall.Signal) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal the agent: %w", err)
	}
	return nil
}

// running tells the number of the present life, its age and its pid.
func (a *agent) running() (number int, age time.Duration, pid int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.cmd == nil {
		return 0, 0, 0
	}
	return a.number, time.Since(a.born), a.cmd.Process.Pid
}

func (a *agent) life() int {
	number, _, _ := a.running()
	return number
}

// livedOn tells whether the life went on for some time after t.
func (a *agent) livedOn(number int, t time.Time, after time.Duration) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if number < 1 || number > len(a.lives) {
		return false
	}
	end := a.lives[number-1].to
	return end.IsZero() || end.Sub(t) > after
}

// warnings are the warnings and errors of this life.
func (a *agent) warnings() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]string(nil), a.said...)
}

// everSaid are lines of all lives that speak of damage.
func (a *agent) everSaid() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]string(nil), a.ever...)
}

func (a *agent) ownExits() []ending {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]ending(nil), a.exits...)
}

// get asks the agent over its socket.
func (a *agent) get(ctx context.Context, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(a.dir, "fieldmedic.sock"))
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://agent"+path, nil)
	if err != nil {
		return nil, err
	}
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }() // only read
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s: %.200s", path, res.Status, body)
	}
	return body, err
}

// events reads what the store holds above a number, of its present epoch.
func (a *agent) events(ctx context.Context, after int64) ([]body, error) {
	answer, err := a.get(ctx, fmt.Sprintf("/api/v1/events?limit=1000&after=%d", after))
	if err != nil {
		return nil, err
	}
	var raw []json.RawMessage
	if err := json.Unmarshal(answer, &raw); err != nil {
		return nil, fmt.Errorf("read the agent's events: %w", err)
	}
	list := make([]body, len(raw))
	for i, r := range raw {
		if list[i], err = parseEvent(r); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// epoch is that of the store.
func (a *agent) epoch(ctx context.Context) (string, error) {
	answer, err := a.get(ctx, "/api/v1/info")
	if err != nil {
		return "", err
	}
	var info struct {
		Epoch string `json:"epoch"`
	}
	err = json.Unmarshal(answer, &info)
	return info.Epoch, err
}
