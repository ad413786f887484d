package demo

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/trust/local"
)

// stage has fake daemons, which write into a diary what they are told, and a
// temporary folder in which nothing may be left.
type stage struct {
	t               *testing.T
	bin, diary, tmp string
	connect         func(coordinator, collector string) (*api.AdminClient, *api.Client, error)
}

// willing does what it is told to until it is told to stop. workerd finds its
// token where its settings say.
const willing = `[ $name = workerd ] && sed -n 's/^token_file = "\(.*\)"/\1/p' "$3" | xargs cat >>"$diary"
trap 'echo stopped $name >>"$diary"; exit 0' TERM
echo started $name $1 $2 ${3##*/} >>"$diary"
while :; do sleep 0.02; done
`

func newStage(t *testing.T) *stage {
	t.Helper()
	dir := t.TempDir()
	s := &stage{t: t, bin: filepath.Join(dir, "bin"), diary: filepath.Join(dir, "diary"), tmp: filepath.Join(dir, "tmp")}
	for _, folder := range []string{s.bin, s.tmp} {
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("TMPDIR", s.tmp)
	for _, name := range []string{"coordinatord", "collectord", "workerd"} {
		s.daemon(name, willing)
	}
	admin, client := serve(t, s.answer)
	s.connect = func(string, string) (*api.AdminClient, *api.Client, error) { return admin, client, nil }
	return s
}

const (
	joinToken = "cloudless_join1_SECRET"
	apiToken  = api.APITokenPrefix + "SECRET"
)

// answer is what both daemons say.
func (s *stage) answer(w http.ResponseWriter, r *http.Request) {
	body := map[string]string{
		"GET " + adminPath(api.PathAdminFleet):   `{"fleet":"demo","web":"PEM"}`,
		"GET " + adminPath(api.PathAdminTokens):  `{"tokens":[{"id":"0011","used":1}]}`,
		"POST " + adminPath(api.PathAdminTokens): `{"token":"` + joinToken + `","id":"0011"}`,
		"POST " + api.PathAPITokens:              `{"token":"` + apiToken + `","id":"k1"}`,
		"GET " + api.PathFleetWorkers:            `{"workers":[]}`,
	}[r.Method+" "+r.URL.Path]
	_, _ = w.Write([]byte(body))
}

func (s *stage) daemon(name, script string) {
	s.t.Helper()
	text := "#!/bin/sh\nname=" + name + "\ndiary='" + s.diary + "'\n" + script
	if err := os.WriteFile(filepath.Join(s.bin, name), []byte(text), 0o755); err != nil {
		s.t.Fatal(err)
	}
}

// run runs the demo until all that wait for is in its output or the diary.
func (s *stage) run(waitFor ...string) (out string, err error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	text := &syncBuffer{}
	done := make(chan error, 1)
	go func() { done <- Run(ctx, Options{Bin: s.bin, Interval: time.Second, Out: text, Connect: s.connect}) }()
	for {
		select {
		case err := <-done:
			s.nothingLeft()
			return text.String(), err
		case <-time.After(10 * time.Millisecond):
		}
		missing := false
		for _, part := range waitFor {
			missing = missing || !strings.Contains(text.String()+strings.Join(s.entries(), "\n"), part)
		}
		if len(waitFor) > 0 && !missing {
			cancel()
		}
	}
}

func (s *stage) entries() []string {
	data, err := os.ReadFile(s.diary)
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimSpace(string(data)), "\n")
}

func (s *stage) nothingLeft() {
	s.t.Helper()
	if left, err := os.ReadDir(s.tmp); err != nil || len(left) > 0 {
		s.t.Errorf("left in the temporary folder: %v, %v", left, err)
	}
}

// syncBuffer is a bytes.Buffer that may be read while it is written.
type syncBuffer struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func TestDaemonsStartAndStopInOrder(t *testing.T) {
	s := newStage(t)
	out, err := s.run("waiting for the worker", "started coordinatord", "started collectord", "started workerd")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(out, "\nstopping workerd\nstopping collectord\nstopping coordinatord\n") {
		t.Errorf("output ends with %q", out[max(0, len(out)-200):])
	}
	var started, stopped []string
	for _, entry := range s.entries() {
		switch what, isStart := strings.CutPrefix(entry, "started "); {
		case isStart:
			started = append(started, what)
		case strings.HasPrefix(entry, "stopped "):
			stopped = append(stopped, entry)
		case entry != joinToken:
			t.Errorf("the diary says %q", entry)
		}
	}
	if diff := cmp.Diff([]string{"stopped workerd", "stopped collectord", "stopped coordinatord"}, stopped); diff != "" {
		t.Errorf("ends (-want +got):\n%s", diff)
	}
	if !slices.Contains(s.entries(), joinToken) {
		t.Error("workerd did not find its join token")
	}
	for _, secret := range []string{joinToken, apiToken} {
		if strings.Contains(out, secret) {
			t.Errorf("the output holds %s", secret)
		}
	}
	for _, want := range []string{"coordinatord run --config coordinatord.toml", "collectord run --config collectord.toml", "workerd run --config workerd.toml"} {
		if !strings.Contains(strings.Join(started, "\n"), want) {
			t.Errorf("nothing was started as %q: %q", want, started)
		}
	}
}

