package store

import (
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"strings"

	"fieldmedic/internal/diagnose"
)

// schemaVersion is PRAGMA user_version of the schema below, and the value of
// "schema" in meta: a bit that flips in the file's header must not look like a
// newer program's file.
const schemaVersion = 2

// Each row has a checksum over all its columns, for SQLite does not see a bit
// that flips inside a row. n is the number of the commit that wrote it: the
// highest one in the file is the last commit that the file knows of.
const schema = `
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL, crc INTEGER NOT NULL) STRICT;
CREATE TABLE log (
  seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, device TEXT NOT NULL, condition TEXT NOT NULL,
  type TEXT NOT NULL, severity TEXT NOT NULL, event_id TEXT NOT NULL, body BLOB NOT NULL,
  n INTEGER NOT NULL, crc INTEGER NOT NULL) STRICT;
CREATE INDEX log_device ON log (device, seq);
CREATE TABLE device (id TEXT PRIMARY KEY, body BLOB NOT NULL, n INTEGER NOT NULL, crc INTEGER NOT NULL) STRICT;
CREATE TABLE problem (
  device TEXT NOT NULL, condition TEXT NOT NULL, body BLOB NOT NULL, n INTEGER NOT NULL, crc INTEGER NOT NULL,
  PRIMARY KEY (device, condition)) STRICT;
CREATE TABLE sitewide (condition TEXT PRIMARY KEY, body BLOB NOT NULL, crc INTEGER NOT NULL) STRICT;
`

// Keys of the table meta.
const (
	metaSchema   = "schema"
	metaEpoch    = "epoch"
	metaPrevious = "previous" // the epoch before, while a seal may still name it
	metaBorn     = "born"
	metaCursor   = "cursor"
	metaFloor    = "floor"  // numbers up to it were let go of on purpose
	metaCommit   = "commit" // the last commit, where no row tells it
	metaFilters  = "subscriptions"
	metaRoots    = "roots"
)

// table is what the readers of whole files know of a table: its columns but
// the checksum, in the checksum's order.
type table struct {
	name string
	cols []string
	// first of the schema's versions: its checksum was over the body alone, or
	// there was none.
	first, unsummed bool
}

// Places of columns in a row of the log.
const (
	logSeq = iota
	logAt
	logDevice
	logCondition
	logType
	logSeverity
	logEventID
	logBody
	logN
)

// tables of a schema's version. State comes before the log: it is what must
// not be lost where room is short.
func tables(version int) []table {
	if version == 1 {
		return []table{
			{name: "meta", cols: []string{"key", "value"}, first: true, unsummed: true},
			{name: "device", cols: []string{"id", "body"}, first: true},
			{name: "problem", cols: []string{"device", "condition", "body"}, first: true},
			{name: "sitewide", cols: []string{"condition", "body"}, first: true, unsummed: true},
			{name: "log", cols: []string{"seq", "at", "device", "condition", "type", "event_id", "body"}, first: true},
		}
	}
	return []table{
		{name: "meta", cols: []string{"key", "value"}},
		{name: "device", cols: []string{"id", "body", "n"}},
		{name: "problem", cols: []string{"device", "condition", "body", "n"}},
		{name: "sitewide", cols: []string{"condition", "body"}},
		{name: "log", cols: []string{"seq", "at", "device", "condition", "type", "severity", "event_id", "body", "n"}},
	}
}

// query reads rows by their place in the file.
func (t *table) query() string {
	crc := "crc"
	if t.unsummed {
		crc = "0"
	}
	return "SELECT rowid, " + strings.Join(t.cols, ", ") + ", " + crc + " FROM " + t.name + " WHERE rowid BETWEEN ? AND ? ORDER BY rowid"
}

// insert writes a row of the present schema.
func (t *table) insert() string {
	return "INSERT OR IGNORE INTO " + t.name + " (" + strings.Join(t.cols, ", ") + ", crc) VALUES (" + strings.Repeat("?, ", len(t.cols)) + "?)"
}

// sound tells that a row is what was written.
func (t *table) sound(row []any, crc int64) bool {
	for _, v := range row {
		switch v.(type) {
		case int64, string, []byte:
		default: // no column holds anything else
			return false
		}
	}
	switch {
	case t.unsummed:
		return true
	case t.first:
		body, ok := row[len(row)-1].([]byte)
		return ok && int64(crc32.Checksum(body, castagnoli())) == crc
	}
	return sum(row...) == crc
}

// present brings a row of the first schema into the shape of this one.
func (t *table) present(row []any) []any {
	if !t.first {
		return row
	}
	switch t.name {
	case "device", "problem":
		return append(row, int64(0))
	case "log":
		var ev struct {
			Diagnosis struct {
				Severity diagnose.Severity `json:"severity"`
			} `json:"diagnosis"`
		}
		_ = json.Unmarshal(row[6].([]byte), &ev) // what has no severity has none
		return []any{row[0], row[1], row[2], row[3], row[4], string(ev.Diagnosis.Severity), row[5], row[6], int64(0)}
	}
	return row
}

// castagnoli is the polynomial that processors compute in one instruction; its
// table is made once, by the library.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// sum is the checksum over a row's columns, each with its kind and length, so
// that nothing can move from one to the next unseen.
func sum(row ...any) int64 {
	var crc uint32
	var room [256]byte
	b := room[:0]
	for _, v := range row {
		switch v := v.(type) {
		case int64:
			b = binary.LittleEndian.AppendUint64(append(b, 'i'), uint64(v))
		case string:
			b = append(binary.LittleEndian.AppendUint32(append(b, 's'), uint32(len(v))), v...)
		case []byte:
			b = binary.LittleEndian.AppendUint32(append(b, 'b'), uint32(len(v)))
			crc = crc32.Update(crc, castagnoli(), b)
			crc = crc32.Update(crc, castagnoli(), v)
			b = room[:0]
		}
	}
	return int64(crc32.Update(crc, castagnoli(), b))
}
