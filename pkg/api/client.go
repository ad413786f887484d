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

// caller is what both clients are made of.
type caller struct {
	base *url.URL
	http *http.Client
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
	return caller{base: u, http: client}, nil
}

// get asks path with query and decodes the JSON answer into out.
func (c caller) get(ctx context.Context, path string, query url.Values, out any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.address(path, query), nil)
	if err != nil {
		return err
	}
	return c.do(request, out)
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
	return c.post(ctx, path, "application/json", b, out)
}

func (c caller) post(ctx context.Context, path, contentType string, body []byte, out any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.address(path, nil), bytes.NewReader(body))
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

// do sends request. A server's refusal is an *Error; anything else that goes
// wrong names the address.
func (c caller) do(request *http.Request, out any) error {
	request.Header.Set("Accept", "application/json")
	response, err := c.http.Do(request)
	if err != nil {
		return err // *url.Error: it names method and address
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("%s %s: read answer: %w", request.Method, request.URL, err)
	}
	if len(body) > maxAnswer {
		return fmt.Errorf("%s %s: answer longer than %d bytes", request.Method, request.URL, maxAnswer)
	}
	if response.StatusCode/100 != 2 {
		return refusal(response, body)
	}
	if out == nil {
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
