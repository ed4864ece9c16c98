package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"

	"fieldmedic/internal/diagnose"
)

// books compares what the file holds with what the seal witnessed, when the
// store is opened, and puts right what differs: damaged rows go, numbers that
// are lost are accounted for by "dropped" rows, and problems that lost their
// row are made anew from their last event.
type books struct {
	s         *Store
	p         *pools
	found     *survey
	sealed    witness
	witnessed bool

	epoch, previous    uuid.UUID
	cursor, floor, top int64
	noted              int64 // the cursor that the file has
	commits            int64
	born               int64
	holes              []Range
	wrong              []identity
	report             OpenReport
}

// balance does it, in one transaction, or none when all is well.
func (b *books) balance(ctx context.Context) error {
	b.judge()
	b.count()
	if !b.witnessed {
		// A process that is killed now shall not find a store without a seal.
		b.s.epoch.Store(&b.epoch)
		b.s.commits, b.s.floor = b.commits, b.floor
		b.s.seq.Store(b.top)
		b.s.note()
	}
	if b.amiss() {
		if err := b.mend(ctx); err != nil {
			return fmt.Errorf("put the store right: %w", err)
		}
	}
	s, f := b.s, b.found
	s.epoch.Store(&b.epoch)
	s.born.Store(b.born)
	s.commits, s.floor, s.skip = b.commits, b.floor, 0
	s.cursor.Store(b.cursor)
	s.saved.Store(b.noted)
	s.seq.Store(b.top)
	s.newest.Store(max(s.newest.Load(), f.newest, b.sealed.at))
	s.tail.reset()
	s.note()
	if b.report.Lossy() || b.report.Damage != "" {
		s.opts.Log.Error("the store was damaged, or something of it is missing", "report", b.report.String())
		s.tell(func(r *OpenReport) { r.merge(&b.report) })
	}
	return nil
}

// judge finds out which of file and seal is to be believed.
func (b *books) judge() {
	f := b.found
	noted, err := uuid.Parse(f.meta[metaEpoch])
	has := err == nil
	previous, err := uuid.Parse(f.meta[metaPrevious])
	kin := b.witnessed && (!has || b.sealed.epoch == noted || err == nil && b.sealed.epoch == previous)
	b.epoch, b.previous = noted, previous
	cursor, _ := metaInt(f.meta, metaCursor) // 0: everything is published again
	commits, _ := metaInt(f.meta, metaCommit)
	b.commits = max(f.commits, commits)
	floor, err := metaInt(f.meta, metaFloor)
	if err != nil && len(f.runs) > 0 {
		floor = f.runs[0].From - 1
	} else if err != nil {
		floor = cursor
	}
	b.cursor, b.floor, b.top = cursor, floor, max(f.last(), cursor, floor)
	b.noted = cursor
	if kin {
		if !has {
			b.epoch = b.sealed.epoch
		}
		f.behind = b.sealed.commit > b.commits
		b.report.LostCommits = max(0, b.sealed.commit-b.commits)
		b.report.NoState = b.sealed.commit > 0 && f.rows == 0 && b.report.LostCommits > 0
		b.commits = max(b.commits, b.sealed.commit)
		b.cursor = max(cursor, b.sealed.cursor)
		if err != nil {
			b.floor = b.sealed.floor
		}
		b.floor = max(b.floor, b.sealed.floor)
		b.top = max(b.top, b.sealed.seq, b.sealed.cursor)
		if f.suspicious() {
			// A commit that was being written may have been there. Where all is well
			// it was not, or it is.
			b.top = max(b.top, b.sealed.next)
		}
	} else {
		b.sealed.at = 0
		b.strange(has)
	}
	b.cursor = min(max(b.cursor, b.s.cursor.Load()), b.top)
	if b.born, err = metaInt(f.meta, metaBorn); err != nil {
		b.born = b.s.opts.Now().UnixMilli()
	}
}

// strange is a file without a seal of its own: numbers may have been given that
// it does not know, so that they count anew within another epoch, unless the
// file is new, or comes from a program that had no seals.
func (b *books) strange(has bool) {
	f := b.found
	switch {
	case has && f.meta[metaSchema] == "": // the first schema's
	case f.rows == 0 && b.top == 0 && f.damage == nil && len(f.bad) == 0 && !b.witnessed:
		if !has {
			b.epoch = uuid.New()
		}
	default:
		b.report.Unjudged = true
		b.previous = b.epoch
		b.epoch = uuid.New()
	}
}

// count finds what is missing.
func (b *books) count() {
	f, r := b.found, &b.report
	if f.damage != nil {
		r.Damage = f.damage.Error()
	}
	r.DamagedRows, r.Unread, r.Cut = f.leftOut+len(f.bad), f.unread, f.cut
	b.holes = f.holes(b.floor, b.top)
	for _, hole := range b.holes {
		r.LostEvents += hole.count()
		r.LostUnpublished += max(0, hole.To-max(hole.From-1, b.cursor))
	}
	r.Lost = b.holes
	for _, bad := range f.bad {
		if bad.table == "problem" {
			f.badProblems++
		}
	}
	for id, m := range f.latest {
		if f.wrong(id, m) {
			b.wrong = append(b.wrong, id)
		}
	}
	for id := range f.problems {
		if !f.devices[id.device] {
			f.devices[id.device] = false // missed, once
		}
	}
	for _, known := range f.devices {
		if !known {
			r.LostDevices++
		}
	}
}

