package member

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/middleware"
	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/trusttest"
)

// TestASessionStreams line by line, by either version of HTTP, also a line that
// is long enough to be compressed.
func TestASessionStreams(t *testing.T) {
	for _, h2 := range []bool{true, false} {
		c := start(t, nil, time.Now)
		next, ended := make(chan api.Directive), make(chan error, 1)
		c.session = func(ctx context.Context, send func(api.Directive) error) error {
			for {
				select {
				case d := <-next:
					if err := send(d); err != nil {
						ended <- err
						return err
					}
				case <-ctx.Done():
					ended <- context.Cause(ctx)
					return nil
				}
			}
		}
		transport := c.as(c.worker(1), h2)
		client := c.client(transport)
		opened := make(chan *api.SessionStream)
		go func() {
			stream, err := client.Session(t.Context(), session(1))
			if err != nil {
				t.Error(err)
			}
			opened <- stream
		}()
		first := api.Directive{Bundle: strings.Repeat("certificate", 2000)}
		next <- first
		stream := <-opened
		for i, want := range []api.Directive{first, {Wait: "x"}, {Plan: &api.Plan{Revision: 7}}} {
			if i > 0 {
				next <- want
			}
			got, err := stream.Next()
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Fatalf("HTTP/2 %v: line %d: %v (-want +got):\n%s", h2, i, err, diff)
			}
		}
		if n := c.handlers.Sessions(); n != 1 {
			t.Errorf("open sessions: got %d", n)
		}
		_ = stream.Close()
		if err := <-ended; err == nil {
			t.Error("ended without a cause")
		}
	}
}

func TestTheCoordinatorEndsASession(t *testing.T) {
	f := func(what string, serve func(context.Context, func(api.Directive) error) error, want []api.Directive) {
		t.Helper()
		c := start(t, nil, func() time.Time { return time.UnixMilli(5) })
		c.session = serve
		stream, err := c.client(c.as(c.worker(1), true)).Session(t.Context(), session(1))
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		defer stream.Close()
		for _, line := range want {
			got, err := stream.Next()
			if diff := cmp.Diff(line, got); err != nil || diff != "" {
				t.Fatalf("%s: %v (-want +got):\n%s", what, err, diff)
			}
		}
		if _, err := stream.Next(); err != io.EOF {
			t.Errorf("%s: got %v, want io.EOF", what, err)
		}
	}
	plan := api.Directive{Plan: &api.Plan{Revision: 1}}
	f("without a word", func(context.Context, func(api.Directive) error) error { return nil }, nil)
	f("after a line", func(_ context.Context, send func(api.Directive) error) error { return send(plan) }, []api.Directive{plan})
	f("with a word", func(_ context.Context, send func(api.Directive) error) error {
		return errors.Join(send(plan), errors.New("revoked"))
	}, []api.Directive{plan, {Now: 5, End: "revoked"}})
}

func TestASessionIsRefusedBeforeItBegins(t *testing.T) {
	c := start(t, nil, time.Now)
	c.session = func(context.Context, func(api.Directive) error) error {
		return reply.Because(reply.ErrForbidden, "not a member")
	}
	_, err := c.client(c.as(c.worker(1), true)).Session(t.Context(), session(1))
	refusal(t, "no member", err, 403, "not a member")
	if n := c.handlers.Sessions(); n != 0 {
		t.Errorf("open sessions: got %d", n)
	}
}

func TestADirectiveThatNoWorkerReadsIsNotSent(t *testing.T) {
	c := start(t, nil, time.Now)
	c.session = func(_ context.Context, send func(api.Directive) error) error {
		return send(api.Directive{Bundle: strings.Repeat("x", api.MaxDirective)})
	}
	_, err := c.client(c.as(c.worker(1), true)).Session(t.Context(), session(1))
	refusal(t, "long line", err, 500, "at most")
}

