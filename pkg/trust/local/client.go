package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"syscall"
	"time"
)

// BaseURL is what the addresses of requests over a unix socket begin with; the
// host in it is not looked up.
const BaseURL = "http://local"

// dialTimeout bounds the connecting. A daemon that lives accepts at once.
const dialTimeout = 5 * time.Second

// Errors of a Client that an operator can do something about; errors.Is finds
// them behind the *url.Error of package http.
var (
	// ErrNotThere: no socket, or nobody behind it.
	ErrNotThere = errors.New("nobody listens there; is the daemon running?")
	// ErrRefused: the folder of the socket does not let this user through.
	ErrRefused = errors.New("not open to this user")
)

// Client returns a client whose requests all go through the socket at path,
// whatever host their address names. It sets no timeout: that is for the context
// of a request, which may be a long poll. Safe for concurrent use.
func Client(path string) *http.Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		dialer := net.Dialer{Timeout: dialTimeout}
		c, err := dialer.DialContext(ctx, "unix", path)
		switch {
		case err == nil:
			return c, nil
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
			return nil, fmt.Errorf("socket %q: %w", path, ErrNotThere)
		case errors.Is(err, fs.ErrPermission):
			return nil, fmt.Errorf("socket %q: %w", path, ErrRefused)
		}
		return nil, err
	}
	return &http.Client{
		Transport: &http.Transport{DialContext: dial, MaxIdleConns: 4, IdleConnTimeout: time.Minute},
		// A redirect would lead to the same socket; none of our daemons sends one.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
