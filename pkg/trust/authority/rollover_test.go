package authority

import (
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/home"
	"github.com/cloudless-fleet/cloudless/pkg/trust/revocation"
	"github.com/cloudless-fleet/cloudless/pkg/trust/token"
)

// meet lets two ends of a real connection shake hands and exchange a byte.
func meet(t *testing.T, client, server *tls.Config) error {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	served := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			served <- err
			return
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		peer := tls.Server(conn, server)
		if err = peer.Handshake(); err == nil {
			_, err = peer.Write([]byte{1})
		}
		served <- err
	}()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	_, err = io.ReadFull(tls.Client(conn, client), make([]byte, 1))
	conn.Close()
	return errors.Join(err, <-served)
}

// host is a worker's side.
func host(t *testing.T, a *Authority) *home.Home {
	t.Helper()
	h, err := home.Open(t.TempDir(), home.Facts{MachineID: "x"}, rand.Reader, noon())
	if err != nil {
		t.Fatal(err)
	}
	renew(t, a, h)
	return h
}

func renew(t *testing.T, a *Authority, h *home.Home) {
	t.Helper()
	request := trust.Request{Role: trust.RoleWorker, Name: h.Worker().String(), TTL: 7 * 24 * time.Hour}
	issued, err := a.Sign(request, h.PublicKey(), rand.Reader, noon())
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Install(a.Bundle().PEM(), issued.Cert); err != nil {
		t.Fatal(err)
	}
}

func member(t *testing.T, files trust.Files) *trust.Credentials {
	t.Helper()
	c, err := trust.Load(files, noon)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// serve writes a server's credentials as its daemon does when it renews.
func serve(t *testing.T, a *Authority, dir string, role trust.Role) *trust.Credentials {
	t.Helper()
	if _, err := trust.UpdateBundle(trust.FilesIn(dir, role).CA, a.Bundle().PEM()); err != nil {
		t.Fatal(err)
	}
	issued, err := a.Issue(trust.Request{Role: role, Name: "main"}, rand.Reader, noon())
	if err != nil {
		t.Fatal(err)
	}
	files, err := trust.WriteCredentials(dir, issued)
	if err != nil {
		t.Fatal(err)
	}
	return member(t, files)
}

func TestRollOverWithoutLosingContact(t *testing.T) {
	const overlap = 7 * 24 * time.Hour
	dir := t.TempDir()
	a := opened(t, dir, "lab")
	serverDir := t.TempDir()
	first := a.Fingerprint()
	eager, lazy := host(t, a), host(t, a) // one renews at once, one at the last moment
	server := serve(t, a, serverDir, trust.RoleCollector)
	check := func(step string, h *home.Home, want bool) {
		t.Helper()
		err := meet(t, member(t, h.Files()).Client(trust.RoleCollector), server.Server(nil, trust.ClientRequired))
		if (err == nil) != want {
			t.Errorf("%s: %v, want contact %v", step, err, want)
		}
	}
	check("at first", eager, true)
	if err := a.Switch(overlap, noon()); !errors.Is(err, ErrPhase) {
		t.Errorf("switched to nothing: %v", err)
	}
	if err := a.Prepare(rand.Reader, noon()); err != nil {
		t.Fatal(err)
	}
	if err := a.Prepare(rand.Reader, noon()); !errors.Is(err, ErrPhase) {
		t.Errorf("prepared twice: %v", err)
	}
	if a.Fingerprint() != first || len(a.Bundle().Authorities) != 2 {
		t.Errorf("prepared: issues by %s, bundle of %d", a.Fingerprint(), len(a.Bundle().Authorities))
	}
	renew(t, a, eager)
	check("prepared, renewed", eager, true)
	check("prepared, not renewed", lazy, true)
	renew(t, a, lazy) // the last moment: everybody knows both, the servers too
	server = serve(t, a, serverDir, trust.RoleCollector)

	if err := a.Switch(overlap, noon()); err != nil {
		t.Fatal(err)
	}
	a = opened(t, dir, "lab") // a restart in the middle
	if a.Fingerprint() == first || len(a.Bundle().Authorities) != 2 {
		t.Errorf("switched: issues by %s, bundle of %d", a.Fingerprint(), len(a.Bundle().Authorities))
	}
	renew(t, a, eager)
	check("switched, renewed, server not", eager, true)
	server = serve(t, a, serverDir, trust.RoleCollector)
	check("switched, both renewed", eager, true)
	check("switched, server renewed, worker not", lazy, true)

	if err := a.Drop(noon().Add(overlap - 1)); !errors.Is(err, ErrPhase) {
		t.Errorf("dropped too early: %v", err)
	}
	if err := a.Drop(noon().Add(overlap)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, authorityFile(first))); err == nil {
		t.Errorf("the dropped authority's key is still there")
	}
	server = serve(t, a, serverDir, trust.RoleCollector)
	renew(t, a, eager)
	check("dropped, renewed", eager, true)
	check("dropped, not renewed", lazy, false)
	if again := opened(t, dir, ""); len(again.Bundle().Authorities) != 1 || again.Fingerprint() != a.Fingerprint() {
		t.Errorf("after a restart: %v", again.Generations())
	}
}

