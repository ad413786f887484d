package snapshots

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/access"
	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
	"github.com/cloudless-fleet/cloudless/pkg/audit"
)

// shelf is a Store that only says what it would do.
type shelf struct {
	err   error
	asked []string
}

func (s *shelf) Snapshot(ctx context.Context, name string) (api.Snapshot, error) {
	if _, limited := ctx.Deadline(); limited {
		return api.Snapshot{}, errors.New("there is a limit of time")
	}
	s.asked = append(s.asked, "snapshot "+name)
	return api.Snapshot{Name: name + "!", Path: "/srv/" + name + "!", Created: time.Unix(1_800_000_000, 0).UTC(), Files: 3, Bytes: 4711}, s.err
}

func (s *shelf) Import(_ context.Context, name string) (api.SnapshotImported, error) {
	s.asked = append(s.asked, "import "+name)
	return api.SnapshotImported{Name: name, Volumes: 2}, s.err
}

// diary is an audit log in memory.
type diary struct {
	told []string
	err  error
}

func (d *diary) Append(e audit.Entry) error {
	d.told = append(d.told, e.What+" "+e.On)
	return d.err
}

// serve is the API behind a guard that knows an administrator's and a reader's token.
func serve(t *testing.T, s *shelf, d *diary) func(token, method, target, form string) (int, string) {
	t.Helper()
	guard := access.New(access.Config{Now: time.Now, Hosts: func() []string { return nil },
		Token: func(text string) (api.Principal, error) {
			return api.Principal{Name: text, Scope: api.Scope(text), By: "token"}, nil
		}})
	mux := http.NewServeMux()
	New(s, d, slog.New(slog.DiscardHandler)).Register(mux, func(_ string, next http.Handler) http.Handler { return guard.Wrap(next) })
	return func(token, method, target, form string) (int, string) {
		r := httptest.NewRequest(method, target, strings.NewReader(form))
		r.TLS = &tls.ConnectionState{}
		if form != "" {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		body, err := io.ReadAll(w.Result().Body)
		if err != nil {
			t.Fatal(err)
		}
		return w.Code, string(body)
	}
}

func TestSnapshots(t *testing.T) {
	s, d := &shelf{}, &diary{}
	ask := serve(t, s, d)
	const made = `{"status":"success","data":{"name":"a!","path":"/srv/a!","created":"2027-01-15T08:00:00Z","files":3,"bytes":4711}}`
	f := func(token, call, form string, status int, want string) {
		t.Helper()
		method, target, _ := strings.Cut(call, " ")
		if got, body := ask(token, method, target, form); got != status || !strings.Contains(body, want) {
			t.Errorf("%s as %q: got %d %s, want %d with %s", call, token, got, body, status, want)
		}
	}
	f("admin", "POST "+api.PathSnapshot+"?name=a", "", 200, made)
	f("admin", "PUT "+api.PathSnapshot+"?name=a", "", 200, made)
	f("admin", "POST "+api.PathSnapshot, "name=a&skip_head=false", 200, made)
	f("admin", "POST "+api.PathSnapshot, "", 200, `"name":"!"`)
	f("admin", "POST "+api.PathSnapshotImport+"?name=a", "", 200, `"volumes":2`)
	if diff := cmp.Diff([]string{"snapshot a", "snapshot a", "snapshot a", "snapshot ", "import a"}, s.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"snapshot.make a!", "snapshot.make a!", "snapshot.make a!", "snapshot.make !", "snapshot.import a"}, d.told); diff != "" {
		t.Errorf("audit log (-want +got):\n%s", diff)
	}
	s.asked, d.told = nil, nil
	f("admin", "POST "+api.PathSnapshot+"?skip_head=true", "", 400, "skip_head")
	f("admin", "POST "+api.PathSnapshot+"?skip_head=perhaps", "", 400, "skip_head")
	f("admin", "POST "+api.PathSnapshotImport, "", 400, "name")
	for _, path := range []string{api.PathSnapshot, api.PathSnapshotImport} {
		f("read", "POST "+path+"?name=a", "", 403, "forbidden")
		f("", "POST "+path+"?name=a", "", 401, "unauthorized")
	}
	if len(s.asked)+len(d.told) > 0 {
		t.Errorf("done was %q, told %q", s.asked, d.told)
	}
	s.err = reply.Because(reply.ErrConflict, "snapshot \"a\" is there already")
	f("admin", "POST "+api.PathSnapshot+"?name=a", "", 409, "is there already")
	f("admin", "POST "+api.PathSnapshotImport+"?name=a", "", 409, "is there already")
	if len(d.told) > 0 {
		t.Errorf("told is %q", d.told)
	}
	s.err, d.err = nil, errors.New("disk full")
	f("admin", "POST "+api.PathSnapshot+"?name=a", "", 503, "snapshot.make was done all the same")
}
