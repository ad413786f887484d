package admin

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/local"
	"github.com/cloudless-fleet/cloudless/pkg/trust/trusttest"
)

// asked serves one connection and returns what the gate says of a request with
// the header.
func asked(t *testing.T, g Gate, listener net.Listener, client *http.Client, base string, actor ...string) (Actor, bool) {
	t.Helper()
	var by Actor
	var ok bool
	server := &http.Server{ConnContext: local.ConnContext, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { by, ok = g.Authorize(r) })}
	stopped := make(chan struct{})
	go func() { defer close(stopped); _ = server.Serve(listener) }()
	defer func() { _ = server.Close(); <-stopped }()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range actor {
		request.Header.Add(api.HeaderActor, one)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	client.CloseIdleConnections()
	return by, ok
}

func TestWhoAdministratesByCertificate(t *testing.T) {
	fleet := trusttest.New(t, "lab")
	own := fleet.Member(trust.RoleCoordinator, "monitor")
	revoked := false
	g := Gate{Refuse: func(*x509.Certificate, trust.Identity) error {
		if revoked {
			return trust.ErrRevoked
		}
		return nil
	}}
	by := func(role trust.Role, name string, actor ...string) (Actor, bool) {
		t.Helper()
		listener, err := tls.Listen("tcp", "127.0.0.1:0", own.Server([]string{"http/1.1"}, trust.ClientOptional))
		if err != nil {
			t.Fatal(err)
		}
		config := trust.Pinned{Fleet: "lab", Authority: fleet.CA().Fingerprint(), Now: time.Now}.Client("http/1.1")
		if role != "" {
			config = fleet.Member(role, name).Client(trust.RoleCoordinator, "http/1.1")
		}
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
		return asked(t, g, listener, client, "https://"+listener.Addr().String(), actor...)
	}
	f := func(role trust.Role, name, header string, want Actor, may bool) {
		t.Helper()
		var actor []string
		if header != "" {
			actor = strings.Split(header, "|")
		}
		if got, ok := by(role, name, actor...); got != want || ok != may {
			t.Errorf("%s %s with %q: got %+v, %v, want %+v, %v", role, name, header, got, ok, want, may)
		}
	}
	const worker = "01000000-0000-4000-8000-000000000000"
	here := "127.0.0.1"
	f(trust.RoleOperator, "bob", "", Actor{Who: "operator bob", From: here}, true)
	f(trust.RoleOperator, "bob", "root from here", Actor{Who: "operator bob", From: here}, true)
	f(trust.RoleCollector, "monitor", "", Actor{Who: "collectord monitor", From: here, Collector: true}, true)
	f(trust.RoleCollector, "monitor", "user alice from 192.0.2.7", Actor{Who: "user alice", From: "192.0.2.7 by collectord monitor"}, true)
	f(trust.RoleCollector, "monitor", "token 01 of x from y from 192.0.2.7", Actor{Who: "token 01 of x from y", From: "192.0.2.7 by collectord monitor"}, true)
	for _, bad := range []string{"alice", " from x", "alice from ", "a|b", "é from x", strings.Repeat("a", maxActor) + " from x"} {
		f(trust.RoleCollector, "monitor", bad, Actor{Who: "collectord monitor", From: here}, false)
	}
	f(trust.RoleCoordinator, "monitor", "", Actor{Who: "coordinatord monitor", From: here}, false)
	f(trust.RoleWorker, worker, "", Actor{Who: "worker " + worker, From: here}, false)
	f(trust.RoleWorker, worker, "user alice from 192.0.2.7", Actor{Who: "worker " + worker, From: here}, false)
	f("", "", "", Actor{}, false)
	f("", "", "user alice from 192.0.2.7", Actor{}, false)
	revoked = true
	f(trust.RoleOperator, "bob", "", Actor{Who: "operator bob", From: here}, false)
}

func TestWhoAdministratesByTheSocket(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "s")
	listener, err := local.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	// Whoever runs the test is the daemon's own user.
	want := Actor{Who: me.Username, From: local.From, Local: true}
	if got, ok := asked(t, Gate{}, listener, local.Client(path), local.BaseURL); got != want || !ok {
		t.Errorf("got %+v, %v, want %+v", got, ok, want)
	}
	for _, c := range []struct {
		g     Gate
		from  local.Caller
		actor string
		want  Actor
		may   bool
	}{
		{Gate{}, local.Caller{UID: 77701, GID: 77701, Name: "eve"}, "", Actor{Who: "eve"}, false},
		{Gate{}, local.Caller{UID: 77701, GID: 77701, Name: "eve"}, "root from x", Actor{Who: "eve"}, false},
		{Gate{Rule: local.Rule{Users: []string{"77701"}}}, local.Caller{UID: 77701, Name: "eve"}, "", Actor{Who: "eve"}, true},
		{Gate{Rule: local.Rule{AdminGroup: "77702"}}, local.Caller{UID: 77701, Groups: []uint32{77702}, Name: "eve"}, "", Actor{Who: "eve"}, true},
		{Gate{CollectorUser: "77703"}, local.Caller{UID: 77703, Name: "col"}, "", Actor{Who: "col", Collector: true}, true},
		{Gate{CollectorUser: "77703"}, local.Caller{UID: 77703, Name: "col"}, "user alice from x", Actor{Who: "user alice", From: "x by col"}, true},
		// The one user of a trial runs everything: he stays an administrator.
		{Gate{CollectorUser: "0"}, local.Caller{UID: 0, Name: "root"}, "", Actor{Who: "root"}, true},
	} {
		r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://local", nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.actor != "" {
			r.Header.Set(api.HeaderActor, c.actor)
		}
		if c.want.From == "" {
			c.want.From, c.want.Local = local.From, true
		}
		if got, ok := c.g.socket(c.from, r); got != c.want || ok != c.may {
			t.Errorf("%+v with %q: got %+v, %v, want %+v, %v", c.from, c.actor, got, ok, c.want, c.may)
		}
	}
}

func FuzzActor(f *testing.F) {
	f.Add("user alice from 192.0.2.7")
	f.Add(" from ")
	f.Fuzz(func(t *testing.T, text string) {
		who, from, err := parseActor([]string{text})
		if err != nil {
			return
		}
		if (Actor{Who: who, From: from}).spell() != text {
			t.Errorf("%q became %q and %q", text, who, from)
		}
	})
}
