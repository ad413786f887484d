package middleware

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Stats are counters since the start, and the requests running now.
type Stats struct {
	InFlight int64
	Panics   uint64
	Handlers []HandlerStats
}

// HandlerStats are the figures of one wrapped handler.
type HandlerStats struct {
	Name     string
	Codes    []CodeCount   // only codes that occurred, ascending
	Bytes    uint64        // bodies, as sent
	Duration time.Duration // sum over all requests
}

// CodeCount is how often a status code was answered.
type CodeCount struct {
	Code  int
	Count uint64
}

// firstCode and lastCode bound the status codes that are counted one by one; a
// handler that invents others is counted under 599.
const firstCode, lastCode = 100, 599

type counters struct {
	inFlight atomic.Int64
	panics   atomic.Uint64

	mu       sync.Mutex // guards handlers; the elements count atomically
	handlers []*handlerCount
}

type handlerCount struct {
	name  string
	codes [lastCode - firstCode + 1]atomic.Uint64
	bytes atomic.Uint64
	nanos atomic.Int64
}

// handler returns the counters of name, the same for the same name.
func (c *counters) handler(name string) *handlerCount {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.handlers {
		if h.name == name {
			return h
		}
	}
	h := &handlerCount{name: name}
	c.handlers = append(c.handlers, h)
	return h
}

func (h *handlerCount) add(code int, bytes uint64, took time.Duration) {
	if code < firstCode || code > lastCode {
		code = lastCode
	}
	h.codes[code-firstCode].Add(1)
	h.bytes.Add(bytes)
	h.nanos.Add(int64(took))
}

// Stats returns the figures now.
func (s *Stack) Stats() Stats {
	s.counts.mu.Lock()
	defer s.counts.mu.Unlock()
	stats := Stats{InFlight: s.counts.inFlight.Load(), Panics: s.counts.panics.Load()}
	for _, h := range s.counts.handlers {
		row := HandlerStats{Name: h.name, Bytes: h.bytes.Load(), Duration: time.Duration(h.nanos.Load())}
		for i := range h.codes {
			if n := h.codes[i].Load(); n > 0 {
				row.Codes = append(row.Codes, CodeCount{Code: firstCode + i, Count: n})
			}
		}
		stats.Handlers = append(stats.Handlers, row)
	}
	return stats
}

// recorder notes what was answered. One request, one goroutine.
type recorder struct {
	http.ResponseWriter
	status  int // 0: nothing was sent yet
	written uint64
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= http.StatusOK {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(b)
	r.written += uint64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *recorder) statusOr(silent int) int {
	if r.status == 0 {
		return silent
	}
	return r.status
}
