package web

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"fieldmedic/internal/diagnose"
)

func TestClient(t *testing.T) {
	s := serve(t, func(o *Options) { o.Tokens = []Token{{Role: Technician}} }) // no token is asked for on the socket
	d := fault("dns-failed", -4013, diagnose.Major)
	for i := range 5 {
		s.store.add("room/"+strconv.Itoa(i), d)
	}
	d.Device = "room/3"
	s.store.event(t, diagnose.Raised, d)
	s.store.event(t, diagnose.Cleaned, d)
	client := Dial(filepath.Join(t.TempDir(), "none.sock"), s.socket)
	ctx := t.Context()
	var ids []string
	for snap, err := range client.Devices(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, string(snap.Device))
	}
	if got := strings.Join(ids, " "); got != "room/0 room/1 room/2 room/3 room/4" {
		t.Errorf("devices: %s", got)
	}
	for _, err := range client.Devices(ctx) {
		if err != nil {
			t.Error(err)
		}
		break // who has seen enough may leave
	}
	snap, err := client.Device(ctx, "room/3")
	if err != nil || snap.Health != diagnose.HealthFailed || len(snap.Diagnoses) != 1 || snap.Diagnoses[0].Advice["en"].User[0].ID != "one" {
		t.Errorf("device: %+v, %v", snap, err)
	}
	if site, err := client.Site(ctx); err != nil || site.Gateway != "gw-01" || site.Health != diagnose.HealthOK {
		t.Errorf("site: %+v, %v", site, err)
	}
	for _, c := range []struct {
		device string
		after  int64
		want   string
	}{{"room/3", -1, "1 raised 2 cleared"}, {"", 1, "2 cleared"}, {"", 2, ""}, {"room/1", -1, ""}} {
		events, err := client.Events(ctx, c.device, c.after, 10)
		var got []string
		for _, e := range events {
			got = append(got, fmt.Sprint(e.Seq, " ", e.Type))
		}
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("events of %q after %d: %v, %v", c.device, c.after, got, err)
		}
	}
	var told *Error
	if _, err := client.Device(ctx, "room/9"); !errors.As(err, &told) || told.Status != 404 || err.Error() != `no device "room/9" is known here` {
		t.Errorf("a device that is not there: %v", err)
	}
}

func TestClientDecides(t *testing.T) {
	s := serve(t, nil)
	client, device := Dial(s.socket), "room/3"
	answered, err := client.Decide(t.Context(), diagnose.Request{Verb: diagnose.AddNote, Device: &device, By: "anna", Note: "hot"})
	if err != nil || !answered.OK {
		t.Errorf("note: %+v, %v", answered, err)
	}
	if r := s.decided[0]; *r.Device != device || r.By != "anna" || r.Note != "hot" || r.Verb != diagnose.AddNote {
		t.Errorf("decided %+v", r)
	}
	for note, want := range map[string]string{"not now": "nothing is open on the device", "": "note is empty (the text to keep)"} {
		answered, err := client.Decide(t.Context(), diagnose.Request{Verb: diagnose.AddNote, Transaction: "t9", Device: &device, Note: note})
		if err != nil || answered.OK || answered.Error != want || answered.Transaction != "t9" {
			t.Errorf("note %q: %+v, %v", note, answered, err)
		}
	}
	if _, err := client.Decide(t.Context(), diagnose.Request{Verb: diagnose.Resolve}); err != nil {
		t.Errorf("at the site: %v", err)
	}
	if r := s.decided[len(s.decided)-1]; r.Device != nil || r.Verb != diagnose.Resolve {
		t.Errorf("decided %+v", r)
	}
}

func TestNobodyIsThere(t *testing.T) {
	dir := t.TempDir()
	left := filepath.Join(dir, "left.sock") // what a killed process leaves
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: left, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	none := filepath.Join(dir, "none.sock")
	_, err = Dial(none, left).Site(context.Background())
	if want := "no fieldmedic is running here (looked for " + none + ", " + left + ")"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	for _, err := range Dial(none).Devices(context.Background()) {
		if err == nil || !strings.HasPrefix(err.Error(), "no fieldmedic is running here") {
			t.Errorf("devices: %v", err)
		}
	}
}

func TestSocketIsOurs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fieldmedic.sock")
	mode := func() os.FileMode {
		t.Helper()
		f, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		return f.Mode()
	}
	for range 2 { // the second takes over what the first left behind
		l, err := ListenSocket(path, "")
		if err != nil {
			t.Fatal(err)
		}
		if m := mode(); m != os.ModeSocket|0o600 {
			t.Errorf("mode is %v", m)
		}
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	l, err := ListenSocket(path, strconv.Itoa(os.Getgid()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if m := mode(); m != os.ModeSocket|0o660 {
		t.Errorf("mode for a group is %v", m)
	}
}

func TestSocketThatCannotBe(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ path, group, want string }{
		{file, "", "something else has that name (move it away)"},
		{filepath.Join(dir, strings.Repeat("x", 110)), "", "(107 at most; set state.dir)"},
		{filepath.Join(dir, "none", "s"), "", "listen on the control socket"},
		{filepath.Join(dir, "s"), "no-such-group", `web.socket_group: group "no-such-group" is not known`},
	} {
		if _, err := ListenSocket(c.path, c.group); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.path, err, c.want)
		}
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "mine" {
		t.Errorf("the file was touched: %q, %v", b, err)
	}
}
