package middleware

import (
	"compress/gzip"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// smallest is the body length in bytes from which compression pays.
const smallest = 1400

// compressors hands out gzip writers; each holds some 800 KiB of tables, so
// they are used again.
type compressors struct{ pool sync.Pool }

func (c *compressors) get(w http.ResponseWriter) *gzip.Writer {
	if z, ok := c.pool.Get().(*gzip.Writer); ok {
		z.Reset(w)
		return z
	}
	z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		panic(err) // the level is a constant
	}
	return z
}

func (c *compressors) wrap(w http.ResponseWriter) *zipper {
	return &zipper{ResponseWriter: w, source: c}
}

// acceptsGzip reads the Accept-Encoding header; a quality of zero refuses.
func acceptsGzip(r *http.Request) bool {
	for _, header := range r.Header.Values("Accept-Encoding") {
		for clause := range strings.SplitSeq(header, ",") {
			name, parameters, _ := strings.Cut(clause, ";")
			if name = strings.TrimSpace(name); !strings.EqualFold(name, "gzip") && name != "*" {
				continue
			}
			weight, hasWeight := strings.CutPrefix(strings.TrimSpace(parameters), "q=")
			if q, err := strconv.ParseFloat(weight, 64); hasWeight && (err != nil || q == 0) {
				return false
			}
			return true
		}
	}
	return false
}

// zipper holds back the first bytes of an answer until it knows whether the
// answer is long enough to be compressed. One request, one goroutine.
type zipper struct {
	http.ResponseWriter
	source *compressors
	status int    // given by the handler, not yet sent
	held   []byte // body so far, while undecided
	zip    *gzip.Writer
	plain  bool // decided against compression
}

func (z *zipper) WriteHeader(status int) {
	if status < http.StatusOK {
		z.ResponseWriter.WriteHeader(status)
		return
	}
	if z.status == 0 {
		z.status = status
	}
}

func (z *zipper) Write(b []byte) (int, error) {
	switch {
	case z.zip != nil:
		return z.zip.Write(b)
	case z.plain:
		return z.ResponseWriter.Write(b)
	}
	z.held = append(z.held, b...)
	if len(z.held) < smallest {
		return len(b), nil
	}
	return len(b), z.decide(z.compressible())
}

// compressible says whether the handler's answer may be compressed at all.
func (z *zipper) compressible() bool {
	h := z.Header()
	if h.Get("Content-Encoding") != "" || h.Get("Content-Range") != "" {
		return false
	}
	kind := h.Get("Content-Type")
	return kind == "" || strings.HasPrefix(kind, "text/") || strings.Contains(kind, "json") ||
		strings.Contains(kind, "javascript") || strings.Contains(kind, "svg")
}

// decide sends the header and what was held back.
func (z *zipper) decide(compress bool) error {
	h := z.Header()
	h.Add("Vary", "Accept-Encoding")
	if h.Get("Content-Type") == "" && len(z.held) > 0 {
		h.Set("Content-Type", http.DetectContentType(z.held)) // the server would look at compressed bytes
	}
	if compress {
		h.Set("Content-Encoding", "gzip")
		h.Del("Content-Length")
		z.zip = z.source.get(z.ResponseWriter)
	} else {
		z.plain = true
	}
	if z.status != 0 {
		z.ResponseWriter.WriteHeader(z.status)
	}
	held := z.held
	z.held = nil
	if len(held) == 0 {
		return nil
	}
	_, err := z.Write(held)
	return err
}

// Flush sends everything now, for answers that trickle.
func (z *zipper) Flush() {
	if z.zip == nil && !z.plain {
		_ = z.decide(false)
	}
	if z.zip != nil {
		_ = z.zip.Flush()
	}
	_ = http.NewResponseController(z.ResponseWriter).Flush()
}

// Unwrap lets http.ResponseController reach the connection.
func (z *zipper) Unwrap() http.ResponseWriter { return z.ResponseWriter }

// finish ends the answer. whole is false when the handler panicked: then
// nothing more is sent, so that the recovery can still answer, or the client
// sees the answer broken off.
func (z *zipper) finish(whole bool) {
	if whole && z.zip == nil && !z.plain && (z.status != 0 || len(z.held) > 0) {
		_ = z.decide(false)
	}
	if z.zip == nil {
		return
	}
	if whole {
		_ = z.zip.Close()
	}
	z.source.pool.Put(z.zip)
	z.zip = nil
}
