package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"fieldmedic/internal/diagnose"
	"fieldmedic/test/mosquitto"
)

// service is the program in a process of its own, which can be killed.
type service struct {
	t      *testing.T
	args   []string
	page   string
	cmd    *exec.Cmd
	stderr *syncBuffer
	env    []string
}

func newService(t *testing.T, args ...string) *service {
	t.Helper()
	s := &service{t: t, page: fmt.Sprintf("127.0.0.1:%d", freePort(t)), stderr: &syncBuffer{}}
	s.args = append([]string{
		"run", "--gateway", "gw-01", "--state-dir", filepath.Join(t.TempDir(), "state"), "--web-listen", s.page,
	}, args...)
	t.Cleanup(func() {
		s.kill()
		if t.Failed() {
			t.Log("the service said:\n" + s.stderr.String())
		}
	})
	return s
}

// command is the test's own binary, which is the program under this name (see
// TestMain).
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Args = append([]string{"fieldmedic"}, args...)
	return cmd
}

func (s *service) start() {
	s.t.Helper()
	s.launch()
	eventually(s.t, "the service is ready", func() bool {
		resp, err := http.Get("http://" + s.page + "/readyz")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

func (s *service) launch() {
	s.t.Helper()
	s.cmd = command(s.t, s.args...)
	s.cmd.Env = append(os.Environ(), s.env...)
	s.cmd.Stderr = s.stderr
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *service) kill() {
	if s.cmd != nil {
		_ = s.cmd.Process.Kill() // it may have ended
		_ = s.cmd.Wait()         // killed is what it is to be
		s.cmd = nil
	}
}

func (s *service) info() string {
	resp, err := http.Get("http://" + s.page + "/api/v1/info")
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return ""
	}
	return string(body)
}

// TestKill kills the agent while messages flow. Every message that the broker
// delivered is diagnosed in the end, and open diagnoses come back as they were.
func TestKill(t *testing.T) {
	b, err := mosquitto.Start(mosquitto.Options{Dir: t.TempDir(), Lines: []string{"max_queued_messages 0"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Kill() })
	s := newService(t, "--mqtt-broker", b.URL())
	s.start()
	a := connectApp(t, b.Address())
	const devices, rounds = 300, 4
	for i := range devices {
		a.report(fmt.Sprintf("devices/d%d/status", i), `{"status":-4028}`)
		if i%(devices/rounds) == devices/rounds-1 {
			s.kill()
			s.start()
		}
	}
	raised := func() map[string]map[string]bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		ids := make(map[string]map[string]bool)
		for _, ev := range a.events {
			if ev.Type == diagnose.Raised {
				device := string(ev.Diagnosis.Device)
				if ids[device] == nil {
					ids[device] = make(map[string]bool)
				}
				ids[device][fmt.Sprint(ev.Diagnosis.ID, ev.Diagnosis.Occurrence, ev.EventID)] = true
			}
		}
		return ids
	}
	eventually(t, "an event for every device", func() bool { return len(raised()) == devices })
	for device, ids := range raised() {
		if len(ids) != 1 {
			t.Errorf("%s raised as %v", device, ids)
		}
	}
	s.kill()
	s.start()
	for i := range devices {
		device := fmt.Sprintf("d%d", i)
		eventually(t, "the snapshot after the restart", func() bool {
			snap, ok := a.snapshot(device)
			return ok && len(snap.Diagnoses) == 1 && snap.Diagnoses[0].Stale
		})
		snap, _ := a.snapshot(device)
		for id := range raised()[device] {
			if d := snap.Diagnoses[0]; !strings.HasPrefix(id, fmt.Sprint(d.ID, d.Occurrence)) {
				t.Errorf("%s: %s #%d after the restart, was %s", device, d.ID, d.Occurrence, id)
			}
		}
	}
}

// TestReload swaps the configuration on SIGHUP, and keeps the old one when the
// new one is wrong.
func TestReload(t *testing.T) {
	file := filepath.Join(t.TempDir(), "fieldmedic.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	address := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	listen := "mqtt:\n  listen: " + address + "\n"
	write(listen)
	s := newService(t, "--config", file)
	s.start()
	a := connectApp(t, address)
	hup := func(text string) {
		write(text)
		if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	hup("langages: [zh-Hans]\n")
	eventually(t, "info says what is wrong", func() bool {
		return strings.Contains(a.last("diagnostics/gw-01/info"), "fieldmedic.yaml:1:1: langages: unknown key (did you mean languages?)")
	})
	if !strings.Contains(s.info(), `"languages":["en"]`) {
		t.Error("the old configuration is gone: ", s.info())
	}
	hup(listen + "languages: [zh-Hans, en]\nsources:\n  - {name: other, topic: \"site/{device}/up\", format: dna}\n")
	eventually(t, "the new configuration is in force", func() bool {
		text := a.last("diagnostics/gw-01/info")
		return strings.Contains(text, `"languages":["zh-Hans","en"]`) && strings.Contains(text, `"reload_error":null`)
	})
	eventually(t, "the new source is read, in the new language", func() bool {
		a.report("site/ac-7/up", `{"status":-4013}`) // again: who subscribes after the first does not get it
		snap, ok := a.snapshot("ac-7")
		return ok && len(snap.Diagnoses) == 1 && snap.Diagnoses[0].Title == snap.Diagnoses[0].Advice["zh-Hans"].Title
	})
	// Another base topic needs a new start inside the process.
	state := "site/diagnostics/gw-01/state"
	hup(listen + "  base_topic: site/diagnostics\n")
	retained := func(topic string) string { return mosquittoSub(t, address, topic) }
	eventually(t, "it started anew", func() bool { return strings.Contains(retained(state), `"online"`) })
	// A start that fails goes back to what ran.
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	hup("mqtt:\n  base_topic: site/diagnostics\n  listen: " + busy.Addr().String() + "\n")
	eventually(t, "the old one goes on", func() bool {
		return strings.Contains(s.stderr.String(), "the old one goes on") && strings.Contains(retained(state), `"online"`) &&
			strings.Contains(retained("site/diagnostics/gw-01/info"), "is taken by another program")
	})
}

// mosquittoSub answers what is retained on a topic, or "".
func mosquittoSub(t *testing.T, address, topic string) string {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("mosquitto_sub", "-h", host, "-p", port, "-t", topic, "-C", "1", "-W", "1").Output()
	if err != nil {
		return "" // nothing yet, or nobody listens at the moment
	}
	return string(out)
}

// TestStartRefused: what is wrong at the start is told with what to do, and
// nothing is started.
func TestStartRefused(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	taken := busy.Addr().String()
	free := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	running := newService(t, "--mqtt-listen", free)
	running.start()
	dir := t.TempDir()
	wrong := filepath.Join(dir, "wrong.yaml")
	if err := os.WriteFile(wrong, []byte("mqtt:\n  listn: x\nchecks:\n  timeout: fast\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	rulesDir := filepath.Join(dir, "rules.d")
	if err := os.MkdirAll(rulesDir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(rulesDir, "site.yaml"), []byte("pack: site\nversion: one\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(dir, "state")
	for name, test := range map[string]struct {
		args []string
		code int
		want []string
	}{
		"broker's port": {[]string{"--mqtt-listen", taken, "--web-listen=", "--state-dir", state}, 1, []string{taken, "mqtt.listen"}},
		"page's port":   {[]string{"--mqtt-listen", "127.0.0.1:0", "--web-listen", taken, "--state-dir", state}, 1, []string{taken, "web.listen"}},
		"state in use": {
			[]string{"--mqtt-listen", "127.0.0.1:0", "--web-listen=", "--state-dir", running.args[4]},
			1,
			[]string{"in use", fmt.Sprint("pid ", running.cmd.Process.Pid)},
		},
		"configuration": {[]string{"--config", wrong}, 2, []string{
			"wrong.yaml:2:3: mqtt.listn: unknown key (did you mean mqtt.listen?)", "wrong.yaml:4:12: checks.timeout:",
		}},
		"rules": {[]string{"--rules-dir", rulesDir, "--state-dir", state}, 2, []string{"site.yaml:2:10:"}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			cmd := command(t, append([]string{"run"}, test.args...)...)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			go func() { <-ctx.Done(); _ = cmd.Process.Kill() }()
			err := cmd.Run()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != test.code {
				t.Errorf("%v, want exit code %d", err, test.code)
			}
			for _, want := range test.want {
				if !strings.Contains(stderr.String(), want) {
					t.Errorf("said %q, want %q in it", stderr.String(), want)
				}
			}
		})
	}
	if _, err := os.Stat(filepath.Join(state, "fieldmedic.sock")); err == nil {
		t.Error("a start that failed left its socket behind")
	}
}

// TestNotify: systemd is told when the service is up, and its watchdog is fed.
func TestNotify(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s := newService(t, "--mqtt-listen", fmt.Sprintf("127.0.0.1:%d", freePort(t)))
	s.env = []string{"NOTIFY_SOCKET=" + socket, "WATCHDOG_USEC=900000"}
	s.start()
	seen := map[string]int{}
	buf := make([]byte, 4096)
	for seen["READY=1"] == 0 || seen["WATCHDOG=1"] < 3 || seen["STATUS=diagnosing"] == 0 {
		if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatalf("told so far: %v: %v", seen, err)
		}
		seen[string(buf[:n])]++
	}
}
