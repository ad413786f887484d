package body

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// sent is a body with something of every kind.
type sent struct {
	Name  string            `json:"name"`
	Count int               `json:"count"`
	More  map[string]string `json:"more"`
	List  []string          `json:"list"`
	Sure  bool              `json:"sure"`
	Small uint8             `json:"small"`
}

const secret = "hunter2hunter2"

func TestBodies(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		var out sent
		err := Parse([]byte(text), &out)
		if want == "" {
			if err != nil {
				t.Errorf("%s: %v", text, err)
			}
			return
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got error %v, want %q", text, err, want)
		}
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error repeats the body: %v", text, err)
		}
	}
	f(`{}`, "")
	f(" {\"name\":\"x\"}\r\n", "")
	f(``, "want a JSON object")
	f(`null`, "want a JSON object")
	f(`[]`, "want a JSON object")
	f(`"`+secret+`"`, "want a JSON object")
	f(`{`, "ends too early")
	f(`{"name":"`+secret, "ends too early")
	f(`{"name":`+secret+`}`, "not JSON at byte")
	f(`{}{}`, "behind")
	f(`{} `+secret, "behind")
	f(`{"`+secret+`":1}`, "not known here")
	f(`{"name":{"`+secret+`":1}}`, `member "name": want a string`)
	f(`{"count":"`+secret+`"}`, `member "count": want a whole number`)
	f(`{"small":-7}`, `member "small": want a whole number, not negative`)
	f(`{"more":"`+secret+`"}`, `member "more": want an object`)
	f(`{"list":"`+secret+`"}`, `member "list": want a list`)
	f(`{"sure":"`+secret+`"}`, `member "sure": want true or false`)
}

func TestBodiesAreBounded(t *testing.T) {
	f := func(contentType, text string, status int) {
		t.Helper()
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", strings.NewReader(text))
		r.Header.Set("Content-Type", contentType)
		var out sent
		if ok := JSON(w, r, 64, "thing", &out); ok != (status == http.StatusOK) || w.Code != status {
			t.Errorf("%q %.80s: got %v, %d %s, want %d", contentType, text, ok, w.Code, w.Body, status)
		}
	}
	f("application/json", `{"name":"x"}`, 200)
	f("application/json; charset=utf-8", `{"name":"x"}`, 200)
	f("", `{"name":"x"}`, 200)
	f("application/json", `{"name":"`+strings.Repeat("x", 64)+`"}`, 413)
	f("application/json", `{"name":7}`, 400)
	// What a form in a page of somebody else sends without being asked for leave.
	f("text/plain", `{"name":"x"}`, 400)
	f("application/x-www-form-urlencoded", `{"name":"x"}`, 400)
	f("multipart/form-data; boundary=x", `{"name":"x"}`, 400)
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{`{}`, `{"name":"x","count":1,"more":{"a":"b"},"list":["x"],"sure":true}`, `{"small":300}`, `{}x`, `{"name":null}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var out sent
		if Parse(data, &out) != nil {
			return
		}
		again, err := json.Marshal(out)
		if err != nil {
			t.Fatal(err)
		}
		var second sent
		if err := Parse(again, &second); err != nil {
			t.Errorf("%s was read, %s was not: %v", data, again, err)
		}
	})
}
