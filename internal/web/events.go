package web

import (
	"context"
	"math"
	"net/http"

	"fieldmedic/internal/diagnose"
)

const (
	// eventsUnasked and eventsAtMost are how many events one answer holds
	// without limit=, and the largest limit.
	eventsUnasked = 100
	eventsAtMost  = 1000
)

// events serves history, in order. With after= it is what follows that number,
// to be read on from the last seq; with device= alone it is the newest of that
// device.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	limit, err := number(r, "limit", eventsUnasked, eventsAtMost)
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	after, err := number(r, "after", 0, math.MaxInt64)
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	entries, err := s.findEvents(r.Context(), r.URL.Query().Get("device"), r.URL.Query().Has("after"), after, int(limit))
	if err != nil {
		s.failed(w, r, err)
		return
	}
	jsonHeader(w)
	writeEvents(w, entries)
}

func (s *Server) findEvents(ctx context.Context, device string, fromThere bool, after int64, limit int) ([]diagnose.LogEntry, error) {
	switch {
	case limit == 0:
		return nil, nil
	case device == "":
		return s.opts.Store.After(ctx, after, limit)
	case !fromThere:
		return s.opts.Store.History(ctx, device, limit)
	}
	done, err := s.oneScan(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	var found []diagnose.LogEntry
	for {
		entries, err := s.opts.Store.After(ctx, after, eventsAtMost)
		if err != nil || len(entries) == 0 {
			return found, err
		}
		for _, e := range entries {
			if after = e.Seq; e.Device != device {
				continue
			}
			if found = append(found, e); len(found) == limit {
				return found, nil
			}
		}
	}
}

// writeEvents writes the bodies as they are stored, and so as they were
// published. A failed write means that the one who asked is gone.
func writeEvents(w http.ResponseWriter, entries []diagnose.LogEntry) {
	between := "["
	for _, e := range entries {
		if _, err := w.Write([]byte(between)); err != nil {
			return
		}
		if _, err := w.Write(e.Body); err != nil {
			return
		}
		between = ",\n"
	}
	if between == "[" {
		_, _ = w.Write([]byte("[]\n"))
		return
	}
	_, _ = w.Write([]byte("]\n"))
}
