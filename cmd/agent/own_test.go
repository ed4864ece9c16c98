package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"fieldmedic/internal/diagnose"
	"fieldmedic/internal/mqtt"
)

// told gathers what the loop is told of the agent's own faults.
type told struct {
	list []string
	full bool
}

func (l *told) deliver(d diagnose.Delivery) bool {
	if l.full {
		return false
	}
	o := d.Observation
	verb := "+"
	if o.Says == diagnose.SaysOver {
		verb = "-"
	}
	if o.Device != "" || o.Key.Producer != diagnose.ProducerAgent {
		verb = "?"
	}
	l.list = append(l.list, verb+o.Key.Name)
	return true
}

func (l *told) take() []string {
	list := l.list
	l.list = nil
	return list
}

func TestOwnFaults(t *testing.T) {
	var loop told
	var shown []string
	o := newOwnFaults(time.Now, loop.deliver, func(names []string) { shown = names })
	connected := mqtt.LinkStatus{State: mqtt.LinkConnected}
	o.links(connected, connected)
	o.tell()
	first := loop.take()
	for _, name := range []string{"-" + ownUnreachable, "-" + ownStorageFull, "-" + ownClock} {
		if !slices.Contains(first, name) {
			t.Errorf("a start does not say %s: what an earlier run left open would stay (told %v)", name, first)
		}
	}
	if slices.Contains(first, "-"+ownStoreDamaged) {
		t.Error("a start says that the damage of the store is over; that is for its rule to say")
	}
	steps := []struct {
		what  string
		do    func()
		tells []string
		shows []string
	}{
		{"nothing new", func() { o.links(connected, connected) }, nil, nil},
		{
			"the broker is away", func() { o.links(connected, mqtt.LinkStatus{State: mqtt.LinkUnreachable, Detail: "refused"}) },
			[]string{"+" + ownUnreachable},
			[]string{ownUnreachable},
		},
		{
			"it stays away", func() { o.links(connected, mqtt.LinkStatus{State: mqtt.LinkUnreachable, Detail: "timeout"}) },
			nil,
			[]string{ownUnreachable},
		},
		{
			"another fault in its place", func() { o.links(mqtt.LinkStatus{State: mqtt.LinkAuthFailed}, connected) },
			[]string{"+" + ownAuthFailed, "-" + ownUnreachable},
			[]string{ownAuthFailed},
		},
		{"the inbox is full: told later", func() { loop.full = true; o.links(connected, connected) }, nil, nil},
		{"room again", func() { loop.full = false }, []string{"-" + ownAuthFailed}, nil},
		{"the store is full: the loop says so itself", func() { o.set(ownStorageFull, "no space") }, nil, []string{ownStorageFull}},
		{"and again it works", func() { o.end(ownStorageFull) }, []string{"-" + ownStorageFull}, nil},
		{"the store was damaged", func() { o.happened(ownStoreDamaged, "one row") }, []string{"+" + ownStoreDamaged}, []string{ownStoreDamaged}},
		{
			"a new engine is told again", func() {
				o.end(ownStoreDamaged)
				o.set(ownClock, "1970")
				o.tell()
				loop.take()
				o.again()
				o.tell()
				loop.list = keep(loop.list, "+")
			},
			[]string{"+" + ownClock},
			[]string{ownClock},
		},
	}
	for _, step := range steps {
		shown = o.list()
		step.do()
		o.tell()
		if got := loop.take(); !slices.Equal(got, step.tells) {
			t.Errorf("%s: the loop is told %v, want %v", step.what, got, step.tells)
		}
		if !slices.Equal(shown, step.shows) && (len(shown) > 0 || len(step.shows) > 0) {
			t.Errorf("%s: the topic state shows %v, want %v", step.what, shown, step.shows)
		}
	}
}

func keep(list []string, prefix string) []string {
	return slices.DeleteFunc(list, func(s string) bool { return !strings.HasPrefix(s, prefix) })
}

// smallDisk mounts a file system of that size in memory; the test needs root
// for it, and says so where it has not.
func smallDisk(t *testing.T, dir, size string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0700,size="+size); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("a small file system cannot be mounted, and this machine is to test it: ", err)
		}
		t.Skip("a small file system cannot be mounted, which needs root: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// fill takes all the room there is.
func fill(t *testing.T, file string) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := bytes.Repeat([]byte("x"), 64<<10); len(block) > 0; {
		if _, err := f.Write(block); err != nil {
			block = block[:len(block)/2]
		}
	}
}

// A disk that is full stops the taking of messages, and nothing else: the
// fault is shown, and what was sent meanwhile is diagnosed when there is room.
func TestDiskFull(t *testing.T) {
	state := filepath.Join(t.TempDir(), "small")
	smallDisk(t, state, "4m")
	r := startAgent(t, "", "--state-dir", state)
	a := connectApp(t, r.mqtt)
	a.report("devices/before/status", `{"status":-4013}`)
	eventually(t, "before is raised", func() bool { return len(a.seen("before")) > 0 })
	ballast := filepath.Join(state, "somebody-else")
	fill(t, ballast)
	stateFaults := func() []string {
		var s mqtt.StateJSON
		if last := a.last("diagnostics/gw-01/state"); last == "" || json.Unmarshal([]byte(last), &s) != nil {
			return nil
		}
		return s.Faults
	}
	n := 0
	eventually(t, "the topic state shows storage-full", func() bool {
		n++ // the first messages may still fit
		if n <= 200 {
			a.report("devices/during/status", `{"status":-4013}`)
		}
		return slices.Contains(stateFaults(), ownStorageFull)
	})
	eventually(t, "the site's snapshot shows storage-full", func() bool {
		return strings.Contains(a.last("diagnostics/gw-01/site"), `"`+ownStorageFull+`"`)
	})
	if page := r.get("/api/v1/site"); !strings.Contains(page, ownStorageFull) {
		t.Errorf("the API's site says nothing of %s: %s", ownStorageFull, page)
	}
	a.report("devices/after/status", `{"status":-4028}`)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	eventually(t, "after is raised", func() bool { return len(a.seen("after")) > 0 })
	eventually(t, "the topic state shows no fault", func() bool { return len(stateFaults()) == 0 })
	eventually(t, "the fault is cleared", func() bool {
		return strings.Contains(r.get("/api/v1/events?after=0"), `"type":"cleared"`)
	})
	if code := r.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
