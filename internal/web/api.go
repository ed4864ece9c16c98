package web

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"fieldmedic/internal/diagnose"
)

// apiError is how the API says no.
type apiError struct {
	Error string `json:"error"`
}

func fail(w http.ResponseWriter, status int, sentence string) {
	answer(w, status, apiError{sentence})
}

// answer writes v as JSON.
func answer(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":"the answer cannot be written as JSON"}`)
	}
	answerBody(w, status, body)
}

func answerBody(w http.ResponseWriter, status int, body []byte) {
	jsonHeader(w)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)+1))
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the one who asked is gone
}

func jsonHeader(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
}

// broken tells of a failure of ours; the reason goes to the log only.
func (s *Server) broken(r *http.Request, err error) (status int, sentence string) {
	if r.Context().Err() != nil {
		return http.StatusServiceUnavailable, "the request was given up" // nobody reads this
	}
	s.opts.Log.Error("answer a request", "method", r.Method, "path", r.URL.Path, "err", err)
	return http.StatusInternalServerError, "the store could not be read; the agent's log says why"
}

func (s *Server) failed(w http.ResponseWriter, r *http.Request, err error) {
	status, sentence := s.broken(r, err)
	fail(w, status, sentence)
}

// device serves one device's snapshot, as it is published.
func (s *Server) device(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	snap, known, err := s.snapshot(r.Context(), id)
	switch {
	case err != nil:
		s.failed(w, r, err)
	case !known:
		fail(w, http.StatusNotFound, "no device "+strconv.Quote(id)+" is known here")
	default:
		s.answerSnapshot(w, r, snap)
	}
}

func (s *Server) snapshot(ctx context.Context, id string) (diagnose.Snapshot, bool, error) {
	rec, known, err := s.opts.Store.Device(ctx, id)
	if err != nil || !known {
		return diagnose.Snapshot{}, false, err
	}
	return rec.Snapshot(s.now()), true, nil
}

func (s *Server) site(w http.ResponseWriter, r *http.Request) {
	s.answerSnapshot(w, r, s.opts.Store.Site())
}

func (s *Server) answerSnapshot(w http.ResponseWriter, r *http.Request, snap diagnose.Snapshot) {
	body, err := snap.Encode(s.opts.Gateway, s.opts.Words())
	if err != nil {
		s.failed(w, r, err)
		return
	}
	answerBody(w, http.StatusOK, body)
}

// code serves what a code means.
func (s *Server) code(w http.ResponseWriter, r *http.Request) {
	if s.opts.Code == nil {
		fail(w, http.StatusNotFound, "codes cannot be looked up here (use: fieldmedic code CODE)")
		return
	}
	meaning, err := s.opts.Code(r.PathValue("code"))
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	answer(w, http.StatusOK, meaning)
}

// infoJSON is what the topic info says, and more that changes.
type infoJSON struct {
	Schema  string `json:"schema"`
	Gateway string `json:"gateway"`
	Status
	Refused []refusedJSON `json:"refused"`
}

type refusedJSON struct {
	At     diagnose.Stamp   `json:"at"`
	Topic  string           `json:"topic"`
	Source string           `json:"source"`
	Reason diagnose.Refusal `json:"reason"`
	Sample string           `json:"sample"`
	Bytes  int              `json:"bytes"`
}

func (s *Server) info(w http.ResponseWriter, _ *http.Request) {
	out := infoJSON{Schema: diagnose.Schema, Gateway: s.opts.Gateway, Status: s.status(), Refused: []refusedJSON{}}
	for _, in := range s.refused() {
		out.Refused = append(out.Refused, refusedJSON{
			diagnose.Stamp{Time: in.At}, in.Topic, in.Source, in.Reason, in.Sample, in.Bytes,
		})
	}
	answer(w, http.StatusOK, out)
}

func (s *Server) status() Status {
	if s.opts.Status == nil {
		return Status{}
	}
	return s.opts.Status()
}

func (s *Server) refused() []diagnose.RefusedInput {
	if s.opts.Refused == nil {
		return nil
	}
	return s.opts.Refused()
}

// number reads a whole number of the query between 0 and limit; the default
// stands where there is none.
func number(r *http.Request, name string, standard, limit int64) (int64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return standard, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > limit {
		return 0, errors.New(name + " is " + strconv.Quote(text) + " (a whole number from 0 to " + strconv.FormatInt(limit, 10) + ")")
	}
	return n, nil
}