func TestAbandonedRollOver(t *testing.T) {
	a := opened(t, t.TempDir(), "lab")
	first := a.Fingerprint()
	if err := a.Abandon(noon()); !errors.Is(err, ErrPhase) {
		t.Errorf("abandoned nothing: %v", err)
	}
	if err := errors.Join(a.Prepare(rand.Reader, noon()), a.Abandon(noon()), a.Prepare(rand.Reader, noon())); err != nil {
		t.Fatal(err)
	}
	if a.Fingerprint() != first || len(a.Generations()) != 2 {
		t.Errorf("issues by %s, %v", a.Fingerprint(), a.Generations())
	}
}

func TestAnotherProcessIsNotOverwritten(t *testing.T) {
	dir := t.TempDir()
	a, b := opened(t, dir, "lab"), opened(t, dir, "lab")
	if err := a.Prepare(rand.Reader, noon()); err != nil {
		t.Fatal(err)
	}
	if err := b.Prepare(rand.Reader, noon()); !errors.Is(err, ErrChanged) {
		t.Errorf("got %v, want ErrChanged", err)
	}
}

// The whole way in: token, verified coordinator, and out again: revocation.
func TestTokenLeadsToTheRightFleetOnly(t *testing.T) {
	a, rogue := opened(t, t.TempDir(), "lab"), opened(t, t.TempDir(), "lab")
	text, err := token.New(a.Fleet(), a.Fingerprint(), nil, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	join, err := token.Parse(text.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	pin := trust.Pinned{Fleet: join.Fleet, Authority: join.Authority, Now: noon}
	ours := serve(t, a, t.TempDir(), trust.RoleCoordinator)
	theirs := serve(t, rogue, t.TempDir(), trust.RoleCoordinator)
	if err := meet(t, pin.Client(), ours.Server(nil, trust.ClientOptional)); err != nil {
		t.Errorf("our coordinator: %v", err)
	}
	if err := meet(t, pin.Client(), theirs.Server(nil, trust.ClientOptional)); !errors.Is(err, trust.ErrPin) {
		t.Errorf("rogue coordinator: %v, want ErrPin", err)
	}
}

func TestRevokedIdentitiesFailTheHandshake(t *testing.T) {
	a := opened(t, t.TempDir(), "lab")
	list, err := revocation.Open(filepath.Join(t.TempDir(), "revoked.json"))
	if err != nil {
		t.Fatal(err)
	}
	server := serve(t, a, t.TempDir(), trust.RoleCollector)
	server.Refuse(list.Check)
	config := server.Server(nil, trust.ClientRequired)
	for name, subject := range map[string]func(*home.Home) revocation.Subject{
		"by id":  func(h *home.Home) revocation.Subject { return revocation.Worker(h.Worker()) },
		"by key": func(h *home.Home) revocation.Subject { return revocation.Key(h.Fingerprint()) },
		"by serial": func(h *home.Home) revocation.Subject {
			return revocation.Serial(member(t, h.Files()).Leaf().SerialNumber)
		},
	} {
		h, bystander := host(t, a), host(t, a)
		_, revision, changed := list.Since(0)
		if err := meet(t, member(t, h.Files()).Client(trust.RoleCollector), config); err != nil {
			t.Fatalf("%s: before: %v", name, err)
		}
		if _, err := list.Add("stolen", noon(), time.Time{}, subject(h)); err != nil {
			t.Fatal(err)
		}
		<-changed
		fresh, _, _ := list.Since(revision)
		if id, ok := fresh[0].Subject.WorkerID(); len(fresh) != 1 || ok && id != model.WorkerID(h.Worker()) {
			t.Errorf("%s: announced %v", name, fresh)
		}
		if err := meet(t, member(t, h.Files()).Client(trust.RoleCollector), config); !errors.Is(err, trust.ErrRevoked) {
			t.Errorf("%s: got %v, want ErrRevoked", name, err)
		}
		if err := meet(t, member(t, bystander.Files()).Client(trust.RoleCollector), config); err != nil {
			t.Errorf("%s: another worker: %v", name, err)
		}
		if _, err := list.Remove(subject(h)); err != nil {
			t.Fatal(err)
		}
		if err := meet(t, member(t, h.Files()).Client(trust.RoleCollector), config); err != nil {
			t.Errorf("%s: taken back: %v", name, err)
		}
	}
}
