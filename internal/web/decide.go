package web

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"

	"fieldmedic/internal/diagnose"
)

// decide carries out a verb on a device or on the site. It answers 400 for a
// request that cannot be understood and 409 for one that cannot be done now.
func (s *Server) decide(w http.ResponseWriter, r *http.Request) {
	body, status, err := requestBody(r)
	if err != nil {
		fail(w, status, err.Error())
		return
	}
	req, err := readRequest(r, body)
	if err != nil {
		answer(w, http.StatusBadRequest, diagnose.Response{Transaction: req.Transaction, Error: err.Error()})
		return
	}
	if req.By == "" {
		req.By = string(roleOf(r.Context()))
	}
	resp := s.opts.Decide(r.Context(), req)
	status = http.StatusOK
	if !resp.OK {
		status = http.StatusConflict
	}
	answer(w, status, resp)
}

// requestBody reads the body. A type other than JSON is refused: it is all
// that a form of a foreign page could send.
func requestBody(r *http.Request) (body []byte, status int, err error) {
	body, err = io.ReadAll(r.Body)
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, http.StatusRequestEntityTooLarge, fmt.Errorf("the body is larger than %d bytes", large.Limit)
	case err != nil:
		return nil, http.StatusBadRequest, fmt.Errorf("the body could not be read: %w", err)
	case len(body) == 0:
		return []byte("{}"), 0, nil
	}
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return nil, http.StatusUnsupportedMediaType, errors.New("the body's type is not known (Content-Type: application/json)")
	}
	return body, 0, nil
}

// readRequest reads the request and says whom it is about by its path.
func readRequest(r *http.Request, body []byte) (diagnose.Request, error) {
	req, err := diagnose.ParseRequest(diagnose.Verb(r.PathValue("verb")), withTransaction(body))
	if err != nil {
		return req, err
	}
	id := r.PathValue("id") // "" on the site's path, where no segment is named so
	switch {
	case id == "" && req.Device != nil:
		return req, errors.New("the body names a device, the path the site (leave device out)")
	case id != "" && req.Device != nil && *req.Device != id:
		return req, fmt.Errorf("the body names device %q, the path %q (leave device out)", *req.Device, id)
	case id != "":
		req.Device = &id
	}
	return req, nil
}

// withTransaction gives a request one where it has none: over HTTP the answer
// finds its question without. What is no object is left for others to refuse.
func withTransaction(body []byte) []byte {
	var has struct {
		Transaction string `json:"transaction"`
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &has) != nil || has.Transaction != "" || json.Unmarshal(body, &fields) != nil || fields == nil {
		return body
	}
	name, err := json.Marshal(rand.Text())
	if err != nil {
		return body
	}
	fields["transaction"] = name
	if whole, err := json.Marshal(fields); err == nil {
		return whole
	}
	return body
}
