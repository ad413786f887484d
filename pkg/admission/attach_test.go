package admission

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// news is all that a connection was told so far.
func news(a *Attachment) string {
	var all []string
	for {
		select {
		case n := <-a.Changes():
			all = append(all, n.Kind.String())
		default:
			return strings.Join(all, ", ")
		}
	}
}

func (o *office) attach(id model.WorkerID, boot, body string) *Attachment {
	o.t.Helper()
	a, err := o.Attach(Process{Worker: id, Boot: bootOf(boot), Body: bodyOf(body), Bundle: "digest " + boot, Lease: lease})
	if err != nil {
		o.t.Fatal(err)
	}
	return a
}

func TestASessionFromBeginningToEnd(t *testing.T) {
	o := newOffice(t, testConfig())
	m := machineOf(1)
	o.member(m)
	if got := o.Admitted(m.id); !got.IsZero() {
		t.Errorf("before the first: %v", got)
	}
	a := o.attach(m.id, "X", "a")
	if got := news(a); got != "admitted" {
		t.Fatalf("told %q", got)
	}
	if o.Admitted(m.id) != bootOf("X") || o.boot(m.id) != bootOf("X") {
		t.Errorf("has the session: %v, told %v", o.Admitted(m.id), o.boot(m.id))
	}
	got, _ := o.Member(m.id)
	if got.Boot != bootOf("X") || got.Body != bodyOf("a") || !got.Attached || got.Bundle != "digest X" {
		t.Errorf("member: %+v", got)
	}
	keep := func(boot, body string, want bool) {
		t.Helper()
		admitted, err := o.KeepAlive(Process{Worker: m.id, Boot: bootOf(boot), Body: bodyOf(body), Bundle: "digest 2", Lease: lease})
		if admitted != want || err != nil {
			t.Errorf("keep-alive of %s on %s: %v, %v, want %v", boot, body, admitted, err, want)
		}
	}
	keep("X", "a", true)
	keep("Y", "a", false)
	keep("X", "b", false)
	b := o.attach(m.id, "Y", "a")
	if got := news(b); got != "wait" {
		t.Errorf("the next one is told %q", got)
	}
	if s := o.Stats(); s.Attachments != 2 || s.Sessions != 1 || s.Waiting != 1 || s.News[NewsWait] != 1 {
		t.Errorf("figures: %+v", s)
	}
	o.Leave(m.id, bootOf("X"))
	if news(b) != "admitted" || o.boot(m.id) != bootOf("Y") {
		t.Error("not admitted after the goodbye")
	}
	keep("X", "a", false)
	a.Detach()
	a.Detach()
	b.Detach()
	if s := o.Stats(); s.Attachments != 0 || s.Sessions != 0 || s.Waiting != 0 {
		t.Errorf("figures at the end: %+v", s)
	}
	if got, _ := o.Member(m.id); got.Attached || got.Boot != bootOf("Y") || got.Bundle != "digest Y" {
		t.Errorf("member at the end: %+v", got)
	}
	if _, err := o.Attach(Process{Worker: m.id}); err == nil {
		t.Error("a process without a boot")
	}
}

func TestSessionsSurviveARestart(t *testing.T) {
	o := newOffice(t, testConfig())
	m := machineOf(1)
	o.member(m)
	o.attach(m.id, "X", "a").Detach()
	o.attach(m.id, "Y", "a")
	o.reopen()
	if got, _ := o.Member(m.id); got.Boot != bootOf("Y") || got.Body != bodyOf("a") || got.Attached {
		t.Errorf("after the restart: %+v", got)
	}
	if admitted, err := o.KeepAlive(Process{Worker: m.id, Boot: bootOf("Y"), Body: bodyOf("a")}); !admitted || err != nil {
		t.Errorf("keep-alive: %v, %v", admitted, err)
	}
	if got := news(o.attach(m.id, "Y", "a")); got != "admitted" {
		t.Errorf("attached again: %s", got)
	}
	if got := news(o.attach(m.id, "X", "a")); got != "rekey" {
		t.Errorf("the superseded one: %s", got)
	}
}

