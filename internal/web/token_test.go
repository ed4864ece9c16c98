package web

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func tokenFile(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestReadTokens(t *testing.T) {
	salt := []byte("salty")
	sum := sha256.Sum256(append(salt, "hashed-one"...))
	hash := "$sha256$" + hex.EncodeToString(salt) + "$" + hex.EncodeToString(sum[:])
	tokens, err := ReadTokens(tokenFile(t, "\ufeff# who may look\r\n\r\nreader:abc\n technician : def= \nbare-one\nreader:"+hash+"\n"+
		"reader:both\ntechnician:both"))
	if err != nil {
		t.Fatal(err)
	}
	for given, want := range map[string]Role{
		"abc": Reader, "def=": Technician, "bare-one": Technician, "hashed-one": Reader, "both": Technician,
		"": "", "ab": "", "abc ": "", hash: "", "# who may look": "", "reader:abc": "",
	} {
		role, ok := findToken(tokens, given)
		if role != want || ok != (want != "") {
			t.Errorf("%q: role %q, known %t", given, role, ok)
		}
	}
	for _, token := range tokens {
		if strings.Contains(fmt.Sprintf("%+v", token), "abc") {
			t.Error("a token is kept in clear")
		}
	}
}

func TestMistakesInTokens(t *testing.T) {
	for _, c := range []struct {
		content string
		want    []string
	}{
		{"", []string{":1: there is no token in it (one a line, role:token)"}},
		{"# nothing\n\n", []string{":1: there is no token in it"}},
		{"admin:secret", []string{":1: what stands before the colon is no role (reader or technician)"}},
		{"good\nreader:\n\nse cret\nbäd\n", []string{
			":2: the token is empty (role:token)",
			":4: the token holds a sign that no request can carry (visible ASCII without spaces)",
			":5: the token holds a sign that no request can carry",
		}},
		{"$argon2id$secret", []string{":1: the hash has an unknown form ($sha256$SALT$HASH, both in hex)"}},
		{"$sha256$secret", []string{":1: the hash has an unknown form"}},
		{"reader:$sha256$secret$" + strings.Repeat("0", 64), []string{":1: the salt of the hash is not hex"}},
		{"$sha256$00$secret", []string{":1: the hash is not a SHA-256 in hex (64 digits)"}},
		{"$sha256$00$" + strings.Repeat("0", 62), []string{":1: the hash is not a SHA-256"}},
		{"$sha256$00$" + strings.Repeat("0", 66), []string{":1: the hash is not a SHA-256"}},
		{strings.Repeat("x", maxTokenFile+1), []string{": the file is too large (65536 bytes at most)"}},
	} {
		file := tokenFile(t, c.content)
		tokens, err := ReadTokens(file)
		if err == nil || tokens != nil {
			t.Errorf("%.40q is accepted", c.content)
			continue
		}
		lines := strings.Split(err.Error(), "\n")
		if len(lines) != len(c.want) {
			t.Errorf("%.40q: %d mistakes: %v", c.content, len(lines), err)
			continue
		}
		for i, part := range c.want {
			if !strings.HasPrefix(lines[i], file+part) {
				t.Errorf("mistake %q, want %q", lines[i], part)
			}
		}
		if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "se cret") {
			t.Errorf("the mistake tells the token: %v", err)
		}
	}
	if _, err := ReadTokens(filepath.Join(t.TempDir(), "none")); err == nil || !strings.Contains(err.Error(), "read the token file") {
		t.Errorf("a missing file: %v", err)
	}
}
