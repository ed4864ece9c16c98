package probe

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"fieldmedic/internal/diagnose"
)

// fakeProc writes what the kernel would show; "" leaves a file out.
func fakeProc(t *testing.T, descriptors int, meminfo, sockstat string) string {
	t.Helper()
	proc := t.TempDir()
	for _, dir := range []string{"self/fd", "self/net"} {
		if err := os.MkdirAll(filepath.Join(proc, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, text string) {
		if text == "" {
			return
		}
		if err := os.WriteFile(filepath.Join(proc, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for i := range descriptors + 1 { // the directory itself is one
		write("self/fd/"+strings.Repeat("x", i+1), "x")
	}
	write("meminfo", meminfo)
	write("self/net/sockstat", sockstat)
	return proc
}

func TestHost(t *testing.T) {
	const (
		meminfo  = "MemTotal:        1000000 kB\nMemFree:   10 kB\nMemAvailable:     204800 kB\n"
		sockstat = "sockets: used 47\nTCP: inuse 24 orphan 0 tw 35 alloc 25 mem 245\n"
	)
	hidden := errors.New("hidden")
	tests := map[string]struct {
		descriptors       int
		meminfo, sockstat string
		limitErr, idleErr error
		idle              uint64
		open              error
		result            string
		parts             [3]string
	}{
		"well": {
			descriptors: 10, meminfo: meminfo, sockstat: sockstat, result: "ok",
			parts: [3]string{"10 of 100 descriptors", "200 MiB memory available", "a socket can be opened, 47 in use"},
		},
		"descriptors": {
			descriptors: 95, meminfo: meminfo, sockstat: sockstat, result: "exhausted",
			parts: [3]string{"95 of 100 descriptors", "200 MiB memory available", "a socket can be opened, 47 in use"},
		},
		"just enough": {
			descriptors: 94, meminfo: "MemAvailable: 16384 kB\n", result: "ok",
			parts: [3]string{"94 of 100 descriptors", "16 MiB memory available", "a socket can be opened"},
		},
		"memory": {
			descriptors: 10, meminfo: "MemAvailable: 16383 kB\n", sockstat: sockstat, result: "exhausted",
			parts: [3]string{"10 of 100 descriptors", "15 MiB memory available", "a socket can be opened, 47 in use"},
		},
		"meminfo hidden, plenty idle": {
			descriptors: 10, sockstat: sockstat, idle: 300 << 20, result: "ok",
			parts: [3]string{"10 of 100 descriptors", "at least 300 MiB memory available", "a socket can be opened, 47 in use"},
		},
		"meminfo hidden, little idle": {
			descriptors: 10, sockstat: sockstat, idle: 1 << 20, result: "ok",
			parts: [3]string{"10 of 100 descriptors", "memory not seen: open PROC/meminfo: no such file or directory", "a socket can be opened, 47 in use"},
		},
		"meminfo without the figure": {
			descriptors: 10, meminfo: "MemFree: 10 kB\n", idleErr: hidden, result: "ok",
			parts: [3]string{"10 of 100 descriptors", "memory not seen: read PROC/meminfo: MemAvailable: the figure is missing", "a socket can be opened"},
		},
		"meminfo with nonsense": {
			descriptors: 10, meminfo: "MemAvailable: much\n", idleErr: hidden, result: "ok",
			parts: [3]string{"10 of 100 descriptors", `memory not seen: read PROC/meminfo: strconv.ParseUint: parsing "much": invalid syntax`, "a socket can be opened"},
		},
		"no socket": {
			descriptors: 10, meminfo: meminfo, sockstat: sockstat, open: syscall.EMFILE, result: "exhausted",
			parts: [3]string{"10 of 100 descriptors", "200 MiB memory available", "no socket left (too many open files), 47 in use"},
		},
		"no free port": {
			descriptors: 10, meminfo: meminfo, open: &os.SyscallError{Syscall: "bind", Err: syscall.EADDRINUSE}, result: "exhausted",
			parts: [3]string{"10 of 100 descriptors", "200 MiB memory available", "no socket left (bind: address already in use)"},
		},
		"nothing seen": {
			descriptors: 10, limitErr: hidden, idleErr: hidden, open: syscall.EPERM, result: "",
			parts: [3]string{"descriptors not seen: hidden", "memory not seen: open PROC/meminfo: no such file or directory", "sockets not seen: operation not permitted"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proc := fakeProc(t, test.descriptors, test.meminfo, test.sockstat)
			p := newHost(HostOptions{Proc: proc})
			p.limit = func() (uint64, error) { return 100, test.limitErr }
			p.idle = func() (uint64, error) { return test.idle, test.idleErr }
			p.open = func() error { return test.open }
			got := p.probe(t.Context(), Target{})
			got.Observed = strings.ReplaceAll(got.Observed, proc, "PROC")
			checkAnswer(t, got, test.result, "[host this machine] ("+strings.Join(test.parts[:], "; ")+") == ok")
		})
	}
}

// TestHostItself: this machine runs its tests, so it has what it needs.
func TestHostItself(t *testing.T) {
	got := NewHost(HostOptions{MinMemory: 1})(t.Context(), Target{})
	if got.Result != "ok" || !strings.Contains(got.Observed, "a socket can be opened") {
		t.Errorf("got %+v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := NewHost(HostOptions{})(ctx, Target{}); got.Verdict != diagnose.Inconclusive {
		t.Errorf("stopped: %+v", got)
	}
}
