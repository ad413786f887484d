package coordinator

import (
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/enrol"
	"github.com/cloudless-fleet/cloudless/pkg/trust/revocation"
)

func TestARevokedWorkerIsCutAtOnceAndStaysOut(t *testing.T) {
	h := start(t)
	m, other := h.machine(1), h.machine(2)
	h.join(m)
	h.join(other)
	stream, healthy := h.session(m), h.session(other)
	next(t, stream)
	next(t, healthy)
	if _, err := h.registers(m, h.worker(m)); err != nil {
		t.Fatal(err)
	}
	open := h.worker(m) // a connection from before
	if _, err := open.KeepAlive(t.Context(), m.alive(h.digest())); err != nil {
		t.Fatal(err)
	}
	ended := make(chan []string, 1)
	go func() {
		var words []string
		for {
			d, err := stream.Next()
			if err != nil {
				ended <- words
				return
			}
			words = append(words, d.End)
		}
	}()
	began := time.Now()
	answer, err := h.admin().Revoke(t.Context(), api.Revocation{Worker: "web", Reason: "stolen"})
	if err != nil || len(answer.Revoked) != 1 || answer.Revoked[0] != m.id {
		t.Fatalf("got %+v, %v", answer, err)
	}
	select {
	case words := <-ended:
		if len(words) == 0 || !strings.Contains(words[len(words)-1], "revoked") {
			t.Errorf("last words %q, want that it was revoked", words)
		}
	case <-time.After(2 * time.Second):
		t.Fatalf("its session is still open")
	}
	soon(t, "its connections are closed", 2*time.Second-time.Since(began), func() bool {
		h.connections.mu.Lock()
		defer h.connections.mu.Unlock()
		for identity := range h.connections.byMember {
			if identity.Name == m.id.String() {
				return false
			}
		}
		return true
	})
	for name, err := range map[string]error{
		"on its old connection": keepAlive(t, open, m.alive(h.digest())),
		"on a new one":          keepAlive(t, h.worker(m), m.alive(h.digest())),
	} {
		if err == nil {
			t.Errorf("%s: still kept alive", name)
		}
	}
	if w, _ := h.registry.Worker(m.id); w.State != model.Left {
		t.Errorf("state %v, want that its series end", w.State)
	}
	renewal := &enrol.Renewal{Worker: m.id, Authority: h.home.Fingerprint(), Hostname: "web", Body: m.Body}
	if err := renewal.Sign(m.key, rand.Reader, time.Now()); err != nil {
		t.Fatal(err)
	}
	renewed, err := h.channel(h.anonymous()).Renewal(t.Context(), renewal)
	if err != nil || renewed.Outcome != api.Refused || renewed.Reason != "revoked" {
		t.Errorf("renewal: %+v, %v", renewed, err)
	}
	join, _ := h.token(api.TokenRequest{Uses: 5})
	for name, again := range map[string]*machine{"with its id": m, "with another id": {id: id(9), hostname: "web", Body: m.Body, key: m.key}} {
		again.member = nil
		if e := h.enrol(again, &join); e.Reason != "revoked" {
			t.Errorf("enrols %s: %+v", name, e)
		}
	}
	ack := wish(m.id, "web")
	if reply := h.registerAck(ack, source().Addr(), true); reply.Info.Status || reply.Info.Message != "worker is revoked" {
		t.Errorf("RegisterAck: %+v", reply)
	}
	if result, err := h.worker(other).KeepAlive(t.Context(), other.alive(h.digest())); err != nil || !result.Session {
		t.Errorf("the other worker: %+v, %v", result, err)
	}
	snapshot, err := h.as(h.member(trust.RoleCollector, "hq")).Revocations(t.Context(), 0, 0)
	if err != nil || !strings.Contains(string(snapshot), "worker/"+m.id.String()) {
		t.Errorf("the collector's copy: %s, %v", snapshot, err)
	}
	if e := h.audited("revoke"); len(e) != 1 || !e[0].OK || e[0].On != m.id.String() || e[0].More["reason"] != "stolen" {
		t.Errorf("audit log: %+v", e)
	}
	comesBack(t, h, m)
}

func keepAlive(t *testing.T, client *api.MemberClient, k api.KeepAlive) error {
	_, err := client.KeepAlive(t.Context(), k)
	return err
}

func comesBack(t *testing.T, h *hall, m *machine) {
	t.Helper()
	if err := h.admin().Readmit(t.Context(), api.WorkerRef{Worker: m.id.String()}); err != nil {
		t.Fatal(err)
	}
	if err := h.admin().Readmit(t.Context(), api.WorkerRef{Worker: m.id.String()}); status(err) != http.StatusConflict {
		t.Errorf("readmitted twice: %v", err)
	}
	if e := h.enrol(m, nil); e.Outcome != api.Admitted {
		t.Errorf("readmitted: %+v", e)
	}
	if err := h.admin().Forget(t.Context(), api.WorkerRef{Worker: m.id.String()}); err != nil {
		t.Errorf("forget one that has left: %v", err)
	}
	if err := keepAlive(t, h.worker(m), m.alive("")); status(err) != http.StatusForbidden {
		t.Errorf("a forgotten worker with a good certificate: %v", err)
	}
	if e, err := h.worker(m).Renew(t.Context()); err == nil && e.Outcome == api.Admitted {
		t.Errorf("it renews its certificate: %+v", e)
	}
}

