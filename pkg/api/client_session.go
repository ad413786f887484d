package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

const (
	// SessionPing is how often the coordinator sends a sign of life in a session.
	SessionPing = 10 * time.Second
	// SessionSilence is after how long without a line a worker gives a session up.
	SessionSilence = 3 * SessionPing
	// MaxDirective bounds a line of a session, in bytes: a bundle is the largest
	// part of one.
	MaxDirective = 512 << 10
)

// ErrSilent says that a session was given up because nothing was heard for
// SessionSilence.
var ErrSilent = errors.New("the coordinator fell silent")

// ErrDirective says that a line of a session cannot be read.
var ErrDirective = errors.New("not a directive")

// SessionStream is an open session. One goroutine calls Next; Close may be
// called by any.
type SessionStream struct {
	body   io.Closer
	lines  *bufio.Reader
	ctx    context.Context
	cancel context.CancelCauseFunc
	silent *time.Timer
	once   sync.Once
}

// Session opens the worker's session. It lasts until Close, until ctx ends, or
// until the coordinator ends it. Refusals are *Error.
func (c *MemberClient) Session(ctx context.Context, s Session) (*SessionStream, error) {
	body, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	silent := time.AfterFunc(SessionSilence, func() { cancel(ErrSilent) })
	give := func(err error) (*SessionStream, error) {
		silent.Stop()
		err = causeOf(ctx, err)
		cancel(err)
		return nil, err
	}
	request, err := c.request(ctx, http.MethodPost, PathSession, nil, bytes.NewReader(body))
	if err != nil {
		return give(err)
	}
	request.Header.Set("Content-Type", jsonType)
	// Set by hand, it keeps the transport from asking for compression, which
	// would hold lines back.
	request.Header.Set("Accept-Encoding", "identity")
	endless := *c.http
	endless.Timeout = 0
	response, err := endless.Do(request)
	if err != nil {
		return give(err)
	}
	if response.StatusCode != http.StatusOK {
		defer response.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(response.Body, c.limit))
		return give(refusal(response, text))
	}
	return &SessionStream{body: response.Body, lines: bufio.NewReader(response.Body), ctx: ctx, cancel: cancel, silent: silent}, nil
}

// Next returns the next line, signs of life included. io.EOF says that the
// coordinator has ended the session in order, ErrSilent that nothing came for
// too long. After an error there is nothing more.
func (s *SessionStream) Next() (Directive, error) {
	line, err := s.line()
	if err != nil {
		err = causeOf(s.ctx, err)
		_ = s.Close()
		if err == io.EOF {
			return Directive{}, io.EOF
		}
		return Directive{}, fmt.Errorf("session: %w", err)
	}
	s.silent.Reset(SessionSilence)
	var d Directive
	if err := json.Unmarshal(line, &d); err != nil {
		_ = s.Close()
		return Directive{}, fmt.Errorf("session: %w: %w", ErrDirective, err)
	}
	return d, nil
}

// line returns the next one without its end. A line that is cut off by the end
// is an error.
func (s *SessionStream) line() ([]byte, error) {
	var line []byte
	for {
		piece, err := s.lines.ReadSlice('\n')
		if len(line)+len(piece) > MaxDirective {
			return nil, fmt.Errorf("%w: longer than %d bytes", ErrDirective, MaxDirective)
		}
		line = append(line, piece...)
		switch {
		case err == nil:
			return line, nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(line) > 0:
			return nil, io.ErrUnexpectedEOF
		default:
			return nil, err
		}
	}
}

// Close ends the session. Next returns an error from then on.
func (s *SessionStream) Close() error {
	s.once.Do(func() {
		s.silent.Stop()
		s.cancel(context.Canceled)
		_ = s.body.Close()
	})
	return nil
}

// causeOf says why a context ended in place of the transport's words for it.
func causeOf(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}
