// Package reply writes the answers that all HTTP interfaces share: JSON bodies,
// and errors in the envelope of the Prometheus API, with its kinds and status
// codes.
package reply

import (
	"encoding/json"
	"net/http"
)

// Kind is the errorType of an error answer.
type Kind string

// The kinds of Prometheus, and six of ours (unauthorized, forbidden, conflict,
// too_large, misdirected, busy).
const (
	BadData      Kind = "bad_data"
	Execution    Kind = "execution"
	Canceled     Kind = "canceled"
	Timeout      Kind = "timeout"
	Internal     Kind = "internal"
	Unavailable  Kind = "unavailable"
	NotFound     Kind = "not_found"
	Unauthorized Kind = "unauthorized"
	Forbidden    Kind = "forbidden"
	Conflict     Kind = "conflict"
	TooLarge     Kind = "too_large"
	Misdirected  Kind = "misdirected"
	Busy         Kind = "busy"
)

// statusClientClosed is the code that logs and counters show for a client which
// went away; nobody receives it. nginx and Prometheus use the same.
const statusClientClosed = 499

// Status is the HTTP status code that goes with the kind.
func (k Kind) Status() int {
	switch k {
	case BadData:
		return http.StatusBadRequest
	case Execution:
		return http.StatusUnprocessableEntity
	case Canceled:
		return statusClientClosed
	case Timeout, Unavailable:
		return http.StatusServiceUnavailable
	case NotFound:
		return http.StatusNotFound
	case Unauthorized:
		return http.StatusUnauthorized
	case Forbidden:
		return http.StatusForbidden
	case Conflict:
		return http.StatusConflict
	case Misdirected:
		return http.StatusMisdirectedRequest
	case TooLarge:
		return http.StatusRequestEntityTooLarge
	case Busy:
		return http.StatusTooManyRequests
	}
	return http.StatusInternalServerError
}

// Error answers with the envelope {"status":"error","errorType":...,"error":...}.
func Error(w http.ResponseWriter, kind Kind, text string) {
	write(w, kind.Status(), struct {
		Status    string `json:"status"`
		ErrorType Kind   `json:"errorType"`
		Error     string `json:"error"`
	}{"error", kind, text})
}

// JSON answers 200 with v.
func JSON(w http.ResponseWriter, v any) { write(w, http.StatusOK, v) }

// write drops the error of a client that has gone: there is nobody to tell.
func write(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "encode answer: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
