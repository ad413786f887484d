package sampler

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cloudless-fleet/cloudless/pkg/kernel"
)

// mounts is a statfs of which some paths hang until they are released.
type mounts struct {
	mu    sync.Mutex
	hangs map[string]chan struct{} // by the end of the path
	calls map[string]int           // under way
	most  map[string]int
}

func newMounts() *mounts {
	return &mounts{hangs: map[string]chan struct{}{}, calls: map[string]int{}, most: map[string]int{}}
}

func (m *mounts) hang(point string) (release func()) {
	gate := make(chan struct{})
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hangs[point] = gate
	return func() {
		m.mu.Lock()
		delete(m.hangs, point)
		m.mu.Unlock()
		close(gate)
	}
}

func (m *mounts) statfs(path string) (kernel.Statfs, error) {
	m.mu.Lock()
	m.calls[path]++
	m.most[path] = max(m.most[path], m.calls[path])
	var gate chan struct{}
	for point, g := range m.hangs {
		if strings.HasSuffix(path, point) {
			gate = g
		}
	}
	m.mu.Unlock()
	if gate != nil {
		<-gate
	}
	m.mu.Lock()
	m.calls[path]--
	m.mu.Unlock()
	return kernel.Statfs{BlockSize: 1024, Blocks: 10, Free: 5, Available: 4, Files: 3, FilesFree: 2}, nil
}

func size(mountpoint, device, fstype, trouble string) string {
	return fmt.Sprintf("node_filesystem_size_bytes{device=%q,device_error=%q,fstype=%q,mountpoint=%q}", device, trouble, fstype, mountpoint)
}

func deviceError(mountpoint, device, fstype, trouble string) string {
	return strings.Replace(size(mountpoint, device, fstype, trouble), "size_bytes", "device_error", 1)
}

// The life of a mount whose server goes away and comes back: it loses its own
// values and nobody else's, and no goroutine piles up.
func TestAHungMountFreezesOnlyItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHost(t).only("filesystem", "loadavg")
		h.cfg.Interval = time.Second
		m := newMounts()
		h.deps.Statfs, h.deps.Now = m.statfs, time.Now
		s := h.sampler()
		round := func() (values, time.Duration) {
			began := time.Now()
			v := h.round(s)
			took := time.Since(began)
			time.Sleep(h.cfg.Interval - took)
			return v, took
		}
		nfs, root := size("/mnt/nfs", "fileserver:/export", "nfs4", ""), size("/", "/dev/vda", "ext4", "")
		v, _ := round()
		v.want(t, values{nfs: 10240, root: 10240})

		release := m.hang("/mnt/nfs")
		v, took := round()
		v.without(t, "/mnt/nfs")
		v.want(t, values{root: 10240, "node_load1": 1.03})
		if took != h.cfg.Interval/2 {
			t.Errorf("the first round with it took %v, want half an interval", took)
		}
		schemas := s.Stats().SchemaChanges
		for range 4 {
			v, took = round()
			v.without(t, "/mnt/nfs")
			v.want(t, values{root: 10240})
			if took > 0 {
				t.Errorf("a later round took %v, want no waiting", took)
			}
		}
		if got := s.Stats().SchemaChanges; got != schemas {
			t.Errorf("%d new schemas before the timeout, want none", got-schemas)
		}
		for range 10_000 {
			if _, err := s.SampleOnce(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(h.cfg.Interval)
		}
		v, _ = round()
		v.want(t, values{deviceError("/mnt/nfs", "fileserver:/export", "nfs4", "mountpoint timeout"): 1, root: 10240})
		v.without(t, nfs)
		if got := m.most[h.fs.Root+"/mnt/nfs"]; got != 1 {
			t.Errorf("%d calls at once on the hung mount, want 1", got)
		}
		if got := s.Stats().StatThreads; got > 2 {
			t.Errorf("%d goroutines, want 2 at most", got)
		}
		release()
		synctest.Wait()
		v, _ = round()
		v.want(t, values{nfs: 10240, deviceError("/mnt/nfs", "fileserver:/export", "nfs4", ""): 0, root: 10240})
		s.Close()
	})
}