// amiss: something must be written.
func (b *books) amiss() bool {
	f := b.found
	if len(f.bad)+len(b.holes)+len(b.wrong)+b.report.LostDevices > 0 || f.badVersion || b.report.Unjudged || b.report.LostCommits > 0 {
		return true
	}
	for key, want := range b.meta() {
		if f.meta[key] != want && key != metaCommit && key != metaCursor {
			return true
		}
	}
	return false
}

// meta is what the table of that name has to hold.
func (b *books) meta() map[string]string {
	m := map[string]string{
		metaSchema: strconv.Itoa(schemaVersion), metaEpoch: b.epoch.String(), metaBorn: strconv.FormatInt(b.born, 10),
		metaCursor: strconv.FormatInt(b.cursor, 10), metaFloor: strconv.FormatInt(b.floor, 10), metaCommit: strconv.FormatInt(b.commits, 10),
	}
	if b.previous != (uuid.UUID{}) {
		m[metaPrevious] = b.previous.String()
	}
	return m
}

// mend writes.
func (b *books) mend(ctx context.Context) error {
	s, f := b.s, b.found
	w, err := begin(ctx, b.p, b.commits+1)
	if err != nil {
		return err
	}
	defer w.rollback()
	for _, bad := range f.bad {
		w.direct("DELETE FROM "+bad.table+" WHERE rowid = ?", bad.rowid)
	}
	if f.badVersion {
		w.direct(fmt.Sprintf("PRAGMA user_version = %d", schemaVersion))
	}
	if b.report.Unjudged {
		rebase(w, b.cursor, b.previous, b.epoch)
	}
	for _, hole := range b.holes {
		if hole.From <= b.cursor && hole.To > b.cursor {
			w.dropped(b.epoch, Range{hole.From, b.cursor}, s.opts.Now(), s.opts.ClockSuspect())
			hole.From = b.cursor + 1
		}
		w.dropped(b.epoch, hole, s.opts.Now(), s.opts.ClockSuspect())
	}
	for _, id := range b.wrong {
		b.remake(w, id)
	}
	b.report.LostProblems = max(0, f.badProblems-b.report.Rebuilt)
	for id, known := range f.devices {
		if !known {
			rec := diagnose.DeviceRecord{ID: id, UpdatedAt: diagnose.Stamp{Time: s.opts.Now()}}
			w.put(w.st.device, id, w.row(&rec), w.n)
		}
	}
	b.commits, b.noted = w.n, b.cursor
	for key, value := range b.meta() {
		w.meta(key, value)
	}
	return w.commit()
}

// remake makes a problem from the newest event on it, which holds the whole
// diagnosis. Of an older row it keeps what no event tells.
func (b *books) remake(w *writer, id identity) {
	if w.err != nil {
		return
	}
	var body []byte
	err := w.tx.QueryRowContext(w.ctx, "SELECT body FROM log WHERE seq = ?", b.found.latest[id].seq).Scan(&body)
	var ev diagnose.Event
	if err != nil || json.Unmarshal(body, &ev) != nil || ev.Diagnosis == nil || ev.Diagnosis.Condition != id.condition {
		return // it is no event of ours: nothing can be made of it
	}
	var p diagnose.Problem
	if w.tx.QueryRowContext(w.ctx, "SELECT body FROM problem WHERE device = ? AND condition = ?", id.device, id.condition).Scan(&body) == nil {
		if json.Unmarshal(body, &p) != nil {
			p = diagnose.Problem{}
		}
	}
	p.Diagnosis, p.Told, p.Pending = *ev.Diagnosis, true, nil
	p.Diagnosis.Title = ""
	for i := range p.Diagnosis.Causes {
		p.Diagnosis.Causes[i].Because = ""
	}
	p.Faulty = p.Diagnosis.Open()
	w.put(w.st.problem, id.device, id.condition, w.row(&p), w.n)
	b.report.Rebuilt++
	if _, known := b.found.devices[id.device]; !known {
		b.found.devices[id.device] = false
		b.report.LostDevices++
	}
}

// dropped writes the row that stands for a run of lost or given up events, at
// the place of the first. Its id is of its own: what was sent under the id of
// that event may have come through.
func (w *writer) dropped(epoch uuid.UUID, r Range, now time.Time, suspect bool) diagnose.LogEntry {
	id := droppedID(epoch, r)
	body := diagnose.AppendDropped(nil, diagnose.Event{
		Schema: diagnose.Schema, EventID: id, Seq: r.From, Epoch: epoch.String(), Type: diagnose.Dropped,
		At: diagnose.Stamp{Time: now}, FromSeq: r.From, ToSeq: r.To, ClockSuspect: suspect,
	})
	e := diagnose.LogEntry{Seq: r.From, At: time.UnixMilli(now.UnixMilli()), Type: diagnose.Dropped, EventID: id, Body: body}
	w.entries([]diagnose.LogEntry{e})
	return e
}

func droppedID(epoch uuid.UUID, r Range) string {
	return uuid.NewSHA1(epoch, fmt.Appendf(nil, "dropped %d-%d", r.From, r.To)).String()
}

// metaInt reads a number of the table meta.
func metaInt(meta map[string]string, key string) (int64, error) {
	n, err := strconv.ParseInt(meta[key], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read %q of the store: %w", key, err)
	}
	return n, nil
}