// A worker that is revoked and forgotten is out for as long as its certificate
// would have been good, and then the list forgets it, too.
func TestTheRevocationListForgetsWhoIsForgotten(t *testing.T) {
	h := start(t)
	m := h.machine(1)
	h.join(m)
	worker := api.WorkerRef{Worker: m.id.String()}
	if _, err := h.admin().Revoke(t.Context(), api.Revocation{Worker: worker.Worker}); err != nil {
		t.Fatal(err)
	}
	if err := h.admin().Forget(t.Context(), worker); err != nil {
		t.Fatal(err)
	}
	entries, _, _ := h.revoked.Since(0)
	if len(entries) != 2 {
		t.Fatalf("on the list: %v; want the worker and its key", entries)
	}
	for _, e := range entries {
		if left := time.Until(e.Until); left < 6*24*time.Hour || left > 7*24*time.Hour {
			t.Errorf("%v is on the list for another %v, want as long as the certificate", e.Subject, left)
		}
	}
	if err := keepAlive(t, h.worker(m), m.alive("")); err == nil {
		t.Error("its certificate still opens the door")
	}
}

func TestWhoIsAtWorkIsNotForgotten(t *testing.T) {
	h := start(t)
	m := h.machine(1)
	h.join(m)
	next(t, h.session(m))
	if _, err := h.registers(m, h.worker(m)); err != nil {
		t.Fatal(err)
	}
	if err := h.admin().Forget(t.Context(), api.WorkerRef{Worker: "WEB"}); status(err) != http.StatusConflict {
		t.Errorf("got %v, want a conflict", err)
	}
	if err := h.admin().Forget(t.Context(), api.WorkerRef{Worker: "nobody"}); status(err) != http.StatusNotFound {
		t.Errorf("got %v, want not found", err)
	}
	if _, err := h.admin().Revoke(t.Context(), api.Revocation{Worker: id(77).String()}); status(err) != http.StatusNotFound {
		t.Errorf("got %v, want not found", err)
	}
}

func TestClonesAreToldAndRevokedOnDemand(t *testing.T) {
	h := start(t)
	m := h.machine(1)
	h.join(m)
	clone := h.machine(2)
	clone.member = m.member
	if e := h.enrol(clone, nil); e.Outcome != api.Admitted {
		t.Fatalf("got %+v", e)
	}
	answer, err := h.admin().Revoke(t.Context(), api.Revocation{Worker: m.id.String()})
	if err != nil || len(answer.Clones) != 1 || answer.Clones[0] != clone.id {
		t.Errorf("got %+v, %v; want that there is a clone", answer, err)
	}
	answer, err = h.admin().Revoke(t.Context(), api.Revocation{Worker: m.id.String(), Clones: true})
	if err != nil || len(answer.Clones) != 0 || !h.isRevoked(clone.id, trust.Fingerprint{}) {
		t.Errorf("got %+v, %v; want the clone out, too", answer, err)
	}
}

// A revocation that is on disk and not in the registry was cut off by a crash.
func TestARevocationOutlivesACrash(t *testing.T) {
	cfg := loopback(t)
	h := startWith(t, cfg)
	m := h.machine(1)
	h.join(m)
	if _, err := h.registers(m, h.worker(m)); err != nil {
		t.Fatal(err)
	}
	if _, err := h.revoked.Add("stolen", time.Now(), time.Time{}, revocation.Worker(m.id)); err != nil {
		t.Fatal(err)
	}
	h.stop()
	again := startWith(t, cfg)
	if w, _ := again.registry.Worker(m.id); w.State != model.Left {
		t.Errorf("after a restart: %v", w.State)
	}
	if err := keepAlive(t, again.worker(m), m.alive("")); err == nil {
		t.Errorf("it is let in after a restart")
	}
}

func TestARevokedCollectorIsCutFromItsPoll(t *testing.T) {
	h := start(t)
	hq := h.member(trust.RoleCollector, "hq")
	client := h.as(hq)
	first, err := client.Workers(t.Context(), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	go func() {
		_, err := client.Workers(t.Context(), first.Version, 20*time.Second)
		failed <- err
	}()
	soon(t, "the poll is there", 5*time.Second, func() bool { return h.http.Stats().InFlight > 0 })
	if _, err := h.revoked.Add("stolen", time.Now(), time.Time{}, revocation.Identity(trust.RoleCollector, "hq")); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-failed:
		if err == nil || errors.Is(err, io.EOF) && status(err) == http.StatusOK {
			t.Errorf("got %v", err)
		}
	case <-time.After(2 * time.Second):
		t.Errorf("its poll is still open")
	}
	if _, err := h.as(hq).Stats(t.Context()); err == nil {
		t.Errorf("it is let in again")
	}
}
