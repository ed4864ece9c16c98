package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/uuid"
)

// The seal is a witness beside the store. After each commit it notes what the
// store must know, in a file that nobody waits for: the page cache keeps it
// when the process is killed, and after a loss of power it may be behind the
// store, never ahead, for the store is synced first. So a store that is behind
// its seal has lost commits, and the seal tells how many.

const (
	sealName  = "fieldmedic.seal"
	sealMagic = "fmseal1\n"
	// sealSlot keeps the slots on pages of their own: one may be torn.
	sealSlot = 4096
)

// witness is what one slot holds.
type witness struct {
	epoch uuid.UUID
	turn  int64 // grows with each write: the higher one is the newer
	// commit and seq are the last ones that were made durable.
	commit, seq int64
	// next is the last number of a commit in the making: it may be in the store,
	// though nobody was told, and be lost with it.
	next   int64
	cursor int64
	floor  int64 // numbers up to it were let go of on purpose
	at     int64 // unix milliseconds of the last commit under a clock that is believed
}

const witnessSize = len(sealMagic) + 16 + 7*8 + 4

func (w *witness) encode() []byte {
	b := append(make([]byte, 0, witnessSize), sealMagic...)
	b = append(b, w.epoch[:]...)
	for _, v := range []int64{w.turn, w.commit, w.seq, w.next, w.cursor, w.floor, w.at} {
		b = binary.LittleEndian.AppendUint64(b, uint64(v))
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli()))
}

func decodeWitness(b []byte) (w witness, ok bool) {
	if len(b) < witnessSize || string(b[:len(sealMagic)]) != sealMagic {
		return w, false
	}
	end := witnessSize - 4
	if binary.LittleEndian.Uint32(b[end:]) != crc32.Checksum(b[:end], castagnoli()) {
		return w, false
	}
	b = b[len(sealMagic):]
	copy(w.epoch[:], b)
	b = b[len(w.epoch):]
	for _, to := range []*int64{&w.turn, &w.commit, &w.seq, &w.next, &w.cursor, &w.floor, &w.at} {
		*to = int64(binary.LittleEndian.Uint64(b))
		b = b[8:]
	}
	return w, true
}

// errNoSeal: there is no witness, or none that can be read.
var errNoSeal = errors.New("the seal is missing or cannot be read")

// readSeal gives the newer of the two slots.
func readSeal(name string) (witness, error) {
	b, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return witness{}, errNoSeal
	}
	if err != nil {
		return witness{}, fmt.Errorf("read %s: %w", name, err)
	}
	var newest witness
	found := false
	for slot := range slices.Chunk(b, sealSlot) {
		if w, ok := decodeWitness(slot); ok && (!found || w.turn > newest.turn) {
			newest, found = w, true
		}
	}
	if !found {
		return witness{}, errNoSeal
	}
	return newest, nil
}

// seal writes the witness. Its blocks are there from the start, so that a full
// disk does not matter to it.
type seal struct {
	file *os.File
	turn int64
}

// openSeal opens the file, and makes its blocks where they are not.
func openSeal(name string, turn int64) (*seal, error) {
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the seal: %w", err)
	}
	info, err := file.Stat()
	if err == nil && info.Size() < 2*sealSlot {
		_, err = file.WriteAt(make([]byte, 2*sealSlot-info.Size()), info.Size())
		err = errors.Join(err, file.Sync())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make the seal: %w", err), file.Close())
	}
	return &seal{file: file, turn: turn}, nil
}

// write notes a witness in the slot that is older.
func (l *seal) write(w witness) error {
	l.turn++
	w.turn = l.turn
	if _, err := l.file.WriteAt(w.encode(), l.turn%2*sealSlot); err != nil {
		return fmt.Errorf("write the seal: %w", err)
	}
	return nil
}

// witness is what the store knows now. The caller holds s.writing.
func (s *Store) witness() witness {
	return witness{
		epoch: *s.epoch.Load(), commit: s.commits, seq: s.seq.Load(), next: s.next, cursor: s.cursor.Load(), floor: s.floor, at: s.newest.Load(),
	}
}

// note writes it down. A seal that stays behind is a witness that sees less: no
// reason to stop. The caller holds s.writing.
func (s *Store) note() { s.trouble("write the seal", s.seal.write(s.witness())) }

// keepSeal makes the seal anew when somebody took it away.
func (s *Store) keepSeal() error {
	name := filepath.Join(s.opts.Dir, sealName)
	s.writing.Lock()
	defer s.writing.Unlock()
	there, err := os.Stat(name)
	if err == nil {
		var ours os.FileInfo
		if ours, err = s.seal.file.Stat(); err == nil && os.SameFile(there, ours) {
			return nil
		}
	}
	fresh, err := openSeal(name, s.seal.turn)
	if err != nil {
		return err
	}
	old := s.seal
	s.seal = fresh
	s.note()
	return old.file.Close()
}
