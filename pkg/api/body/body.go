// Package body reads the bodies of requests: bounded, and one JSON object with
// the members that are wanted and nothing behind it.
//
// What it says of a body that is wrong names the member and what is wanted, and
// never holds any of the body: it may be a password.
package body

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
)

// Read returns the body of at most limit bytes. Otherwise it has answered, and
// ok is false.
func Read(w http.ResponseWriter, r *http.Request, limit int64) (data []byte, ok bool) {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		reply.Error(w, reply.TooLarge, fmt.Sprintf("body longer than %d bytes", tooLarge.Limit))
		return nil, false
	}
	if err != nil {
		reply.Error(w, reply.BadData, "read body: it broke off")
		return nil, false
	}
	return data, true
}

// JSON reads a body of at most limit bytes into out, a pointer to a struct. what
// names it for people. When the body is not good it has answered, and the
// result is false.
func JSON(w http.ResponseWriter, r *http.Request, limit int64, what string, out any) bool {
	if !isJSON(r.Header.Get("Content-Type")) {
		reply.Error(w, reply.BadData, what+": want Content-Type: application/json")
		return false
	}
	data, ok := Read(w, r, limit)
	if !ok {
		return false
	}
	if err := Parse(data, out); err != nil {
		reply.Error(w, reply.BadData, what+": "+err.Error())
		return false
	}
	return true
}

// isJSON refuses what a form in a foreign web page can send without being asked
// for leave.
func isJSON(contentType string) bool {
	if contentType == "" {
		return true
	}
	kind, _, err := mime.ParseMediaType(contentType)
	return err == nil && kind == "application/json"
}

// Parse reads one JSON object into out. Members that out does not have, and
// anything behind the object, are errors.
func Parse(data []byte, out any) error {
	if trimmed := bytes.TrimLeft(data, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' {
		return errors.New("want a JSON object")
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(out); err != nil {
		return plain(err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is something behind the JSON object")
	}
	return nil
}

// plain says what is wrong without a word of the body.
func plain(err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("not JSON at byte %d", syntax.Offset)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("not JSON: it ends too early")
	case errors.As(err, &kind):
		if kind.Field == "" {
			return fmt.Errorf("a value at byte %d is of the wrong type", kind.Offset)
		}
		return fmt.Errorf("member %q: want %s", kind.Field, kindName(kind.Type.Kind().String()))
	case strings.HasPrefix(err.Error(), "json: unknown field "):
		return errors.New("a member that is not known here")
	}
	return errors.New("a value is not of the form that is wanted")
}

// kindName spells a Go kind as JSON has it.
func kindName(kind string) string {
	switch {
	case strings.HasPrefix(kind, "int"):
		return "a whole number"
	case strings.HasPrefix(kind, "uint"):
		return "a whole number, not negative"
	case kind == "slice" || kind == "array":
		return "a list, or a text of the right length"
	case kind == "struct" || kind == "map":
		return "an object"
	case kind == "bool":
		return "true or false"
	}
	return "a " + kind
}
