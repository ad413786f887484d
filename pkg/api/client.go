package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// maxAnswer is the largest answer a client reads, in bytes: ten thousand
// workers are about five million.
const maxAnswer = 256 << 20

// Error is an answer that the server itself gave, as opposed to a failure to
// reach it.
type Error struct {
	Status int    // HTTP status code
	Type   string // bad_data, execution, timeout, ...; empty when the body was no envelope
	Text   string
}

func (e *Error) Error() string {
	switch {
	case e.Type != "" && e.Text != "":
		return e.Type + ": " + e.Text
	case e.Text != "":
		return fmt.Sprintf("%d %s: %s", e.Status, http.StatusText(e.Status), e.Text)
	}
	return fmt.Sprintf("%d %s", e.Status, http.StatusText(e.Status))
}

// envelope is the frame around every answer of the Prometheus API and around
// every error.
type envelope struct {
	Status    string          `json:"status"`
	Data      json.RawMessage `json:"data"`
	ErrorType string          `json:"errorType"`
	Error     string          `json:"error"`
	Warnings  []string        `json:"warnings"`
	Infos     []string        `json:"infos"`
}

const jsonType = "application/json"

// caller is what all clients are made of. Immutable.
type caller struct {
	base   *url.URL
	http   *http.Client
	limit  int64       // of an answer, in bytes
	header http.Header // of every request, on top of the usual
}

func newCaller(base string, client *http.Client) (caller, error) {
	u, err := url.Parse(base)
	if err != nil {
		return caller{}, fmt.Errorf("server address: %w", err)
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return caller{}, fmt.Errorf("server address %q: want https://host:port", base)
	}
	if client == nil {
		return caller{}, errors.New("server address: no HTTP client given")
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	return caller{base: u, http: client, limit: maxAnswer}, nil
}

// straight returns a caller that follows no redirects and reads answers of at
// most limit bytes.
func (c caller) straight(limit int64) caller {
	client := *c.http
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.http, c.limit = &client, limit
	return c
}

// with returns a caller that sends one more header.
func (c caller) with(name, value string) caller {
	c.header = c.header.Clone()
	if c.header == nil {
		c.header = http.Header{}
	}
	c.header.Set(name, value)
	return c
}

// get asks path with query and decodes the JSON answer into out.
func (c caller) get(ctx context.Context, path string, query url.Values, out any) error {
	return c.call(ctx, http.MethodGet, path, query, out)
}

// call sends a request without a body.
func (c caller) call(ctx context.Context, method, path string, query url.Values, out any) error {
	request, err := c.request(ctx, method, path, query, nil)
	if err != nil {
		return err
	}
	return c.do(request, out)
}

func (c caller) request(ctx context.Context, method, path string, query url.Values, body io.Reader) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.address(path, query), body)
	if err != nil {
		return nil, err
	}
	for name, values := range c.header {
		request.Header[name] = values
	}
	if request.Header.Get("Authorization") != "" || request.Header.Get("Cookie") != "" {
		return request, c.private()
	}
	return request, nil
}

// ErrClear says that a secret would have gone over the network in clear.
var ErrClear = errors.New("a password, token or session goes over https only")

// private refuses to send secrets in clear over a network; the host "local" is a
// unix socket.
func (c caller) private() error {
	if c.base.Scheme != "https" && c.base.Host != "local" {
		return fmt.Errorf("%s: %w", c.base, ErrClear)
	}
	return nil
}

// form posts values, which may be longer than an address can be.
func (c caller) form(ctx context.Context, path string, values url.Values, out any) error {
	return c.post(ctx, path, "application/x-www-form-urlencoded", []byte(values.Encode()), out)
}

func (c caller) postJSON(ctx context.Context, path string, body, out any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return c.post(ctx, path, jsonType, b, out)
}

func (c caller) post(ctx context.Context, path, contentType string, body []byte, out any) error {
	request, err := c.request(ctx, http.MethodPost, path, nil, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", contentType)
	return c.do(request, out)
}

// address joins the base, an escaped path and a query.
func (c caller) address(path string, query url.Values) string {
	address := c.base.String() + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	return address
}

// do sends request and decodes the JSON answer into out; a *[]byte gets it as it
// is, nil nothing. A server's refusal is an *Error; anything else that goes wrong
// names the address.
func (c caller) do(request *http.Request, out any) error {
	_, err := c.exchange(request, out)
	return err
}

// exchange is do for those who want to know the header of the answer, too.
func (c caller) exchange(request *http.Request, out any) (http.Header, error) {
	request.Header.Set("Accept", jsonType)
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err // *url.Error: it names method and address
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, c.limit+1))
	if err != nil {
		return nil, fmt.Errorf("%s %s: read answer: %w", request.Method, request.URL, err)
	}
	if int64(len(body)) > c.limit {
		return nil, fmt.Errorf("%s %s: answer longer than %d bytes", request.Method, request.URL, c.limit)
	}
	if response.StatusCode/100 != 2 {
		return nil, refusal(response, body)
	}
	return response.Header, decode(request, response.StatusCode, body, out)
}

func decode(request *http.Request, status int, body []byte, out any) error {
	if raw, asIs := out.(*[]byte); asIs {
		if status != http.StatusNoContent {
			*raw = body
		}
		return nil
	}
	if out == nil || status == http.StatusNoContent {
		return nil
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("%s %s: %w", request.Method, request.URL, err)
	}
	return nil
}

// refusal makes an Error of an answer that is not 2xx, whatever its body is.
func refusal(response *http.Response, body []byte) error {
	refused := &Error{Status: response.StatusCode}
	var e envelope
	if json.Unmarshal(body, &e) == nil && e.Status == "error" {
		refused.Type, refused.Text = e.ErrorType, e.Error
		return refused
	}
	const most = 200
	text := strings.TrimSpace(string(body))
	if len(text) > most {
		text = text[:most] + "..."
	}
	refused.Text = text
	return refused
}
