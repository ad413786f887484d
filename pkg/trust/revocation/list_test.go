package revocation

import (
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

func noon() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

func worker(n byte) Subject { return Worker(model.WorkerIDFrom([16]byte{n})) }

func list(t testing.TB) *List {
	t.Helper()
	l, err := Open(filepath.Join(t.TempDir(), "revoked.json"))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func add(t testing.TB, l *List, subjects ...Subject) []Entry {
	t.Helper()
	added, err := l.Add("stolen", noon(), time.Time{}, subjects...)
	if err != nil {
		t.Fatal(err)
	}
	return added
}

func compare() cmp.Option { return cmp.AllowUnexported(Subject{}) }

func TestAddIsInForceOnDiskAndAnnounced(t *testing.T) {
	l := list(t)
	_, revision, changed := l.Since(0)
	if added := add(t, l, worker(1), worker(2), worker(1)); len(added) != 2 {
		t.Errorf("added %v, want two", added)
	}
	select {
	case <-changed:
	default:
		t.Errorf("nobody was told")
	}
	fresh, revision, changed := l.Since(revision)
	if len(fresh) != 2 || revision != 1 {
		t.Errorf("since the beginning: %v at %d", fresh, revision)
	}
	if added := add(t, l, worker(2), worker(3)); len(added) != 1 || added[0].Subject != worker(3) {
		t.Errorf("added %v, want the third only", added)
	}
	<-changed
	if fresh, _, _ := l.Since(revision); len(fresh) != 1 || fresh[0].Subject != worker(3) {
		t.Errorf("newly revoked: %v, want the third only", fresh)
	}
	if added := add(t, l, worker(3)); added != nil {
		t.Errorf("again: added %v", added)
	}
	again, err := Open(l.path)
	if err != nil {
		t.Fatal(err)
	}
	want, revision, _ := l.Since(0)
	got, after, _ := again.Since(0)
	if diff := cmp.Diff(want, got, compare()); diff != "" || revision != after {
		t.Errorf("after a restart at %d, was %d (-want +got):\n%s", after, revision, diff)
	}
	if info, _ := os.Stat(l.path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
}

func TestRemoveAndPrune(t *testing.T) {
	l := list(t)
	add(t, l, worker(1))
	if _, err := l.Add("replaced", noon(), noon().Add(time.Hour), Serial(big.NewInt(77))); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		do   func() (bool, error)
		want bool
		left int
	}{
		{func() (bool, error) { return l.Prune(noon().Add(time.Hour)) }, false, 2},
		{func() (bool, error) { return l.Prune(noon().Add(time.Hour + 1)) }, true, 1},
		{func() (bool, error) { return l.Remove(worker(2)) }, false, 1},
		{func() (bool, error) { return l.EndAt(noon().Add(2*time.Hour), worker(2)) }, false, 1},
		{func() (bool, error) { return l.EndAt(noon().Add(2*time.Hour), worker(1), worker(2)) }, true, 1},
		{func() (bool, error) { return l.Prune(noon().Add(2 * time.Hour)) }, false, 1},
		{func() (bool, error) { return l.Remove(worker(1)) }, true, 0},
	} {
		if got, err := step.do(); err != nil || got != step.want || l.Len() != step.left {
			t.Errorf("got %v, %v with %d left; want %v with %d", got, err, l.Len(), step.want, step.left)
		}
	}
}

func TestCopiesFollowTheOwner(t *testing.T) {
	owner, copied := list(t), list(t)
	add(t, owner, worker(1))
	old, err := owner.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	add(t, owner, worker(2))
	fresh, err := owner.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	_, _, changed := copied.Since(0)
	for _, step := range []struct {
		snapshot []byte
		want     error
		left     int
	}{{old, nil, 1}, {fresh, nil, 2}, {fresh, nil, 2}, {old, ErrStale, 2}} {
		if err := copied.Adopt(step.snapshot); !errors.Is(err, step.want) || copied.Len() != step.left {
			t.Errorf("got %v with %d, want %v with %d", err, copied.Len(), step.want, step.left)
		}
	}
	<-changed
	if since, _, _ := copied.Since(1); len(since) != 1 || since[0].Subject != worker(2) {
		t.Errorf("newly revoked: %v", since)
	}
}

func TestFullListRefusesRatherThanForgets(t *testing.T) {
	l := list(t)
	many := make([]Subject, MaxEntries)
	for i := range many {
		many[i] = Serial(big.NewInt(int64(i + 1)))
	}
	add(t, l, many...)
	if _, err := l.Add("x", noon(), time.Time{}, worker(1)); !errors.Is(err, ErrFull) || l.Len() != MaxEntries {
		t.Errorf("got %v with %d", err, l.Len())
	}
	if _, out := l.Find(worker(1)); out {
		t.Errorf("in force although it was refused")
	}
	if _, err := Open(l.path); err != nil {
		t.Errorf("a full list does not open: %v", err)
	}
}

func TestDamagedFilesAreRefused(t *testing.T) {
	l := list(t)
	add(t, l, worker(1), worker(2))
	whole, err := os.ReadFile(l.path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(whole)
	cases := map[string]string{
		"empty":     "",
		"version":   strings.Replace(text, `"version":1`, `"version":2`, 1),
		"more":      text + text,
		"subject":   strings.Replace(text, "worker/", "wrker/", 1),
		"twice":     strings.Replace(text, worker(1).String(), worker(2).String(), 1),
		"revision":  strings.Replace(text, `"revision":1`, `"revision":0`, 1),
		"from afar": strings.Replace(text, `"reason"`, `"x":1,"reason"`, 1),
	}
	for i := range whole {
		cases["cut off at "+string(rune('0'+i%10))+text[i:]] = text[:i]
	}
	for name, damaged := range cases {
		if err := os.WriteFile(l.path, []byte(damaged), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(l.path); err == nil {
			t.Errorf("%.30s: opened", name)
		}
	}
}

func TestSubjectText(t *testing.T) {
	for _, subject := range []Subject{worker(1), Identity(trust.RoleOperator, "alice"), Serial(big.NewInt(255)), Key(trust.Fingerprint{1})} {
		if got, err := ParseSubject(subject.String()); err != nil || got != subject {
			t.Errorf("%s: %v, %v", subject, got, err)
		}
	}
	if id, ok := worker(1).WorkerID(); !ok || id != model.WorkerIDFrom([16]byte{1}) {
		t.Errorf("worker of a worker: %v, %v", id, ok)
	}
	for _, text := range []string{"", "worker", "worker/", "worker/x", "root/a", "serial/", "serial/0", "serial/-1", "serial/FF", "serial/0ff",
		"serial/" + strings.Repeat("1", 41), "key/00", "key/" + strings.Repeat("0", 64), "operator/a/b", "operator/A"} {
		if got, err := ParseSubject(text); err == nil {
			t.Errorf("%q: got %v", text, got)
		}
	}
	if _, err := list(t).Add("x", noon(), time.Time{}, Subject{}); err == nil {
		t.Errorf("nothing was revoked")
	}
}

func TestReasonsAreOneShortLine(t *testing.T) {
	l := list(t)
	if _, err := l.Add("a\nb\xff\x00"+strings.Repeat("é", 1<<20), noon(), time.Time{}, worker(1)); err != nil {
		t.Fatal(err)
	}
	entry, _ := l.Find(worker(1))
	if !strings.HasPrefix(entry.Reason, "a?b??éé") || len(entry.Reason) > MaxReason {
		t.Errorf("got %q", entry.Reason)
	}
	if _, err := Open(l.path); err != nil {
		t.Error(err)
	}
}

func TestManyWritersAndReaders(t *testing.T) {
	l := list(t)
	var all sync.WaitGroup
	for n := range byte(8) {
		all.Go(func() {
			if _, err := l.Add("x", noon(), time.Time{}, worker(n)); err != nil {
				t.Error(err)
			}
			l.Find(worker(n))
			l.Since(0)
		})
	}
	all.Wait()
	if _, revision, _ := l.Since(0); l.Len() != 8 || revision != 8 {
		t.Errorf("%d entries at revision %d, want 8", l.Len(), revision)
	}
}

func FuzzParse(f *testing.F) {
	l := list(f)
	add(f, l, worker(1), Key(trust.Fingerprint{1}), Serial(big.NewInt(9)))
	data, err := l.Snapshot()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"version":1,"revision":0,"entries":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parse(data)
		if err != nil {
			return
		}
		again, err := s.marshal()
		if err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		same, err := parse(again)
		if err != nil || same.revision != s.revision || !cmp.Equal(same.sorted(), s.sorted(), compare()) {
			t.Errorf("%q: read again: %v", data, err)
		}
	})
}
