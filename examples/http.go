package examples

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/rowfence/rowfence"
	"github.com/rowfence/rowfence/httpfilter"
)

// Handler serves a store. The middleware reads who asks, and puts the request into the
// context: GET is the action read, PATCH update, DELETE delete.
func Handler(engine *rowfence.Engine, store Store, whoAsks func(*http.Request) (*rowfence.Subject, error), log *slog.Logger) http.Handler {
	h := handler{store, log}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /documents", h.list)
	mux.HandleFunc("GET /totals", h.totals)
	mux.HandleFunc("PATCH /documents", h.rename)
	mux.HandleFunc("DELETE /documents", h.remove)
	return httpfilter.Middleware(httpfilter.Config{Engine: engine, Subject: whoAsks, Log: log})(mux)
}

type handler struct {
	store Store
	log   *slog.Logger
}

func (h handler) list(w http.ResponseWriter, r *http.Request) {
	ids, err := h.store.Shelved(r.Context(), 0)
	h.answer(w, r, ids, err)
}

func (h handler) totals(w http.ResponseWriter, r *http.Request) {
	totals, err := h.store.Count(r.Context())
	h.answer(w, r, totals, err)
}

func (h handler) rename(w http.ResponseWriter, r *http.Request) {
	n, err := h.store.Rename(r.Context(), r.FormValue("title"))
	h.answer(w, r, n, err)
}

func (h handler) remove(w http.ResponseWriter, r *http.Request) {
	words, err := strconv.ParseInt(r.FormValue("words"), 10, 64)
	if err != nil {
		http.Error(w, "words is no number", http.StatusBadRequest)
		return
	}
	n, err := h.store.Remove(r.Context(), words)
	h.answer(w, r, n, err)
}

// answer tells a caller no more of an error than that there was one.
func (h handler) answer(w http.ResponseWriter, r *http.Request, v any, err error) {
	if err != nil {
		h.log.ErrorContext(r.Context(), "answering a request", "error", err)
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		h.log.ErrorContext(r.Context(), "writing an answer", "error", err)
	}
}