// With every worker hanging, what is left waits; nothing more is started, and
// it goes on when one comes back.
func TestMoreHungMountsThanWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHost(t).only("filesystem", "loadavg")
		h.cfg.Interval = time.Second
		h.cfg.Collectors.Filesystem.StatWorkers = 3
		var lines strings.Builder
		for i := range 10 {
			fmt.Fprintf(&lines, "%d 1 0:%d / /n%d rw - nfs s:/n%d rw\n", 100+i, 100+i, i, i)
		}
		lines.WriteString("27 1 254:0 / /last rw - ext4 /dev/vda rw\n")
		h.write("proc/1/mountinfo", lines.String())
		m := newMounts()
		var releases []func()
		for i := range 10 {
			releases = append(releases, m.hang(fmt.Sprintf("/n%d", i)))
		}
		h.deps.Statfs, h.deps.Now = m.statfs, time.Now
		s := h.sampler()
		for range 20 {
			v := h.round(s)
			v.want(t, values{"node_load1": 1.03})
			v.without(t, "size_bytes")
			time.Sleep(time.Second)
		}
		if got := s.Stats().StatThreads; got != 3 {
			t.Errorf("%d goroutines, want 3", got)
		}
		for _, release := range releases {
			release()
		}
		synctest.Wait()
		v := h.round(s)
		v.want(t, values{size("/last", "/dev/vda", "ext4", ""): 10240, size("/n9", "s:/n9", "nfs", ""): 10240})
		synctest.Wait()
		if got := s.pool.under(); got != 1 {
			t.Errorf("%d goroutines once all is well, want 1", got)
		}
		s.Close()
	})
}

// Closing does not wait for what hangs.
func TestCloseWithAHungMount(t *testing.T) {
	h := newTestHost(t).only("filesystem")
	h.cfg.Interval = MinInterval
	m := newMounts()
	release := m.hang("/mnt/nfs")
	h.deps.Statfs = m.statfs
	s := h.sampler()
	h.round(s)
	before := runtime.NumGoroutine()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if after := runtime.NumGoroutine(); after > before+1 {
		t.Errorf("%d goroutines after Close, %d before", after, before)
	}
	release()
	s.pool.group.Wait()
}

// An unmounted and newly mounted filesystem on the same point is another one.
func TestANewMountDoesNotWaitForTheOldOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHost(t).only("filesystem")
		h.cfg.Interval = time.Second
		m := newMounts()
		release := m.hang("/mnt/nfs")
		h.deps.Statfs, h.deps.Now = m.statfs, time.Now
		s := h.sampler()
		h.round(s)
		m.mu.Lock()
		delete(m.hangs, "/mnt/nfs") // new calls get an answer, the old one hangs on
		m.mu.Unlock()
		nfs := size("/mnt/nfs", "fileserver:/export", "nfs4", "")
		h.round(s).without(t, nfs)
		h.replace("proc/1/mountinfo", "0:52", "0:77")
		h.round(s).want(t, values{nfs: 10240})
		release()
		synctest.Wait()
		s.Close()
	})
}

func TestMountListChanges(t *testing.T) {
	h := newTestHost(t).only("filesystem")
	s := h.sampler()
	data := strings.Replace(size("/srv/my data", "/dev/mapper/vg0-data", "xfs", ""), "size_bytes", "readonly", 1)
	h.round(s).want(t, values{data: 1})
	schemas := s.Stats().SchemaChanges
	// A remount changes options only: same series.
	h.replace("proc/1/mountinfo", "/srv/my\\040data ro,relatime", "/srv/my\\040data rw,relatime")
	h.replace("proc/1/mountinfo", "vg0-data ro,", "vg0-data rw,")
	h.round(s).want(t, values{data: 0})
	if got := s.Stats().SchemaChanges; got != schemas {
		t.Errorf("a remount made %d new schemas", got-schemas)
	}
	// A second mount over the first: the topmost counts, and once.
	h.write("proc/1/mountinfo", "27 1 254:0 / / rw - ext4 /dev/vda rw\n28 27 254:1 / / ro - ext4 /dev/vda rw\n")
	v := h.round(s)
	v.want(t, values{`node_filesystem_readonly{device="/dev/vda",device_error="",fstype="ext4",mountpoint="/"}`: 1,
		`node_filesystem_mount_info{device="/dev/vda",major="254",minor="1",mountpoint="/"}`: 1})
	v.without(t, "/srv", `minor="0"`)
}

