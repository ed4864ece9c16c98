package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// spoiling is one way to damage a store: what is done to which file.
type spoiling struct {
	file string // its name
	how  string
}

// Ways to damage a file.
const (
	pageZeroed = "page zeroed"
	bitFlipped = "bit flipped"
	tailCut    = "tail cut"
	deleted    = "deleted"
)

// storeFiles are the files of a store: the database, its log and the log's
// index, and the seal, by which it knows what it held.
func storeFiles() []string {
	return []string{"fieldmedic.db", "fieldmedic.db-wal", "fieldmedic.db-shm", "fieldmedic.seal"}
}

// spoilings are all of them.
func spoilings() []spoiling {
	var list []spoiling
	for _, how := range []string{pageZeroed, bitFlipped, tailCut, deleted} {
		for _, file := range storeFiles() {
			list = append(list, spoiling{file, how})
		}
	}
	return list
}

func (s spoiling) String() string { return s.file + " " + s.how }

// possible tells whether there is anything to damage.
func (s spoiling) possible(dir string) bool {
	info, err := os.Stat(filepath.Join(dir, s.file))
	return err == nil && info.Size() > 0
}

const pageSize = 4096

// spoil does one of them, by the dice, to the store in a directory.
func spoil(dir string, dice uint64) (string, error) {
	list := spoilings()
	return list[dice%uint64(len(list))].spoil(dir, dice)
}

// spoil says what it did. A file that is not there, or empty, stays as it is.
func (s spoiling) spoil(dir string, dice uint64) (string, error) {
	rng := rand.New(rand.NewPCG(dice, 5)) //nolint:gosec // damage that can be done again
	name := filepath.Join(dir, s.file)
	if !s.possible(dir) {
		return s.String() + ", nothing there", nil
	}
	info, err := os.Stat(name)
	if err != nil {
		return "", err
	}
	if s.how == deleted {
		return s.String(), os.Remove(name)
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	at := rng.Int64N(info.Size())
	switch s.how {
	case pageZeroed:
		at -= at % pageSize
		_, err = f.WriteAt(make([]byte, min(pageSize, info.Size()-at)), at)
	case bitFlipped:
		b := make([]byte, 1)
		if _, err = f.ReadAt(b, at); err == nil {
			b[0] ^= 1 << rng.IntN(8)
			_, err = f.WriteAt(b, at)
		}
	case tailCut:
		at = info.Size()/2 + at/2
		err = f.Truncate(at)
	}
	if e := f.Close(); err == nil {
		err = e
	}
	return fmt.Sprintf("%s at %d of %d bytes", s, at, info.Size()), err
}
