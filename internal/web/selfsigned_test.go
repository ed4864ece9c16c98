package web

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

func TestSelfSignedIsKept(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, selfSignedFile)
	now := noon
	made := func(hosts ...string) string {
		t.Helper()
		cert, print, err := selfSigned(dir, hosts, now)
		if err != nil {
			t.Fatal(err)
		}
		for _, host := range append(hosts, "localhost", "127.0.0.1", "::1") {
			if err := cert.Leaf.VerifyHostname(host); err != nil {
				t.Errorf("%s: %v", host, err)
			}
		}
		if now.Before(cert.Leaf.NotBefore) || now.After(cert.Leaf.NotAfter) {
			t.Errorf("good from %s to %s", cert.Leaf.NotBefore, cert.Leaf.NotAfter)
		}
		f, err := os.Stat(file)
		if err != nil || f.Mode().Perm() != 0o600 {
			t.Errorf("mode of the file: %v, %v", f.Mode(), err)
		}
		return print
	}
	first := made("Gateway.example.org", "192.0.2.1")
	if !regexp.MustCompile(`^([0-9A-F]{2}:){31}[0-9A-F]{2}$`).MatchString(first) {
		t.Errorf("fingerprint %q", first)
	}
	if again := made("192.0.2.1", "gateway.example.org"); again != first {
		t.Error("a start makes a new one")
	}
	second := made("192.0.2.2")
	if second == first {
		t.Error("other hosts have the same one")
	}
	now = now.Add(selfSignedFor - 45*24*time.Hour)
	if again := made("192.0.2.2"); again != second {
		t.Error("a new one six weeks before the end")
	}
	now = now.Add(30 * 24 * time.Hour)
	third := made("192.0.2.2")
	if third == second {
		t.Error("the same one in its last month")
	}
	if err := os.WriteFile(file, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	fourth := made("192.0.2.2")
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if fifth := made("192.0.2.2"); fifth == fourth {
		t.Error("a key that others could read is used on")
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".web-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if _, _, err := SelfSigned(filepath.Join(dir, "none"), nil); err == nil {
		t.Error("a missing directory is no error")
	}
}
