package web

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
)

// Role is what a token's holder may do.
type Role string

const (
	// Reader may look at everything and decide nothing.
	Reader Role = "reader"
	// Technician may decide too.
	Technician Role = "technician"
)

// Token is one line of the token file. The token itself is not kept, only its
// hash.
type Token struct {
	Role Role
	salt []byte
	sum  [sha256.Size]byte
}

// maxTokenFile bounds the token file in bytes.
const maxTokenFile = 64 << 10

// hashMark begins a hash: $sha256$<salt, hex>$<SHA-256 of salt and token, hex>.
// A fast hash is enough where tokens are made by a random generator; a token
// that a person thinks up is guarded by the limit on tries only.
const hashMark = "$sha256$"

// ReadTokens reads a token file: a line is "role:token" or "role:hash", the
// roles are reader and technician, and a line without a role is a
// technician's. A hash begins with $, a token never does. Blank lines and those
// that begin with # say nothing. All mistakes come at once, each with file and
// line, and none repeats a secret.
func ReadTokens(file string) ([]Token, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read the token file: %w", err)
	}
	defer func() { _ = f.Close() }() // it is only read
	content, err := io.ReadAll(io.LimitReader(f, maxTokenFile+1))
	if err != nil {
		return nil, fmt.Errorf("read the token file: %w", err)
	}
	if len(content) > maxTokenFile {
		return nil, fmt.Errorf("%s: the file is too large (%d bytes at most)", file, maxTokenFile)
	}
	content = bytes.TrimPrefix(content, []byte("\ufeff")) // some editors put it there
	var tokens []Token
	var mistakes []error
	n := 0
	for line := range strings.Lines(string(content)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		t, err := parseToken(line)
		if err != nil {
			mistakes = append(mistakes, fmt.Errorf("%s:%d: %w", file, n, err))
			continue
		}
		tokens = append(tokens, t)
	}
	if len(tokens) == 0 && len(mistakes) == 0 {
		mistakes = append(mistakes, fmt.Errorf("%s:1: there is no token in it (one a line, role:token)", file))
	}
	if len(mistakes) > 0 {
		return nil, errors.Join(mistakes...)
	}
	return tokens, nil
}

// HashToken makes the line of a token file that lets a token's holder in with a
// role, without the token itself: its salted hash. An error means that there is
// no such role, or that the machine has no randomness.
func HashToken(role Role, token string) (string, error) {
	if role != Reader && role != Technician {
		return "", fmt.Errorf("%q is no role (reader or technician)", role)
	}
	salt := make([]byte, 16)
	if _, err := rand.Read(salt); err != nil {
		return "", fmt.Errorf("make a salt: %w", err)
	}
	sum := sha256.Sum256(append(bytes.Clone(salt), token...))
	return string(role) + ":" + hashMark + hex.EncodeToString(salt) + "$" + hex.EncodeToString(sum[:]), nil
}

func parseToken(line string) (Token, error) {
	t := Token{Role: Technician}
	secret := line
	if role, rest, ok := strings.Cut(line, ":"); ok {
		t.Role, secret = Role(strings.TrimSpace(role)), strings.TrimSpace(rest)
		if t.Role != Reader && t.Role != Technician {
			return t, errors.New("what stands before the colon is no role (reader or technician)")
		}
	}
	switch {
	case secret == "":
		return t, errors.New("the token is empty (role:token)")
	case strings.HasPrefix(secret, "$"):
		return t, t.setHash(secret)
	case strings.ContainsFunc(secret, func(r rune) bool { return r > unicode.MaxASCII || !unicode.IsGraphic(r) || r == ' ' }):
		return t, errors.New("the token holds a sign that no request can carry (visible ASCII without spaces)")
	}
	t.sum = sha256.Sum256([]byte(secret))
	return t, nil
}

func (t *Token) setHash(text string) error {
	rest, ok := strings.CutPrefix(text, hashMark)
	salt, sum, two := strings.Cut(rest, "$")
	if !ok || !two {
		return errors.New("the hash has an unknown form ($sha256$SALT$HASH, both in hex)")
	}
	var err error
	if t.salt, err = hex.DecodeString(salt); err != nil {
		return errors.New("the salt of the hash is not hex (digits and a to f, in pairs)")
	}
	if n, err := hex.Decode(t.sum[:], []byte(sum[:min(len(sum), 2*len(t.sum))])); err != nil || n != len(t.sum) || len(sum) != 2*n {
		return fmt.Errorf("the hash is not a SHA-256 in hex (%d digits)", 2*len(t.sum))
	}
	return nil
}

// findToken looks a token up. The time it takes does not depend on which one
// it is like, or how much.
func findToken(tokens []Token, given string) (Role, bool) {
	var role Role
	found := false
	for _, t := range tokens {
		sum := sha256.Sum256(append(bytes.Clone(t.salt), given...))
		if subtle.ConstantTimeCompare(sum[:], t.sum[:]) == 1 {
			// A technician's line beats a reader's with the same token.
			if role != Technician {
				role = t.Role
			}
			found = true
		}
	}
	return role, found
}
