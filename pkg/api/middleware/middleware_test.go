package middleware

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func newStack(config Config) (*Stack, *bytes.Buffer) {
	var logged bytes.Buffer
	return New(config, slog.New(slog.NewTextHandler(&logged, nil)), func() time.Time { return time.Unix(0, 0) }), &logged
}

// serve wraps handle and serves it on a free port.
func serve(t *testing.T, s *Stack, handle http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(s.Wrap("tested", handle))
	t.Cleanup(server.Close)
	return server.URL
}

func get(t *testing.T, address, encoding string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept-Encoding", encoding) // set by hand: the client does not decompress
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.Header.Get("Content-Encoding") == "gzip" {
		unzip, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if body, err = io.ReadAll(unzip); err != nil {
			t.Fatal(err)
		}
	}
	return response, string(body)
}

func TestLongAnswersAreCompressed(t *testing.T) {
	s, _ := newStack(DefaultConfig())
	long := strings.Repeat(`{"a":1}`, 1000)
	f := func(accept string, wantZip bool, handle http.HandlerFunc, want string) {
		t.Helper()
		response, body := get(t, serve(t, s, handle), accept)
		if zipped := response.Header.Get("Content-Encoding") == "gzip"; zipped != wantZip {
			t.Errorf("accept %q: compressed is %t, want %t", accept, zipped, wantZip)
		}
		if body != want {
			t.Errorf("accept %q: got %d bytes, want %d", accept, len(body), len(want))
		}
	}
	write := func(contentType, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(http.StatusOK)
			for i := 0; i < len(body); i += 100 { // in pieces
				_, _ = io.WriteString(w, body[i:min(i+100, len(body))])
			}
		}
	}
	f("gzip", true, write("application/json", long), long)
	f("br, GZIP;q=0.5", true, write("application/json", long), long)
	f("*", true, write("text/plain", long), long)
	f("", false, write("application/json", long), long)
	f("gzip;q=0", false, write("application/json", long), long)
	f("identity", false, write("application/json", long), long)
	f("gzip", false, write("image/png", long), long)
	f("gzip", false, write("application/json", "short"), "short")
	f("gzip", false, write("application/json", ""), "")
	f("gzip", true, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, long) }, long)
	f("gzip", false, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "identity")
		_, _ = io.WriteString(w, long)
	}, long)
	off := DefaultConfig()
	off.Compress = false
	s, _ = newStack(off)
	f("gzip", false, write("application/json", long), long)
}

func TestStatusAndTypeSurviveCompression(t *testing.T) {
	s, _ := newStack(DefaultConfig())
	response, _ := get(t, serve(t, s, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, "<html>"+strings.Repeat("x", 5000))
	}), "gzip")
	if response.StatusCode != http.StatusTeapot || !strings.HasPrefix(response.Header.Get("Content-Type"), "text/html") {
		t.Errorf("got %d %s", response.StatusCode, response.Header.Get("Content-Type"))
	}
	response, _ = get(t, serve(t, s, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }), "gzip")
	if response.StatusCode != http.StatusNoContent {
		t.Errorf("no content: got %d", response.StatusCode)
	}
}

func TestFlushedAnswersTrickle(t *testing.T) {
	s, _ := newStack(DefaultConfig())
	more := make(chan struct{})
	address := serve(t, s, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "first\n")
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		<-more
		_, _ = io.WriteString(w, "second\n")
	})
	response, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	first := make([]byte, 6)
	if _, err := io.ReadFull(response.Body, first); err != nil || string(first) != "first\n" {
		t.Errorf("got %q, %v", first, err)
	}
	close(more)
	if rest, err := io.ReadAll(response.Body); err != nil || string(rest) != "second\n" {
		t.Errorf("got %q, %v", rest, err)
	}
}

func TestAPanicIsAnErrorAndACounter(t *testing.T) {
	for _, encoding := range []string{"gzip", ""} {
		s, logged := newStack(DefaultConfig())
		address := serve(t, s, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, map[string]string{"gzip": "held back", "": ""}[encoding])
			panic("a bug")
		})
		response, body := get(t, address, encoding)
		if response.StatusCode != http.StatusInternalServerError || !strings.Contains(body, `"errorType":"internal"`) || strings.Contains(body, "held back") {
			t.Errorf("accept %q: got %d %s", encoding, response.StatusCode, body)
		}
		if !strings.Contains(logged.String(), "a bug") {
			t.Errorf("log: %s", logged)
		}
		if stats := s.Stats(); stats.Panics != 1 || stats.InFlight != 0 {
			t.Errorf("got stats %+v", stats)
		}
	}
}

func TestAPanicInTheMiddleBreaksTheAnswerOff(t *testing.T) {
	s, _ := newStack(DefaultConfig())
	address := serve(t, s, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("x", 100_000))
		panic("a bug")
	})
	for _, encoding := range []string{"gzip", ""} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Accept-Encoding", encoding)
		response, err := http.DefaultClient.Do(request)
		if err == nil {
			_, err = io.ReadAll(response.Body)
			response.Body.Close()
		}
		if err == nil {
			t.Errorf("accept %q: the answer looks whole", encoding)
		}
	}
	if got := s.Stats().Panics; got != 2 {
		t.Errorf("got %d panics, want 2", got)
	}
}

func TestBodiesAndTimesAreLimited(t *testing.T) {
	config := DefaultConfig()
	config.MaxBody, config.Timeout = 1024, time.Second
	s, _ := newStack(config)
	address := serve(t, s, func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		if tooLarge := (*http.MaxBytesError)(nil); !errors.As(err, &tooLarge) {
			t.Errorf("body: got error %v", err)
		}
		if _, ok := r.Context().Deadline(); !ok {
			t.Error("the request has no deadline")
		}
		<-r.Context().Done()
		if !errors.Is(r.Context().Err(), context.DeadlineExceeded) {
			t.Errorf("context: got %v", r.Context().Err())
		}
	})
	response, err := http.Post(address, "text/plain", strings.NewReader(strings.Repeat("x", 2000)))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
}

func TestHeadersAndCounters(t *testing.T) {
	s, _ := newStack(DefaultConfig())
	address := serve(t, s, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/bad" {
			w.WriteHeader(http.StatusBadRequest)
		}
		_, _ = io.WriteString(w, "12345")
	})
	s.Wrap("unused", http.NotFoundHandler())
	for _, path := range []string{"/", "/", "/bad"} {
		response, _ := get(t, address+path, "")
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
			"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
		} {
			if got := response.Header.Get(name); got != want {
				t.Errorf("header %s: got %q, want %q", name, got, want)
			}
		}
	}
	want := Stats{Handlers: []HandlerStats{
		{Name: "tested", Codes: []CodeCount{{200, 2}, {400, 1}}, Bytes: 15},
		{Name: "unused"},
	}}
	if diff := cmp.Diff(want, s.Stats()); diff != "" {
		t.Errorf("stats (-want +got):\n%s", diff)
	}
}

func TestConfig(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*Config){
		"max_body": func(c *Config) { c.MaxBody = 0 },
		"timeout":  func(c *Config) { c.Timeout = 0 },
	} {
		bad := DefaultConfig()
		spoil(&bad)
		if err := bad.Validate(); err == nil || !strings.HasPrefix(err.Error(), name) {
			t.Errorf("got %v, want an error about %s", err, name)
		}
	}
	var server http.Server
	DefaultConfig().Apply(&server)
	if server.ReadHeaderTimeout == 0 || server.IdleTimeout == 0 || server.MaxHeaderBytes == 0 {
		t.Errorf("server limits: %+v", &server)
	}
}
