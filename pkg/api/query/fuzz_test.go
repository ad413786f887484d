package query

import (
	"encoding/json"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// FuzzParameters: whatever a request carries, the answer is one of the known
// kinds, in JSON, and nothing panics.
func FuzzParameters(f *testing.F) {
	config := DefaultConfig()
	config.Timeout, config.MaxSamples = time.Second, 10_000
	a, err := New(config, testDeps(testStorage(f)))
	if err != nil {
		f.Fatal(err)
	}
	mux := http.NewServeMux()
	a.Register(mux, func(_ string, next http.Handler) http.Handler { return next })
	for _, line := range append(goldenLines(), ownLines()...) {
		_, target, _ := strings.Cut(line, " ")
		path, query, _ := strings.Cut(target, "?")
		f.Add(strings.TrimPrefix(path, "/api/v1/"), query)
	}
	f.Fuzz(func(t *testing.T, path, query string) {
		r := httptest.NewRequest(http.MethodGet, "/api/v1/", nil)
		r.URL.Path, r.URL.RawQuery = "/api/v1/"+path, query
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		switch w.Code {
		case 200, 400, 404, 422, 499, 503:
		case 301, 307, 405:
			return // the mux itself
		default:
			t.Errorf("status %d", w.Code)
		}
		if !json.Valid(w.Body.Bytes()) {
			t.Errorf("answer is no JSON: %s", w.Body)
		}
	})
}

// FuzzTimes: a time or duration that is accepted is one.
func FuzzTimes(f *testing.F) {
	for _, text := range []string{"", "0", "1.5", "-1", "1e400", "NaN", "Inf", "5m", "1h30m", "2026-05-04T12:00:00Z", earliest().Format(time.RFC3339Nano), latest().Format(time.RFC3339Nano)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if at, err := parseTime(text); err == nil {
			_ = at.UnixMilli()
		}
		if _, err := parseDuration(text); err != nil && err.Error() == "" {
			t.Error("an error without a text")
		}
	})
}

// FuzzStrings: both spellings of a string read back as what they were.
func FuzzStrings(f *testing.F) {
	for _, text := range []string{"", "plain", "<>&", "\"\\", "\x00\x1f\x7f", "ü\u2028\u2029\U0001F600"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.ToValidUTF8(text, "?")
		for _, b := range [][]byte{appendString(nil, text), appendLabelString(nil, text)} {
			var back string
			if err := json.Unmarshal(b, &back); err != nil || back != text {
				t.Errorf("%q: written %s, read %q, %v", text, b, back, err)
			}
		}
	})
}

// FuzzValues: a value reads back as what it was.
func FuzzValues(f *testing.F) {
	for _, v := range []float64{0, 1, -1, 1e-7, 1e21, math.MaxFloat64, math.SmallestNonzeroFloat64, math.NaN(), math.Inf(1), math.Inf(-1)} {
		f.Add(v, int64(v))
	}
	f.Fuzz(func(t *testing.T, v float64, at int64) {
		if b := appendTime(nil, at/2); !json.Valid(b) {
			t.Errorf("time %d: %s", at/2, b)
		}
		if b := appendValue(nil, v); !json.Valid(b) {
			t.Errorf("value %v: %s", v, b)
		}
	})
}
