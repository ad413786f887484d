// Package middleware is what stands between the network and every HTTP handler:
// a limit on the body and on the time of a request, recovery from panics,
// counters by handler and status code, compression, and security headers.
//
//	request -> count -> recover -> headers -> limits -> gzip -> handler
//
// The listener's own limits (header size and time, idle connections) belong to
// http.Server; see Config.Apply.
package middleware

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Config bounds what a caller can take from the server.
type Config struct {
	// MaxBody is the longest request body. Longer: bigger queries and uploads
	// pass. Shorter: less memory can be taken by strangers.
	MaxBody model.Bytes `toml:"max_body"`
	// Timeout is how long a handler may work on a request; it must be longer
	// than the query timeout and than a long poll (30 s), which report their
	// own. Longer: slow clients and queries hold connections. Shorter: they
	// are cut off in the middle of an answer.
	Timeout time.Duration `toml:"timeout"`
	// Compress is whether answers are compressed for clients that accept it.
	// On: a tenth of the traffic for about 1 ms of CPU a 100 KiB. Off: the reverse.
	Compress bool `toml:"compress"`
}

// DefaultConfig suits queries by people and dashboards.
func DefaultConfig() Config {
	return Config{MaxBody: 1 * model.MiB, Timeout: 150 * time.Second, Compress: true}
}

// Validate names every value that cannot work (model.FieldError).
func (c Config) Validate() error {
	return errors.Join(
		model.FieldWithin("max_body", c.MaxBody, model.KiB, model.GiB),
		model.FieldWithin("timeout", c.Timeout, time.Second, time.Hour))
}

// writeGrace is the time an answer may still take after the handler's own time
// is spent, so that the error about it arrives.
const writeGrace = 15 * time.Second

// Apply sets the limits of server that lie before any handler: how long headers
// may take, how large they may be, and how long an idle connection is kept. Over
// HTTP/2 a peer that is gone without a word is noticed, too, although answers
// that last are open.
func (c Config) Apply(server *http.Server) {
	const headerTime, idleTime, headerBytes = 10 * time.Second, 2 * time.Minute, 64 << 10
	const pingAfter, pongWithin, writeWithin = 15 * time.Second, 15 * time.Second, 30 * time.Second
	server.ReadHeaderTimeout, server.IdleTimeout, server.MaxHeaderBytes = headerTime, idleTime, headerBytes
	server.HTTP2 = &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pongWithin, WriteByteTimeout: writeWithin}
}

// Stack wraps handlers. Safe for concurrent use.
type Stack struct {
	config Config
	log    *slog.Logger
	now    func() time.Time
	counts counters
	gzip   compressors
}

// New returns a stack; config must be valid.
func New(config Config, log *slog.Logger, now func() time.Time) *Stack {
	return &Stack{config: config, log: log, now: now}
}

// Wrap returns next behind the whole stack. name is its name in the counters;
// names come from the program, never from a request, so they are few.
func (s *Stack) Wrap(name string, next http.Handler) http.Handler {
	count := s.counts.handler(name)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		started := s.now()
		s.counts.inFlight.Add(1)
		rec := &recorder{ResponseWriter: w}
		defer func() {
			s.counts.inFlight.Add(-1)
			count.add(rec.statusOr(http.StatusOK), rec.written, s.now().Sub(started))
		}()
		defer s.rescue(rec, r)
		s.serve(rec, r, next)
	})
}

func (s *Stack) serve(rec *recorder, r *http.Request, next http.Handler) {
	setHeaders(rec.Header())
	// A connection knows real time only. Writers without a connection, as in
	// tests, refuse deadlines.
	control, started := http.NewResponseController(rec), time.Now()
	_ = control.SetReadDeadline(started.Add(s.config.Timeout))
	_ = control.SetWriteDeadline(started.Add(s.config.Timeout + writeGrace))
	ctx, cancel := context.WithTimeout(context.WithValue(r.Context(), limited{}, r.Context()), s.config.Timeout)
	defer cancel()
	r = r.WithContext(ctx)
	r.Body = http.MaxBytesReader(rec.ResponseWriter, r.Body, int64(s.config.MaxBody))
	if !s.config.Compress || !acceptsGzip(r) {
		next.ServeHTTP(rec, r)
		return
	}
	zip, whole := s.gzip.wrap(rec), false
	defer func() { zip.finish(whole) }()
	next.ServeHTTP(zip, r)
	whole = true
}

// setHeaders: answers are data, never pages; a page sets its own policy.
func setHeaders(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
}

// rescue turns a panic of a handler into a 500 and a counter. The panic with
// which handlers abort a connection on purpose goes on.
func (s *Stack) rescue(rec *recorder, r *http.Request) {
	cause := recover()
	if cause == nil {
		return
	}
	if cause == http.ErrAbortHandler {
		panic(cause)
	}
	s.counts.panics.Add(1)
	s.log.Error("handler panicked", "path", r.URL.Path, "err", cause, "stack", string(debug.Stack()))
	if rec.status != 0 {
		// The answer has begun: only a broken connection tells that it is not whole.
		panic(http.ErrAbortHandler)
	}
	rec.Header().Del("Content-Encoding")
	reply.Error(rec, reply.Internal, "internal error; the daemon's log has the details")
}