func TestSessionsAreBounded(t *testing.T) {
	s := sessions{most: sessionsEach + 2, of: map[trust.Identity]int{}}
	a, b := trust.Identity{Name: "a"}, trust.Identity{Name: "b"}
	for range sessionsEach {
		if err := s.enter(a); err != nil {
			t.Fatal(err)
		}
	}
	if s.enter(a) == nil {
		t.Error("one identity took more than its share")
	}
	if s.enter(b) != nil || s.enter(b) != nil {
		t.Error("another identity got nothing")
	}
	if s.enter(trust.Identity{Name: "c"}) == nil {
		t.Error("more than all")
	}
	for range sessionsEach {
		s.leave(a)
	}
	s.leave(b)
	s.leave(b)
	if s.open() != 0 || len(s.of) != 0 {
		t.Errorf("left behind: %d, %v", s.open(), s.of)
	}
}

var errStopping = errors.New("coordinator is stopping")

// inBubble serves one session with virtual time, behind the whole stack, to a
// worker whose certificate lasts for left, on a server that stops after stops, and
// returns the lines and how long it took.
func inBubble(t *testing.T, left, stops time.Duration, serve func(context.Context, func(api.Directive) error) error) (lines []api.Directive, took time.Duration) {
	t.Helper()
	leaf := *trusttest.New(t, "lab").CA().Certificate()
	synctest.Test(t, func(t *testing.T) {
		leaf.NotAfter = time.Now().Add(left)
		peer := Peer{HasCertificate: true, Identity: trust.Identity{Fleet: "lab", Role: trust.RoleWorker, Name: id(1).String()}, Leaf: &leaf}
		h := New(&office{session: serve}, Config{MaxSessions: 100}, Deps{Logger: quiet(), Now: time.Now, Peer: func(*http.Request) (Peer, error) { return peer, nil }})
		mux := http.NewServeMux()
		h.Register(mux, middleware.New(middleware.DefaultConfig(), quiet(), time.Now).Wrap)
		body, err := json.Marshal(session(1))
		if err != nil {
			t.Fatal(err)
		}
		w, began := httptest.NewRecorder(), time.Now()
		server, stop := context.WithCancelCause(t.Context())
		defer time.AfterFunc(stops, func() { stop(errStopping) }).Stop()
		r := httptest.NewRequestWithContext(server, http.MethodPost, api.PathSession, strings.NewReader(string(body)))
		r.Header.Set("Accept-Encoding", "gzip")
		mux.ServeHTTP(w, r)
		took = time.Since(began)
		for line := range strings.Lines(w.Body.String()) {
			var d api.Directive
			if err := json.Unmarshal([]byte(line), &d); err != nil {
				t.Errorf("%q: %v", line, err)
			}
			lines = append(lines, d)
		}
		if got := w.Header().Get("Content-Encoding"); got != "" {
			t.Errorf("compressed: %s", got)
		}
	})
	return lines, took
}

// TestASessionLastsAndPings: much longer than any other request may take.
func TestASessionLastsAndPings(t *testing.T) {
	lines, took := inBubble(t, 24*time.Hour, 24*time.Hour, func(ctx context.Context, _ func(api.Directive) error) error {
		select {
		case <-time.After(time.Hour + time.Second):
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	if took != time.Hour+time.Second || len(lines) != 360 {
		t.Errorf("lasted %s with %d lines", took, len(lines))
	}
	for i, line := range lines {
		if line.Now == 0 || line != (api.Directive{Now: line.Now}) || i > 0 && line.Now-lines[i-1].Now != model.Millis(api.SessionPing.Milliseconds()) {
			t.Fatalf("line %d: %+v", i, line)
		}
	}
}

func TestASessionEndsWithItsCertificate(t *testing.T) {
	lines, took := inBubble(t, 15*time.Second, time.Hour, func(ctx context.Context, _ func(api.Directive) error) error {
		<-ctx.Done()
		return nil
	})
	if took != 15*time.Second || len(lines) != 2 || !strings.Contains(lines[1].End, trust.ErrExpired.Error()) {
		t.Errorf("lasted %s: %+v", took, lines)
	}
}

func TestASessionEndsWithTheDaemon(t *testing.T) {
	lines, took := inBubble(t, time.Hour, 15*time.Second, func(ctx context.Context, _ func(api.Directive) error) error {
		<-ctx.Done()
		return ctx.Err()
	})
	if took != 15*time.Second || len(lines) != 2 || lines[1].End != errStopping.Error() {
		t.Errorf("lasted %s: %+v", took, lines)
	}
}
