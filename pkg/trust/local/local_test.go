package local

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// socketIn returns a path that is short enough wherever the tests run.
func socketIn(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "local")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "api.sock")
}

func listenAt(t *testing.T, path string) net.Listener {
	t.Helper()
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// serve answers every request with its caller.
func serve(t *testing.T, l net.Listener) {
	t.Helper()
	server := &http.Server{ConnContext: ConnContext, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, ok := CallerOf(r.Context())
		if !ok {
			http.Error(w, "nobody", http.StatusForbidden)
			return
		}
		json.NewEncoder(w).Encode(caller)
	})}
	done := make(chan struct{})
	go func() { server.Serve(l); close(done) }()
	t.Cleanup(func() { server.Close(); <-done })
}

func ask(t *testing.T, path string) Caller {
	t.Helper()
	answer, err := Client(path).Get(BaseURL + "/x")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var caller Caller
	if err := json.NewDecoder(answer.Body).Decode(&caller); err != nil {
		t.Fatal(err)
	}
	return caller
}

func TestTheKernelSaysWhoCalls(t *testing.T) {
	path := socketIn(t)
	serve(t, listenAt(t, path))
	got := ask(t, path)
	groups, err := os.Getgroups()
	if err != nil {
		t.Fatal(err)
	}
	var want []uint32
	for _, gid := range groups {
		want = append(want, uint32(gid))
	}
	slices.Sort(got.Groups)
	slices.Sort(want)
	if got.UID != uint32(os.Geteuid()) || got.GID != uint32(os.Getegid()) || got.PID != int32(os.Getpid()) || got.Name == "" {
		t.Errorf("got %+v, want this process", got)
	}
	if !slices.Equal(got.Groups, want) {
		t.Errorf("groups %v, want %v", got.Groups, want)
	}
	if !(Rule{}).Admin(got) {
		t.Errorf("the process's own user is no administrator")
	}
}

// childSocket makes this test binary a caller that says what it was told.
const childSocket = "CLOUDLESS_TEST_SOCKET"

func TestMain(m *testing.M) {
	path := os.Getenv(childSocket)
	if path == "" {
		os.Exit(m.Run())
	}
	answer, err := Client(path).Get(BaseURL + "/x")
	if err != nil {
		panic(err)
	}
	io.Copy(os.Stdout, answer.Body)
}

