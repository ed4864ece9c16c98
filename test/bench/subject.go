package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// subject is a program that is measured.
type subject struct {
	name string
	// command starts it at a broker.
	command func(broker string) *exec.Cmd
	// size of its binary in bytes; 0: not told.
	binary string
	// isAgent: it diagnoses; else it publishes again what it receives.
	isAgent bool
}

// stateName is the agent's state directory below the run's.
const stateName = "state"

func agentSubject(binary, dir, profile string) subject {
	return subject{name: "fieldmedic", binary: binary, isAgent: true, command: func(broker string) *exec.Cmd {
		cmd := exec.Command(binary, "run", "--config", os.DevNull, "--mqtt-broker", broker, "--gateway", "bench",
			"--web-listen=", "--state-dir", filepath.Join(dir, stateName), "--log-level", "warn")
		cmd.Env = append(os.Environ(), "RUNTIME_DIRECTORY="+dir)
		if profile != "" {
			cmd.Env = append(cmd.Env, "CPUPROFILE="+profile)
		}
		return cmd
	}}
}

func echoSubject() subject {
	return subject{name: "echo", command: func(broker string) *exec.Cmd {
		self, err := os.Executable()
		if err != nil {
			self = os.Args[0]
		}
		return exec.Command(self, "-echo", broker)
	}}
}

// runEcho publishes each status again as an event, QoS 1 both ways, with at
// most a thousand unacknowledged: the least that any agent on this client
// library does.
func runEcho(broker string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	tokens := make(chan paho.Token, 1000)
	go func() {
		for t := range tokens {
			<-t.Done()
		}
	}()
	// The handler must never wait: the acknowledgements of what is published
	// come by the same connection, behind what it would wait with.
	messages := make(chan paho.Message, 1<<17)
	opts := paho.NewClientOptions().AddBroker(broker).SetClientID("echo").SetCleanSession(false).
		SetAutoReconnect(false).SetStore(paho.NewMemoryStore()).
		SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) { messages <- m })
	client := paho.NewClient(opts)
	if t := client.Connect(); !t.WaitTimeout(10*time.Second) || t.Error() != nil {
		return fmt.Errorf("connect: %w", t.Error())
	}
	if t := client.Subscribe("devices/+/status", 1, nil); !t.WaitTimeout(10*time.Second) || t.Error() != nil {
		return fmt.Errorf("subscribe: %w", t.Error())
	}
	for {
		select {
		case m := <-messages:
			tokens <- client.Publish(eventTopic, 1, false, m.Payload())
		case <-ctx.Done():
			client.Disconnect(100)
			return nil
		}
	}
}

// process is a running subject.
type process struct {
	cmd *exec.Cmd
}

func (s subject) start(broker string) (*process, error) {
	cmd := s.command(broker)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	return &process{cmd}, nil
}

func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	_ = p.cmd.Wait()                          // its exit code is no figure
}

// cpu is the processor time it took so far, in seconds (proc(5), utime and
// stime of /proc/PID/stat in clock ticks of 1/100 s).
func (p *process) cpu() (float64, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(content), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("read the process's times: %d fields", len(fields))
	}
	user, err := strconv.ParseFloat(fields[11], 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseFloat(fields[12], 64)
	return (user + system) / 100, err
}

// memory reads VmRSS or VmHWM in MiB.
func (p *process) memory(field string) (float64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }() // only read
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), field+":"); ok {
			kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
			return kib / 1024, err
		}
	}
	return 0, fmt.Errorf("%s is not told", field)
}

func cpuModel() string {
	content, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown processor"
	}
	for line := range strings.SplitSeq(string(content), "\n") {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown processor"
}

// fileSystem names the kind of file system that holds dir.
func fileSystem(dir string) string {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return "an unknown file system"
	}
	switch uint32(st.Type) { // its size differs by machine; the numbers have 32 bits
	case 0xEF53:
		return "ext4"
	case 0x01021994:
		return "tmpfs"
	case 0x58465342:
		return "xfs"
	case 0x9123683E:
		return "btrfs"
	case 0x794C7630:
		return "overlayfs"
	}
	return fmt.Sprintf("file system %#x", st.Type)
}