func TestADaemonThatEndsByItself(t *testing.T) {
	s := newStage(t)
	s.daemon("collectord", `
until grep -q "started coordinatord" "$diary" && grep -q "started workerd" "$diary"; do sleep 0.02; done
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13; do echo line $i; done
echo no such disk >&2
exit 3
`)
	_, err := s.run()
	want := "collectord ended by itself (exit status 3); the last it said:\nline 3\n"
	if err == nil || !strings.HasPrefix(err.Error(), want) || !strings.HasSuffix(err.Error(), "line 13\nno such disk") {
		t.Errorf("got %v, want %s...", err, want)
	}
	if last := s.entries(); len(last) == 0 || last[len(last)-1] != "stopped coordinatord" {
		t.Errorf("the others did not stop: %q", last)
	}
}

// A daemon that refuses is not asked again, and whoever watches is told.
func TestADaemonThatRefuses(t *testing.T) {
	s := newStage(t)
	asked := 0
	admin, client := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		asked++
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(`{"status":"error","errorType":"forbidden","error":"not this user"}`))
	})
	s.connect = func(string, string) (*api.AdminClient, *api.Client, error) { return admin, client, nil }
	_, err := s.run()
	if err == nil || !strings.HasPrefix(err.Error(), "coordinatord refuses: forbidden: not this user\n") || asked != 1 {
		t.Errorf("got %v after %d requests", err, asked)
	}
}

// One that is not ready is asked until it is.
func TestADaemonThatIsNotReady(t *testing.T) {
	s := newStage(t)
	missing := 3
	admin, client := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if missing--; missing >= 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		s.answer(w, r)
	})
	s.connect = func(string, string) (*api.AdminClient, *api.Client, error) { return admin, client, nil }
	if _, err := s.run("waiting for the worker"); err != nil {
		t.Error(err)
	}
}

func TestADaemonThatFailsToStop(t *testing.T) {
	s := newStage(t)
	s.daemon("workerd", "trap 'exit 1' TERM\necho started $name >>\"$diary\"\nwhile :; do sleep 0.02; done\n")
	_, err := s.run("waiting for the worker", "started coordinatord", "started collectord", "started workerd")
	if err == nil || err.Error() != "stop workerd: exit status 1" {
		t.Errorf("got %v, want stop workerd: exit status 1", err)
	}
}

// Whoever is stopped before it can say how dies of the signal; that is no
// failure.
func TestADaemonThatIsStoppedAtOnce(t *testing.T) {
	s := newStage(t)
	s.daemon("workerd", "echo started $name >>\"$diary\"\nexec sleep 60\n")
	if _, err := s.run("waiting for the worker", "started coordinatord", "started collectord", "started workerd"); err != nil {
		t.Errorf("got %v, want no error", err)
	}
}

func TestInterruptedBeforeTheStart(t *testing.T) {
	s := newStage(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out bytes.Buffer
	if err := Run(ctx, Options{Bin: s.bin, Interval: time.Second, Out: &out, Connect: s.connect}); err != nil {
		t.Errorf("got %v, want no error", err)
	}
	if started := s.entries(); len(started) != 0 || out.Len() != 0 {
		t.Errorf("started %q and printed %q, want nothing", started, out.String())
	}
}

// The folder goes when the last one that holds the pipe has ended, and not
// before.
func TestCleaner(t *testing.T) {
	dir := t.TempDir() + "/demo's folder"
	if err := os.MkdirAll(filepath.Join(dir, "store"), 0o700); err != nil {
		t.Fatal(err)
	}
	other := t.TempDir() + "/sockets"
	if err := os.Mkdir(other, 0o700); err != nil {
		t.Fatal(err)
	}
	c, err := startCleaner(dir, other)
	if err != nil {
		t.Fatal(err)
	}
	daemon := exec.Command("/bin/sh", "-c", "read -r _; rmdir \"$0/store\"", dir) // fails if the folder is gone
	daemon.ExtraFiles = []*os.File{c.alive}
	stop, err := daemon.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	c.alive.Close() // as if this process was killed
	stop.Close()
	if err := daemon.Wait(); err != nil {
		t.Errorf("the folder did not wait for the daemon: %v", err)
	}
	c.stop()
	for _, folder := range []string{dir, other} {
		if _, err := os.Stat(folder); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", folder, err)
		}
	}
}

func TestDaemonsThatAreNotThere(t *testing.T) {
	s := newStage(t)
	path := filepath.Join(s.bin, "collectord")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	_, err := s.run()
	want := "start collectord: fork/exec " + path + ": no such file or directory\n`make build` puts the daemons into bin/; --bin names another folder"
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

// The real daemons take the settings, find each other and deliver.
func TestRealFleet(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the daemons")
	}
	s := newStage(t)
	s.bin = filepath.Join(s.bin, "real")
	// The flags are those of `make build`, so that nothing is compiled twice.
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", s.bin+"/", "github.com/cloudless-fleet/cloudless/cmd/...")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the programs: %v\n%s", err, out)
	}
	s.connect = func(coordinator, collector string) (*api.AdminClient, *api.Client, error) {
		admin, err := api.NewAdminClient(local.BaseURL, api.PrefixAdminCoordinator, local.Client(coordinator))
		if err != nil {
			return nil, nil, err
		}
		client, err := api.NewClient(local.BaseURL, local.Client(collector))
		return admin, client, err
	}
	out, err := s.run("used: workerd is a member", "registered   127.0.0.1", " s ago ", "iB\n")
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