func TestCallersOfOtherUsersAreToldApart(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("takes root to run a process as another user")
	}
	path := socketIn(t)
	if err := os.Chmod(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	serve(t, listenAt(t, path))
	program := filepath.Join(filepath.Dir(path), "caller")
	copyFile(t, os.Args[0], program)

	groups := []uint32{34567}
	for gid := uint32(40000); len(groups) < 100; gid++ { // more than are asked for at first
		groups = append(groups, gid)
	}
	child := exec.Command(program)
	child.Env = []string{childSocket + "=" + path}
	child.Dir = "/"
	child.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 54321, Gid: 23456, Groups: groups}}
	out, err := child.Output()
	if err != nil {
		t.Fatal(err)
	}
	var got Caller
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	slices.Sort(got.Groups)
	if got.UID != 54321 || got.GID != 23456 || got.Name != "uid 54321" || !slices.Equal(got.Groups, groups) {
		t.Errorf("got %+v", got)
	}
	for group, want := range map[string]bool{"34567": true, "40042": true, "23456": true, "54321": false, "": false, "no-such-group": false} {
		if admin := (Rule{AdminGroup: group}).Admin(got); admin != want {
			t.Errorf("group %q: admin %v, want %v", group, admin, want)
		}
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestRuleAdmits(t *testing.T) {
	self := uint32(os.Geteuid())
	for name, c := range map[string]struct {
		rule   Rule
		caller Caller
		want   bool
	}{
		"root":                        {Rule{}, Caller{UID: 0}, true},
		"own user":                    {Rule{}, Caller{UID: self}, true},
		"a stranger":                  {Rule{}, Caller{UID: 54321}, false},
		"a listed user":               {Rule{Users: []string{"54321"}}, Caller{UID: 54321}, true},
		"another than the listed":     {Rule{Users: []string{"54322", "no-such-user", ""}}, Caller{UID: 54321}, false},
		"primary group":               {Rule{AdminGroup: "777"}, Caller{UID: 54321, GID: 777}, true},
		"supplementary group":         {Rule{AdminGroup: "777"}, Caller{UID: 54321, GID: 1, Groups: []uint32{3, 777}}, true},
		"group root by name":          {Rule{AdminGroup: "root"}, Caller{UID: 54321, Groups: []uint32{0}}, true},
		"a group that does not exist": {Rule{AdminGroup: "no-such-group"}, Caller{UID: 54321, GID: 0, Groups: []uint32{0, 777}}, false},
		"no group is not group 0":     {Rule{AdminGroup: ""}, Caller{UID: 54321, GID: 0, Groups: []uint32{0}}, false},
		"users who have no number":    {Rule{AdminGroup: "65534", Users: []string{"65534", "nobody"}}, Caller{UID: unmapped, GID: unmapped}, false},
		"negative numbers":            {Rule{Users: []string{"-1", "4294967295"}}, Caller{UID: ^uint32(0)}, false},
	} {
		if got := c.rule.Admin(c.caller); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	if r := (Rule{}); !r.Is(Caller{UID: 0}, "root") || r.Is(Caller{UID: 0}, "1") || !r.Is(Caller{UID: 7}, "7") {
		t.Errorf("Is does not compare users")
	}
	if err := (Rule{AdminGroup: strings.Repeat("x", 300), Users: []string{""}}).Validate(); err == nil || !strings.Contains(err.Error(), "admin_group") || !strings.Contains(err.Error(), "admin_users") {
		t.Errorf("Validate: %v", err)
	}
}

func TestTCPAndForeignConnectionsHaveNoCaller(t *testing.T) {
	ours, theirs := net.Pipe()
	defer ours.Close()
	defer theirs.Close()
	if _, ok := CallerOf(ConnContext(t.Context(), ours)); ok {
		t.Errorf("a pipe has a caller")
	}
	var loop wrapped
	loop.inner = &loop
	if _, ok := CallerOf(ConnContext(t.Context(), &loop)); ok {
		t.Errorf("a connection that wraps itself has a caller")
	}
	if _, ok := CallerOf(context.Background()); ok {
		t.Errorf("nothing has a caller")
	}
}

type wrapped struct {
	net.Conn
	inner net.Conn
}

func (w *wrapped) NetConn() net.Conn { return w.inner }

func TestCallerIsFoundBelowAWrapper(t *testing.T) {
	path := socketIn(t)
	l := listenAt(t, path)
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	if _, ok := CallerOf(ConnContext(t.Context(), &wrapped{inner: &wrapped{inner: accepted}})); !ok {
		t.Errorf("not found")
	}
}

func TestOldKernelsAreHelpedByTheHostsFiles(t *testing.T) {
	if groups := groupsOf(0); !slices.Contains(groups, 0) {
		t.Errorf("groups of root: %v, want 0 among them", groups)
	}
	if groups := groupsOf(4242424); groups != nil {
		t.Errorf("groups of nobody: %v", groups)
	}
}

func TestSocketIsOpenToAllAndGoneAtClose(t *testing.T) {
	path := filepath.Join(filepath.Dir(socketIn(t)), "deep", "er", "api.sock")
	old := syscall.Umask(0o077)
	l := listenAt(t, path)
	syscall.Umask(old)
	for name, want := range map[string]fs.FileMode{path: 0o666 | fs.ModeSocket, filepath.Dir(path): 0o755 | fs.ModeDir} {
		info, err := os.Lstat(name)
		if err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v; want %v", name, info.Mode(), err, want)
		}
	}
	for range 2 {
		if err := l.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if _, err := Client(path).Get(BaseURL); !errors.Is(err, ErrNotThere) {
		t.Errorf("client: got %v, want ErrNotThere", err)
	}
}

func TestDeadSocketIsReplaced(t *testing.T) {
	path := socketIn(t)
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	if _, err := Client(path).Get(BaseURL); !errors.Is(err, ErrNotThere) {
		t.Errorf("client: got %v, want ErrNotThere", err)
	}
	serve(t, listenAt(t, path))
	ask(t, path)
}

func TestWhatIsThereIsLeftAlone(t *testing.T) {
	for name, make := range map[string]struct {
		at   func(path string) (io.Closer, error)
		want error
	}{
		"ours":     {func(path string) (io.Closer, error) { return Listen(path) }, ErrInUse},
		"a stream": {func(path string) (io.Closer, error) { return net.Listen("unix", path) }, ErrInUse},
		"datagrams": {func(path string) (io.Closer, error) {
			return net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path})
		}, ErrInUse},
		"a file":   {func(path string) (io.Closer, error) { return os.Create(path) }, ErrNotSocket},
		"a folder": {func(path string) (io.Closer, error) { return nil, os.Mkdir(path, 0o755) }, ErrNotSocket},
		"a link":   {func(path string) (io.Closer, error) { return nil, os.Symlink("nowhere", path) }, ErrNotSocket},
		"a pipe":   {func(path string) (io.Closer, error) { return nil, syscall.Mkfifo(path, 0o600) }, ErrNotSocket},
	} {
		t.Run(name, func(t *testing.T) {
			path := socketIn(t)
			closer, err := make.at(path)
			if err != nil {
				t.Fatal(err)
			}
			before, _ := os.Lstat(path)
			if _, err := Listen(path); !errors.Is(err, make.want) {
				t.Errorf("got %v, want %v", err, make.want)
			}
			if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) {
				t.Errorf("it is gone: %v", err)
			}
			if closer != nil {
				closer.Close()
			}
		})
	}
}

