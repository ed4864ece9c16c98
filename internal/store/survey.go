package store

import (
	"bytes"
	"encoding/json"
	"slices"

	"fieldmedic/internal/diagnose"
)

// survey is what a whole file holds, gathered row by row: enough to tell what
// is missing. It is made when a store is opened, and let go of then.
type survey struct {
	meta map[string]string
	// rows of log, devices and problems.
	rows int
	// runs are the numbers that the log accounts for: one for each event, and
	// the whole range of each "dropped".
	runs    []Range
	commits int64 // the highest number of a commit
	newest  int64 // stamp of the newest change under a clock that is believed
	latest  map[identity]mark
	// problems are the numbers of the commits that wrote them.
	problems map[identity]int64
	devices  map[string]bool
	bad      []badRow
	dropped  int64 // the last number that a "dropped" stands for

	damage      error // why the file was set aside, or nil
	fromFirst   bool  // the file had the first schema
	badVersion  bool  // the file's header has another version than its tables
	leftOut     int   // damaged rows that were not copied
	badProblems int   // damaged rows of problems
	unread      int
	cut, exists bool
	behind      bool // the seal knows more commits
}

type identity struct{ device, condition string }

// mark is the newest row of the log of one problem.
type mark struct {
	seq, n int64
	typ    diagnose.ChangeType
}

// badRow is a row that does not match its checksum.
type badRow struct {
	table string
	rowid int64
}

func newSurvey() *survey {
	return &survey{
		meta: make(map[string]string), latest: make(map[identity]mark),
		problems: make(map[identity]int64), devices: make(map[string]bool),
	}
}

// take looks at one sound row.
func (f *survey) take(table string, row []any) {
	switch table {
	case "meta":
		f.meta[row[0].(string)] = row[1].(string)
		return
	case "device":
		f.devices[row[0].(string)] = true
		f.commits = max(f.commits, row[2].(int64))
	case "problem":
		n := row[3].(int64)
		f.problems[identity{row[0].(string), row[1].(string)}] = n
		f.commits = max(f.commits, n)
	case "log":
		f.takeEvent(row)
	}
	if table != "sitewide" {
		f.rows++
	}
}

func (f *survey) takeEvent(row []any) {
	seq, n, typ, body := row[logSeq].(int64), row[logN].(int64), diagnose.ChangeType(row[logType].(string)), row[logBody].([]byte)
	f.commits = max(f.commits, n)
	run := Range{seq, seq}
	if typ == diagnose.Dropped {
		run.To = max(seq, endOf(body))
		f.dropped = max(f.dropped, run.To)
	} else {
		id := identity{row[logDevice].(string), row[logCondition].(string)}
		if f.latest[id].seq < seq {
			f.latest[id] = mark{seq, n, typ}
		}
	}
	f.runs = append(f.runs, run)
	if at := row[logAt].(int64); at > f.newest && !bytes.Contains(body, []byte(`"clock_suspect":true`)) {
		f.newest = at
	}
}

// endOf is the last number that a "dropped" stands for, 0 where it does not
// say.
func endOf(body []byte) int64 {
	var ev struct {
		To int64 `json:"to_seq"`
	}
	_ = json.Unmarshal(body, &ev) // then it stands for itself
	return ev.To
}

// sort brings the runs in order: a copy takes the log in pieces.
func (f *survey) sort() {
	slices.SortFunc(f.runs, func(a, b Range) int { return int(a.From - b.From) })
}

// last is the highest number of the log, 0 when it is empty.
func (f *survey) last() int64 {
	last := int64(0)
	for _, r := range f.runs {
		last = max(last, r.To)
	}
	return last
}

// holes are the numbers above floor, up to top, that the log does not account
// for.
func (f *survey) holes(floor, top int64) []Range {
	var list []Range
	for _, r := range f.runs {
		if r.From > floor+1 {
			list = append(list, Range{floor + 1, r.From - 1})
		}
		floor = max(floor, r.To)
	}
	if top > floor {
		list = append(list, Range{floor + 1, top})
	}
	return list
}

// wrong: a problem's row is older than the log says, or gone although nothing
// says that it ended. Rows of the log that were given up may have said so. Where
// there was damage, what ended is missed as well: people left words on it.
func (f *survey) wrong(id identity, m mark) bool {
	if n, ok := f.problems[id]; ok {
		return n < m.n
	}
	if f.suspicious() {
		return m.typ != diagnose.Cleaned || f.devices[id.device]
	}
	return m.typ != diagnose.Cleaned && f.dropped < m.seq
}

// suspicious: rows are known to be missing.
func (f *survey) suspicious() bool { return f.damage != nil || len(f.bad) > 0 || f.behind }
