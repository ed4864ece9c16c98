package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"time"

	"fieldmedic/internal/diagnose"
)

// assets are the templates and the style sheet, as they were built in.
//
//go:embed assets
var assets embed.FS

// asset is a file that is served as it is; tag names its content.
type asset struct {
	content []byte
	tag     string
}

func loadStyle() (asset, error) {
	content, err := assets.ReadFile("assets/style.css")
	if err != nil {
		return asset{}, fmt.Errorf("read the style sheet: %w", err)
	}
	sum := sha256.Sum256(content)
	return asset{content, `"` + hex.EncodeToString(sum[:8]) + `"`}, nil
}

// loadPages parses each page together with what all pages share.
func loadPages() (map[string]*template.Template, error) {
	pages := make(map[string]*template.Template)
	for _, name := range []string{"site", "device", "sorry", "login"} {
		files := []string{"assets/shared.html", "assets/" + name + ".html"}
		if name == "login" {
			files = files[1:] // it tells strangers nothing of what all other pages share
		}
		t, err := template.ParseFS(assets, files...)
		if err != nil {
			return nil, fmt.Errorf("parse the templates of page %s: %w", name, err)
		}
		pages[name] = t
	}
	return pages, nil
}

func (s *Server) styleSheet(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/css; charset=utf-8")
	h.Set("Cache-Control", "no-cache") // ask whether it is still the same
	h.Set("ETag", s.style.tag)
	http.ServeContent(w, r, "style.css", time.Time{}, bytes.NewReader(s.style.content))
}

// frame is what every page has around its content.
type frame struct {
	Gateway string
	// Title stands in the browser's tab.
	Title string
	At    moment
	Zone  string
	// Trouble is why what is shown may be old; "" when it is not.
	Trouble string
	Status  Status
	Started moment
	Refused []refusedView
	Content any
}

// moment is a time for a person and for a machine.
type moment struct{ Text, Machine string }

func (m moment) String() string { return m.Text }

func momentOf(t, now time.Time) moment {
	if t.IsZero() {
		return moment{}
	}
	return moment{clock(t, now), diagnose.Stamp{Time: t}.String()}
}

type refusedView struct {
	At                    moment
	Reason, Topic, Sample string
	Bytes                 int
}

// refusedShown bounds the samples on a page.
const refusedShown = 50

// show renders a page. It is made whole before the first byte goes out, so
// that a mistake in it is an error and not half a page.
func (s *Server) show(w http.ResponseWriter, status int, name, title string, content any) {
	now := s.now()
	f := frame{
		Gateway: visible(s.opts.Gateway), Title: title, At: moment{now.Format("15:04:05"), now.Format(time.RFC3339)},
		Zone: now.Format("MST"), Status: s.status(), Content: content,
	}
	f.Started = momentOf(f.Status.StartedAt.Time, now)
	if s.opts.Ready != nil {
		if err := s.opts.Ready(); err != nil {
			f.Trouble = visible(err.Error())
		}
	}
	for _, in := range s.refused() {
		if len(f.Refused) == refusedShown {
			break
		}
		f.Refused = append(f.Refused, refusedView{
			momentOf(in.At, now), visible(string(in.Reason)), visible(in.Topic), visible(in.Sample), in.Bytes,
		})
	}
	s.render(w, status, name, f)
}

// showBare renders a page that tells nothing of the agent.
func (s *Server) showBare(w http.ResponseWriter, status int, name, title string, content any) {
	s.render(w, status, name, frame{Title: title, Content: content})
}

func (s *Server) render(w http.ResponseWriter, status int, name string, f frame) {
	var page bytes.Buffer
	if err := s.pages[name].ExecuteTemplate(&page, "page", f); err != nil {
		s.opts.Log.Error("render a page", "page", name, "err", err)
		http.Error(w, "the page could not be made; the agent's log says why", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(page.Len()))
	w.WriteHeader(status)
	_, _ = page.WriteTo(w) // the one who asked is gone
}

// sorry shows one sentence and the way back.
func (s *Server) sorry(w http.ResponseWriter, status int, sentence string) {
	s.show(w, status, "sorry", sentence, sentence)
}