// Mounts whose labels are the same once they are text used to cost the whole
// collector, and with FUSE any user can make such.
func TestMountsThatDifferInWhatIsNoTextOnly(t *testing.T) {
	h := newTestHost(t).only("filesystem")
	long := "/" + strings.Repeat("l", 5000)
	h.write("proc/1/mountinfo", "27 1 254:0 / / rw - ext4 /dev/vda rw\n"+
		"40 27 0:50 / /home/u/\xff rw - fuse.sshfs u@h: rw\n41 27 0:51 / /home/u/\xfe rw - fuse.sshfs u@h: rw\n"+
		"42 27 0:52 / "+long+"1 rw - fuse.sshfs u@h: rw\n43 27 0:53 / "+long+"2 rw - fuse.sshfs u@h: rw\n")
	v := h.round(h.sampler())
	v.want(t, values{
		`node_filesystem_files{device="/dev/vda",device_error="",fstype="ext4",mountpoint="/"}`:           500,
		`node_filesystem_files{device="u@h:",device_error="",fstype="fuse.sshfs",mountpoint="/home/u/�"}`: 500,
	})
	v.without(t, `minor="50"`, `minor="52"`)
}

func TestMountsOfProcessOneAreHidden(t *testing.T) {
	h := newTestHost(t).only("filesystem")
	h.write("proc/self/mountinfo", h.read("proc/1/mountinfo"))
	h.remove("proc/1")
	h.round(h.sampler()).want(t, values{`node_filesystem_files{device="tmpfs",device_error="",fstype="tmpfs",mountpoint="/run"}`: 500})
}

func TestMountFiltersAndRoot(t *testing.T) {
	h := newTestHost(t).only("filesystem")
	c := &h.cfg.Collectors.Filesystem
	c.MountPointsInclude, c.FSTypesExclude = "^/(srv|run)", "^tmpfs$"
	v := h.round(h.sampler())
	v.want(t, values{`node_filesystem_files{device="/dev/mapper/vg0-data",device_error="",fstype="xfs",mountpoint="/srv/my data"}`: 500})
	v.without(t, "/run", `mountpoint="/"`, "cgroup")

	// Seen from a container, the host's mounts are below Root, and named
	// as the host names them.
	h = newTestHost(t).only("filesystem")
	h.write("proc/1/mountinfo", "27 1 254:0 / "+h.fs.Root+" rw - ext4 /dev/vda rw\n28 27 254:1 / "+h.fs.Root+"/home rw - ext4 /dev/vdb rw\n")
	h.round(h.sampler()).want(t, values{
		`node_filesystem_files{device="/dev/vda",device_error="",fstype="ext4",mountpoint="/"}`:     500,
		`node_filesystem_files{device="/dev/vdb",device_error="",fstype="ext4",mountpoint="/home"}`: 500,
	})
}

func TestAMountThatFailsAndRecovers(t *testing.T) {
	h := newTestHost(t).only("filesystem")
	var err error
	h.deps.Statfs = func(string) (kernel.Statfs, error) { return kernel.Statfs{BlockSize: 1, Blocks: 7}, err }
	s := h.sampler()
	h.round(s)
	err = unix.EIO
	v := h.round(s)
	v.want(t, values{deviceError("/", "/dev/vda", "ext4", "input/output error"): 1})
	v.without(t, "size_bytes", "mount_info", `device_error=""`)
	err = nil
	h.round(s).want(t, values{size("/", "/dev/vda", "ext4", ""): 7})
}