func TestAFullQueueIsNotDead(t *testing.T) {
	path := socketIn(t)
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := Listen(path); !errors.Is(err, ErrInUse) {
		t.Errorf("got %v, want ErrInUse", err)
	}
}

func TestCloseRemovesNoOtherSocket(t *testing.T) {
	path := socketIn(t)
	l := listenAt(t, path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	other, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the other's socket is gone: %v", err)
	}
}

func TestOfManyAtOnceOneListens(t *testing.T) {
	path := socketIn(t)
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	for range 20 {
		var all sync.WaitGroup
		var won atomic.Int32
		winner := make(chan net.Listener, 8)
		for range 8 {
			all.Go(func() {
				l, err := Listen(path)
				switch {
				case err == nil:
					won.Add(1)
					winner <- l
				case !errors.Is(err, ErrInUse):
					t.Error(err)
				}
			})
		}
		all.Wait()
		if won.Load() != 1 {
			t.Fatalf("%d listen, want 1", won.Load())
		}
		l := <-winner
		c, err := net.DialTimeout("unix", path, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		l.Close()
	}
}

func TestPathsThatNoSocketHas(t *testing.T) {
	dir := filepath.Dir(socketIn(t))
	long := filepath.Join(dir, strings.Repeat("x", maxPath-len(dir)-1))
	l, err := Listen(long)
	if err != nil {
		t.Fatalf("%d bytes: %v", len(long), err)
	}
	l.Close()
	for path, want := range map[string]string{
		long + "x": strconv.Itoa(maxPath) + ": choose a shorter one",
		"":         "no path",
		"@name":    "want the path of a file",
		"a\x00b":   "want the path of a file",
	} {
		if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", path, err, want)
		}
	}
	open := filepath.Join(dir, "open")
	if err := errors.Join(os.Mkdir(open, 0o755), os.Chmod(open, 0o777)); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(filepath.Join(open, "s")); err == nil || !strings.Contains(err.Error(), "chmod o-w") {
		t.Errorf("a folder that everybody may write to: %v", err)
	}
	if err := os.Chmod(open, 0o777|fs.ModeSticky); err != nil {
		t.Fatal(err)
	}
	listenAt(t, filepath.Join(open, "s"))
}
