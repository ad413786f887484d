package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// clock is set by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func openAt(t testing.TB, path string, cfg Config, now func() time.Time) *Log {
	t.Helper()
	l, err := Open(path, cfg, now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func small() Config { return Config{MaxBytes: 64 * model.KiB, Keep: 3, Daemon: "coordinatord"} }

func read(t testing.TB, l *Log, since time.Time, limit int) []Entry {
	t.Helper()
	entries, err := l.Read(since, limit)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

func details(entries []Entry) []string {
	var all []string
	for _, e := range entries {
		all = append(all, e.Detail)
	}
	return all
}

func TestEntriesComeBackAsTheyWere(t *testing.T) {
	c, path := newClock(), filepath.Join(t.TempDir(), "audit.jsonl")
	l := openAt(t, path, small(), c.Now)
	want := []Entry{
		{At: c.Now(), Daemon: "coordinatord", Who: "user alice", What: TokenCreate, On: "0102", From: "192.0.2.7", OK: true, More: map[string]string{"uses": "3"}},
		{At: c.Now().Add(time.Second), Daemon: "collectord", Who: `Żółć <b>"&'\`, What: Login, From: "unix socket", Detail: "ö"},
	}
	if err := l.Append(Entry{Who: "user alice", What: TokenCreate, On: "0102", From: "192.0.2.7", OK: true, More: map[string]string{"uses": "3"}}); err != nil {
		t.Fatal(err)
	}
	if err := l.Append(want[1]); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if diff := cmp.Diff(want, read(t, l, time.Time{}, 0)); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
		l.Close()
		l = openAt(t, path, small(), c.Now)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
	if l.Repaired() != 0 {
		t.Errorf("a whole file was repaired: %d", l.Repaired())
	}
}

func TestFileThatOthersCanReadIsClosedToThem(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	openAt(t, path, small(), time.Now)
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
}

func TestNobodyForgesALine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l := openAt(t, path, small(), newClock().Now)
	evil := "a\n{\"at\":\"2026-09-01T12:00:00Z\",\"what\":\"approve\"}\r\u2028\u202e\x00\x1b[2J\xff" + strings.Repeat("\"", 100_000)
	more := map[string]string{evil: evil}
	for i := range 100 {
		more[fmt.Sprint(i)] = evil
	}
	if err := l.Append(Entry{Daemon: evil, Who: evil, What: evil, On: evil, From: evil, Detail: evil, More: more}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Count(data, []byte{'\n'}) != 1 || len(data) > maxLine || bytes.ContainsAny(data, "\r\x00\x1b\xff\u2028\u202e") {
		t.Errorf("got %d lines of %d bytes: %.200q", bytes.Count(data, []byte{'\n'}), len(data), data)
	}
	if got := read(t, l, time.Time{}, 0); len(got) != 1 || len(got[0].More) != maxMore {
		t.Errorf("got %d entries", len(got))
	}
}

func TestTornLineIsEndedAndReported(t *testing.T) {
	for name, c := range map[string]struct {
		file string
		torn int64
		want []string
	}{
		"half a line":             {"{\"at\":\"2026-09-01T12:00:00Z\",\"what\":\"x\",\"detail\":\"one\"}\n{\"at\":\"2026-", 12, []string{"one", "the last line was cut off after 12 bytes"}},
		"only half a line":        {"{\"at\"", 5, []string{"the last line was cut off after 5 bytes"}},
		"zeros after a power cut": {strings.Repeat("\x00", 10_000), 10_000, []string{"the last line was cut off after 10000 bytes"}},
		"whole but for its end":   {"{\"at\":\"2026-09-01T12:00:00Z\",\"what\":\"x\",\"detail\":\"one\"}", 55, []string{"one", "the last line was cut off after 55 bytes"}},
		"whole":                   {"{\"at\":\"2026-09-01T12:00:00Z\",\"what\":\"x\",\"detail\":\"one\"}\n", 0, []string{"one"}},
		"empty":                   {"", 0, nil},
		"lines that are none":     {"\n\nhello\n{}\n[]\n", 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "audit.jsonl")
			if err := os.WriteFile(path, []byte(c.file), 0o600); err != nil {
				t.Fatal(err)
			}
			l := openAt(t, path, small(), newClock().Now)
			if l.Repaired() != c.torn {
				t.Errorf("repaired %d bytes, want %d", l.Repaired(), c.torn)
			}
			got := details(read(t, l, time.Time{}, 0))
			for i := range got {
				got[i], _, _ = strings.Cut(got[i], ", by")
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			if data, _ := os.ReadFile(path); !strings.HasPrefix(string(data), c.file) {
				t.Errorf("the file was changed: %q", data)
			}
		})
	}
}

func TestFullFilesArePutAside(t *testing.T) {
	c, path := newClock(), filepath.Join(t.TempDir(), "audit.jsonl")
	l := openAt(t, path, small(), c.Now)
	for _, stale := range []string{".4", ".5"} { // from when more were kept
		if err := os.WriteFile(path+stale, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const entries = 500
	for i := range entries {
		c.pass(time.Second)
		if err := l.Append(Entry{What: Login, Detail: fmt.Sprintf("%04d%s", i, strings.Repeat("x", 900))}); err != nil {
			t.Fatal(err)
		}
	}
	found, err := filepath.Glob(path + "*")
	if err != nil || len(found) != 4 {
		t.Errorf("files %v, %v; want the log and 3 aside", found, err)
	}
	for _, name := range found {
		if info, err := os.Stat(name); err != nil || info.Size() > int64(small().MaxBytes) || info.Mode() != 0o600 {
			t.Errorf("%s: %d bytes, %v", name, info.Size(), info.Mode())
		}
	}
	all := read(t, l, time.Time{}, 0)
	if len(all) < 180 || len(all) > 260 {
		t.Errorf("%d entries are left", len(all))
	}
	for i, e := range all {
		if want := fmt.Sprintf("%04d", entries-len(all)+i); e.Detail[:4] != want {
			t.Fatalf("entry %d: got %s, want %s", i, e.Detail[:4], want)
		}
	}
	if got := read(t, l, time.Time{}, 100); len(got) != 100 || got[99].Detail[:4] != "0499" || got[0].Detail[:4] != "0400" {
		t.Errorf("newest 100: got %d", len(got))
	}
	since := c.Now().Add(-149 * time.Second)
	if got := read(t, l, since, 0); len(got) != 150 || !got[0].At.Equal(since) {
		t.Errorf("the last 150 seconds: got %d", len(got))
	}
	if got := read(t, l, c.Now().Add(time.Second), 0); len(got) != 0 {
		t.Errorf("from the future: got %d", len(got))
	}
}

func TestRotationInterruptedAnywhereLosesNothing(t *testing.T) {
	for gap := 1; gap <= 3; gap++ {
		path := filepath.Join(t.TempDir(), "audit.jsonl")
		write := func(name, detail string) {
			line, err := appendLine(nil, Entry{At: newClock().Now(), What: Login, Detail: detail})
			if err == nil {
				err = os.WriteFile(name, line, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		want := []string{}
		for n := 3; n >= 1; n-- {
			if n != gap {
				name := fmt.Sprintf("%s.%d", path, n)
				write(name, name)
				want = append(want, name)
			}
		}
		write(path, "now")
		l := openAt(t, path, small(), newClock().Now)
		if err := l.files.rotate(); err != nil {
			t.Fatal(err)
		}
		if err := l.Append(Entry{What: Login, Detail: "new"}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(append(want, "now", "new"), details(read(t, l, time.Time{}, 0))); diff != "" {
			t.Errorf("gap at %d: -want +got\n%s", gap, diff)
		}
	}
}

func TestLogThatWasMovedAwayIsBegunAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l := openAt(t, path, small(), newClock().Now)
	for i, move := range []func() error{
		func() error { return nil },
		func() error { return os.Rename(path, path+".old") },
		func() error { return os.Remove(path) },
	} {
		if err := move(); err != nil {
			t.Fatal(err)
		}
		if err := l.Append(Entry{What: Login, Detail: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
		if got := details(read(t, l, time.Time{}, 0)); len(got) != 1 || got[0] != fmt.Sprint(i) {
			t.Errorf("got %v, want %d", got, i)
		}
	}
}

func TestManyAtOnceShareWritesAndLoseNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l := openAt(t, path, small(), newClock().Now)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 20 {
				e := Entry{What: Login, Detail: fmt.Sprintf("%d/%d", i, j)}
				if err := l.Append(e); err != nil {
					t.Error(err)
					return
				}
				// What was acknowledged is there for everybody, at once.
				got := read(t, l, time.Time{}, 0)
				found := false
				for _, one := range got {
					found = found || one.Detail == e.Detail
				}
				if !found {
					t.Errorf("%s is missing", e.Detail)
				}
			}
		})
	}
	all.Wait()
	if got := len(read(t, l, time.Time{}, 0)); got != 160 {
		t.Errorf("%d entries, want 160", got)
	}
}

func TestCloseWaitsForThoseWhoAppend(t *testing.T) {
	for range 20 {
		path := filepath.Join(t.TempDir(), "audit.jsonl")
		l := openAt(t, path, small(), newClock().Now)
		var all sync.WaitGroup
		written := make(chan string, 8)
		for i := range 8 {
			all.Go(func() {
				e := Entry{What: Login, Detail: fmt.Sprint(i)}
				switch err := l.Append(e); {
				case err == nil:
					written <- e.Detail
				case !errors.Is(err, ErrClosed):
					t.Error(err)
				}
			})
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		all.Wait()
		close(written)
		n := 0
		for range written {
			n++
		}
		if got := len(read(t, openAt(t, path, small(), newClock().Now), time.Time{}, 0)); got != n {
			t.Errorf("%d were acknowledged, %d are there", n, got)
		}
		if err := errors.Join(l.Close(), l.Append(Entry{})); !errors.Is(err, ErrClosed) {
			t.Errorf("append after close: %v", err)
		}
	}
}

func TestWhatCannotBeWrittenIsAnError(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.jsonl")
	l := openAt(t, path, small(), newClock().Now)
	if err := l.Append(Entry{At: time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC), What: Login}); err == nil {
		t.Errorf("a time that JSON has no text for was written")
	}
	l.files.file.Close()
	if err := l.Append(Entry{What: Login}); err == nil {
		t.Errorf("written to a closed file")
	}
	if _, err := Open(dir, small(), time.Now); err == nil {
		t.Errorf("a folder was opened")
	}
	if _, err := Open(filepath.Join(dir, "no", "audit.jsonl"), small(), time.Now); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: got %v", err)
	}
	if _, err := Open(path, Config{}, time.Now); err == nil || !strings.Contains(err.Error(), "keep") || !strings.Contains(err.Error(), "max_bytes") {
		t.Errorf("no configuration: got %v", err)
	}
}

func TestLineAfterAFailedWriteBeginsAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l := openAt(t, path, small(), newClock().Now)
	if _, err := l.files.file.WriteString(`{"at":"2026-`); err != nil { // as a full disk leaves it
		t.Fatal(err)
	}
	l.files.torn = true
	if err := l.Append(Entry{What: Login, Detail: "next"}); err != nil {
		t.Fatal(err)
	}
	if got := details(read(t, l, time.Time{}, 0)); len(got) != 1 || got[0] != "next" {
		t.Errorf("got %v", got)
	}
}

func TestReadEndsWhereEntriesAreTooOld(t *testing.T) {
	c, path := newClock(), filepath.Join(t.TempDir(), "audit.jsonl")
	l := openAt(t, path, DefaultConfig(), c.Now)
	write := func(n int, at time.Time) {
		var lines []byte
		for range n {
			var err error
			if lines, err = appendLine(lines, Entry{At: at, What: Login}); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.files.append(lines); err != nil {
			t.Fatal(err)
		}
	}
	write(5, c.Now())
	write(patience-1, c.Now().Add(-time.Hour)) // a clock that was set back
	if got := len(read(t, l, c.Now(), 0)); got != 5 {
		t.Errorf("behind a clock that was wrong for a while: got %d, want 5", got)
	}
	write(1, c.Now().Add(-time.Hour))
	if got := len(read(t, l, c.Now(), 0)); got != 0 {
		t.Errorf("got %d, want 0: the search goes on for ever", got)
	}
	write(MaxRead+7, c.Now())
	if got := len(read(t, l, time.Time{}, 1<<40)); got != MaxRead {
		t.Errorf("got %d, want at most %d", got, MaxRead)
	}
}

func TestWordsAreOne(t *testing.T) {
	seen := map[string]bool{}
	for _, word := range Words() {
		if seen[word] || word != model.Line(word, maxWord) || strings.ToLower(word) != word {
			t.Errorf("word %q", word)
		}
		seen[word] = true
	}
}

func BenchmarkAppend(b *testing.B) {
	l := openAt(b, filepath.Join(b.TempDir(), "audit.jsonl"), DefaultConfig(), time.Now)
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := l.Append(Entry{Who: "user alice", What: Login, OK: true}); err != nil {
				b.Error(err)
			}
		}
	})
}
