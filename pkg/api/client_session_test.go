package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// streaming answers every request with what a test writes into a pipe.
type streaming struct {
	status int
	body   io.ReadCloser
}

func (s streaming) RoundTrip(r *http.Request) (*http.Response, error) {
	if s.body == nil { // a server that takes the request and says nothing
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	context.AfterFunc(r.Context(), func() { // as a transport does
		if pipe, ok := s.body.(*io.PipeReader); ok {
			_ = pipe.CloseWithError(r.Context().Err())
		}
	})
	return &http.Response{StatusCode: s.status, Body: s.body, Header: http.Header{}, Request: r}, nil
}

func sessionOf(t *testing.T, ctx context.Context, s streaming) (*SessionStream, error) {
	t.Helper()
	// The timeout is for calls, not for sessions.
	client, err := NewMemberClient("https://coordinator", &http.Client{Transport: s, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return client.Session(ctx, Session{})
}

func TestASessionEndsAfterSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		read, write := io.Pipe()
		stream, err := sessionOf(t, t.Context(), streaming{200, read})
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for range 5 {
				time.Sleep(SessionSilence - time.Millisecond)
				_, _ = write.Write([]byte("{\"now_ms\":5}\n"))
			}
		}()
		began := time.Now()
		for range 5 {
			if d, err := stream.Next(); err != nil || d.Now != 5 {
				t.Fatalf("got %+v, %v", d, err)
			}
		}
		if _, err := stream.Next(); !errors.Is(err, ErrSilent) {
			t.Errorf("got %v, want ErrSilent", err)
		}
		if got, want := time.Since(began), 6*SessionSilence-5*time.Millisecond; got != want {
			t.Errorf("gave up after %s, want %s", got, want)
		}
	})
}

func TestAServerThatNeverAnswersIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if _, err := sessionOf(t, t.Context(), streaming{}); !errors.Is(err, ErrSilent) {
			t.Errorf("got %v, want ErrSilent", err)
		}
	})
}

func TestASessionEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		read, _ := io.Pipe()
		stream, err := sessionOf(t, ctx, streaming{200, read})
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second, cancel)
		if _, err := stream.Next(); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
	})
}

func TestLinesOfASession(t *testing.T) {
	f := func(body string, good int, want error) {
		t.Helper()
		stream, err := sessionOf(t, t.Context(), streaming{200, io.NopCloser(strings.NewReader(body))})
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Close()
		for range good {
			if _, err := stream.Next(); err != nil {
				t.Fatalf("%.80s: %v", body, err)
			}
		}
		if _, err := stream.Next(); !errors.Is(err, want) {
			t.Errorf("%.80s: got %v, want %v", body, err, want)
		}
		if _, err := stream.Next(); err == nil {
			t.Errorf("%.80s: goes on after the end", body)
		}
	}
	f("", 0, io.EOF)
	f("{}\n{\"plan\":{\"revision\":1}}\n{\"end\":\"x\"}\n", 3, io.EOF)
	f("{\"tomorrow\":\"unknown members are for newer workers\"}\n", 1, io.EOF)
	f("{}\n{\"now_ms\":1", 1, io.ErrUnexpectedEOF)
	f("{}\nnonsense\n", 1, ErrDirective)
	f("{\"wait\":\""+strings.Repeat("x", MaxDirective-20)+"\"}\n", 1, io.EOF)
	f("{\"wait\":\""+strings.Repeat("x", MaxDirective)+"\"}\n", 0, ErrDirective)
	f(strings.Repeat("x", 3*MaxDirective), 0, ErrDirective)
}

func TestASessionThatIsRefused(t *testing.T) {
	_, err := sessionOf(t, t.Context(), streaming{429, io.NopCloser(strings.NewReader(`{"status":"error","errorType":"busy","error":"full"}`))})
	refused := (*Error)(nil)
	if !errors.As(err, &refused) || refused.Status != 429 || refused.Text != "full" {
		t.Errorf("got %v", err)
	}
}

func FuzzSession(f *testing.F) {
	for _, seed := range []string{"{}\n", "{\"plan\":{\"collectors\":[{\"port\":1}]}}\n{\"end\":\"\"}\n", "\n\n", "{", "[]\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		stream, err := sessionOf(t, t.Context(), streaming{200, io.NopCloser(strings.NewReader(string(data)))})
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Close()
		for lines := 0; ; lines++ {
			if _, err := stream.Next(); err != nil {
				return
			}
			if lines > len(data) {
				t.Fatal("more lines than bytes")
			}
		}
	})
}