// Run lets in those who have waited for long enough, and writes what nobody
// waits for.
func TestRunLetsIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t, testConfig())
		o.Close()
		o.deps.Now = time.Now
		o.open()
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- o.Run(ctx) }()
		ids := make([]model.WorkerID, 3)
		waiting := make([]*Attachment, len(ids))
		for i := range ids {
			m := machineOf(i)
			ids[i] = m.id
			o.mu.Lock()
			o.now = time.Now()
			o.mu.Unlock()
			o.adoptForTest(m)
			o.attach(m.id, "X", "a")
			time.Sleep(time.Second)
			waiting[i] = o.attach(m.id, "Y", "a")
		}
		time.Sleep(lease - time.Second*time.Duration(len(ids)) - time.Millisecond)
		for i := range ids {
			if got := news(waiting[i]); got != "wait" {
				t.Errorf("%d: told %q too early", i, got)
			}
		}
		for i := range ids {
			time.Sleep(2 * time.Millisecond)
			synctest.Wait()
			if got := news(waiting[i]); got != "admitted" {
				t.Errorf("%d: told %q after a lease", i, got)
			}
			time.Sleep(time.Second - 2*time.Millisecond)
		}
		synctest.Wait()
		if s := o.Stats(); s.Unsaved != 0 || s.Waiting != 0 || s.Sessions != 3 {
			t.Errorf("figures: %+v", s)
		}
		if err := o.Run(ctx); err == nil {
			t.Error("two of Run at once")
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		o.crash()
		if got := o.Admitted(ids[0]); got != bootOf("Y") {
			t.Errorf("after a crash: %v", got)
		}
		if err := o.Close(); err != nil {
			t.Error(err)
		}
		if err := o.Run(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("Run after Close: %v", err)
		}
	})
}

// adoptForTest makes a member without a request.
func (o *office) adoptForTest(m machine) {
	o.Desk.mu.Lock()
	defer o.Desk.unlock()
	o.addLocked(Member{ID: m.id, Key: m.public(), Hostname: m.name}, grant{by: "operator test", way: "operator"}, o.Desk.now())
}

func TestCloseEndsRun(t *testing.T) {
	o := newOffice(t, testConfig())
	done := make(chan error, 1)
	go func() { done <- o.Run(t.Context()) }()
	o.member(machineOf(1))
	if err := o.Close(); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil && !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if err := o.Close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
}

func TestConnectionsOfAWorkerAreBounded(t *testing.T) {
	o := newOffice(t, testConfig())
	m := machineOf(1)
	o.member(m)
	var first *Attachment
	for i := range maxSeats {
		a := o.attach(m.id, "X", "a")
		if i == 0 {
			first = a
		}
	}
	if _, err := o.Attach(Process{Worker: m.id, Boot: bootOf("X")}); !errors.Is(err, ErrManyConnections) {
		t.Errorf("one more: %v", err)
	}
	first.Detach()
	o.attach(m.id, "X", "a")
}

// Many at once: what OnSession told last is what is.
func TestOnSessionIsToldInOrder(t *testing.T) {
	o := newOffice(t, testConfig())
	m := machineOf(1)
	o.member(m)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range 50 {
				boot := model.BootID{byte(i + 1), byte(n + 1)}
				a, err := o.Attach(Process{Worker: m.id, Boot: boot, Body: bodyOf("a"), Lease: lease})
				if err == nil {
					if _, err := o.KeepAlive(Process{Worker: m.id, Boot: boot, Body: bodyOf("a"), Lease: lease}); err != nil {
						t.Error(err)
					}
					a.Detach()
				}
			}
		})
	}
	all.Wait()
	if got, want := o.boot(m.id), o.Admitted(m.id); got != want || got.IsZero() {
		t.Errorf("told %v, has %v", got, want)
	}
	if s := o.Stats(); s.Attachments != 0 || s.Sessions != 0 || s.Waiting != 0 {
		t.Errorf("figures: %+v", s)
	}
}

// Enrolments at once share transactions, and each is on disk when it is answered.
func TestManyEnrolAtOnce(t *testing.T) {
	o := newOffice(t, testConfig())
	const machines = 64
	join := o.token(TokenSpec{Uses: machines - 4})
	var all sync.WaitGroup
	var mu sync.Mutex
	got := map[string]int{}
	for n := range machines {
		all.Go(func() {
			a := o.enrol(machineOf(n), join)
			mu.Lock()
			defer mu.Unlock()
			got[fmt.Sprint(a.Outcome, " ", a.Reason)]++
		})
	}
	all.Wait()
	if got["admitted "] != machines-4 || got["refused token_used_up"] != 4 {
		t.Errorf("answers: %v", got)
	}
	o.crash()
	if n := len(o.Members()); n != machines-4 {
		t.Errorf("%d members after a crash", n)
	}
	if r := o.Tokens()[0]; r.UsesLeft != 0 || len(r.Uses) != machines-4 {
		t.Errorf("token: %d left, %d spent", r.UsesLeft, len(r.Uses))
	}
}
