package fleettest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/stream"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/enrol"
	"github.com/cloudless-fleet/cloudless/pkg/trust/token"
)

// runUntilTheEnd runs a stream until the test ends.
func runUntilTheEnd(t *testing.T, client *stream.Client) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- client.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestAWorkerSpeaksForNobodyElse: A, whose machine is in the hands of somebody
// else, says everything that a worker can say in the name of B, who has fallen
// silent. B's lease runs out as if nobody had spoken; A hears nothing of B's plan,
// and writes no series of B.
func TestAWorkerSpeaksForNobodyElse(t *testing.T) {
	t.Parallel()
	f := newInProcess(t, "a", "b")
	f.startServers()
	for name, m := range f.machines {
		m.hold(f.token(api.TokenRequest{Labels: map[string]string{"of": name}}))
		m.start()
	}
	for _, m := range f.machines {
		f.eventually(m.name+" is in", m.working)
		f.stop(m.name)
	}
	a, b := f.machines["a"].puppet(), f.machines["b"].puppet()
	const lease = 2 * time.Second
	if d := b.session(b.boot, b.body); d.Plan == nil || d.Plan.Instance != "b" || d.Plan.Labels["of"] != "b" {
		t.Fatalf("B's own session: %+v", d)
	}
	if _, err := b.control.Register(t.Context(), b.text(b.ack(lease))); err != nil {
		t.Fatal(err)
	}
	var before api.Worker
	f.eventually("B has registered itself", func() error {
		if before = row(t, f, b.id); before.KeepAlive != lease.Milliseconds() {
			return fmt.Errorf("its lease is %d ms", before.KeepAlive)
		}
		return nil
	})

	// In sessions of its own A says that it is on B's machine, and that it is B's
	// process.
	if d := a.session(b.boot, b.body); d.Plan != nil || d.Wait == "" {
		t.Errorf("A on B's machine: %+v, want it to wait", d)
	}
	if d := a.session(b.boot, a.body); d.Plan == nil || d.Plan.Instance != "a" || d.Plan.Labels["of"] != "a" {
		t.Errorf("A in B's words: %+v, plan %+v; want A's own plan", d, d.Plan)
	}
	if _, err := a.control.Register(t.Context(), a.text(a.ack(time.Minute))); err != nil {
		t.Fatal(err)
	}
	planted := a.stream(b.boot, "planted")
	f.eventually("A's stream with B's boot is taken for A's", func() error {
		if planted.Stats().AckedSeq < 3 {
			return fmt.Errorf("%+v", planted.Stats().LastError)
		}
		_, err := f.value(`planted{instance="a"}`)
		return err
	})
	if got, err := f.client.Query(t.Context(), `planted{instance!="a"}`, time.Time{}); err != nil || len(got.Vector) != 0 {
		t.Errorf("A has written for another: %v, %v", got.Vector, err)
	}

	f.eventually("B's lease runs out", func() error {
		a.speaksFor(b)
		if now := row(t, f, b.id); now.State != model.Expired {
			return fmt.Errorf("B is %v with %d ms left", now.State, now.LeaseRemaining)
		}
		return nil
	})
	if after := row(t, f, b.id); after.LastContact != before.LastContact || after.KeepAlive != before.KeepAlive || after.Connected {
		t.Errorf("B: %+v, before it was spoken for %+v", after, before)
	}
	if after := row(t, f, a.id); after.State != model.Registered {
		t.Errorf("A itself: %+v", after)
	}
	if err := f.notMember(a, b); err != nil {
		t.Error(err)
	}
	a.readsNothing()
}

func row(t *testing.T, f *inProcess, id model.WorkerID) api.Worker {
	t.Helper()
	row, err := f.client.Worker(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return row
}

// speaksFor says in another's name what a worker can say.
func (a *puppet) speaksFor(b *puppet) {
	t := a.f.t
	t.Helper()
	if _, err := a.control.Register(t.Context(), b.text(b.ack(time.Hour))); statusOf(err) != http.StatusForbidden {
		t.Errorf("A registers B: %v, want %d", err, http.StatusForbidden)
	}
	a.send(b.ack(time.Hour))
	for _, alive := range []api.KeepAlive{a.alive(), b.alive(), {Boot: b.boot, Body: a.body, Bundle: b.alive().Bundle, Now: now()}} {
		if _, err := a.control.KeepAlive(t.Context(), alive); err != nil {
			t.Errorf("A's keep-alive: %v", err)
		}
	}
	answer, err := a.control.Renew(t.Context())
	if err != nil || answer.Outcome != api.Admitted {
		t.Errorf("A renews its certificate: %+v, %v", answer, err)
	}
	if err := a.home.Install([]byte(answer.Bundle), []byte(answer.Certificate)); err != nil {
		t.Errorf("A's renewal is not for A: %v", err)
	}
}

// notMember lets A ask to be let in as B, and say goodbye for it.
func (f *inProcess) notMember(a, b *puppet) error {
	join, err := token.Parse(f.token(api.TokenRequest{}))
	if err != nil {
		return err
	}
	anonymous := f.channel(trust.Pinned{Fleet: join.Fleet, Authority: join.Authority, Now: time.Now}.Client())
	wish := &enrol.Request{Worker: b.id, Hostname: "b", Body: b.body}
	if err := wish.Sign(a.home.Key(), &join, rand.Reader, time.Now()); err != nil {
		return err
	}
	if answer, err := anonymous.Enrol(f.t.Context(), wish); err != nil || answer.Reason != "identity_in_use" || answer.Certificate != "" {
		f.t.Errorf("A enrols as B: %+v, %v", answer, err)
	}
	renewal := &enrol.Renewal{Worker: b.id, Authority: join.Authority, Hostname: "b", Body: b.body}
	if err := renewal.Sign(a.home.Key(), rand.Reader, time.Now()); err != nil {
		return err
	}
	if answer, err := anonymous.Renewal(f.t.Context(), renewal); err != nil || answer.Reason != "wrong_key" || answer.Certificate != "" {
		f.t.Errorf("A proves B's key by its own: %+v, %v", answer, err)
	}
	if err := a.control.Leave(f.t.Context(), api.Leave{Boot: b.boot}); err != nil {
		return err
	}
	if got := row(f.t, f, b.id); got.State != model.Expired {
		return fmt.Errorf("after A said goodbye B is %v", got.State)
	}
	return nil
}

// readsNothing asks for everything that is not for workers.
func (a *puppet) readsNothing() {
	t := a.f.t
	t.Helper()
	refused := func(server trust.Role, port int, paths []string) {
		t.Helper()
		client := a.f.keep(&http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: a.own.Client(server, "h2")})
		for _, path := range paths {
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				status, err := ask(t, client, method, "https://"+loopback(port)+path, "{}", api.HeaderActor, "root from unix socket")
				if err != nil || status != http.StatusForbidden {
					t.Errorf("A: %s %s: %d, %v; want %d", method, path, status, err, http.StatusForbidden)
				}
			}
		}
	}
	var others []string
	for _, path := range controlPaths() {
		switch path {
		case api.PathEnrol, api.PathRenewal, api.PathRenew, api.PathRegister, api.PathKeepAlive, api.PathSession, api.PathLeave:
		default:
			others = append(others, path)
		}
	}
	refused(trust.RoleCoordinator, a.f.control, others)
	refused(trust.RoleCollector, a.f.data, peoplePaths())
}
