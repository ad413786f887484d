package sampler

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/kernel"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// filesystem is how full the mounted filesystems are.
type filesystem struct {
	fs      kernel.FS
	points  filter
	types   filter
	timeout time.Duration
	pool    *statPool

	first, second *kernel.File // mountinfo of process 1, and our own
	content       []byte       // of mountinfo, when mounts was made
	mounts        []*mount
	calls         []*mountCall
	err           error // of start
	stale         bool  // mounts are other ones than described
}

// mount is one sampled mount. Its labels are those of every series.
type mount struct {
	kernel.Mount
	call    *mountCall
	answer  mountAnswer // of this round; one look, as a late one may come any time
	trouble string      // the label device_error
	columns mountColumns
}

// mountColumns are the columns of a mount; those after readOnly only exist
// when there is no trouble.
type mountColumns struct {
	deviceError, readOnly, size, free, avail, files, filesFree, info, purgeable int
}

func newFilesystem(h *host, c *Collectors) (collector, error) {
	points, err := newFilter(c.Filesystem.MountPointsInclude, c.Filesystem.MountPointsExclude)
	if err != nil {
		return nil, err
	}
	types, err := newFilter(c.Filesystem.FSTypesInclude, c.Filesystem.FSTypesExclude)
	return &filesystem{
		fs:      h.fs,
		points:  points,
		types:   types,
		timeout: c.Filesystem.MountTimeout,
		pool:    newStatPool(h.statfs, c.Filesystem.StatWorkers),
		first:   h.fs.ProcFile("1/mountinfo"),
		second:  h.fs.ProcFile("self/mountinfo"),
	}, err
}

// start reads which mounts there are and sets the calls going.
func (c *filesystem) start(r *round) {
	content, err := r.read(c.first)
	if err != nil {
		// Process 1 is hidden from us (hidepid, or a namespace of our own).
		content, err = r.read(c.second)
	}
	if err == nil && (c.content == nil || !bytes.Equal(content, c.content)) {
		var found []kernel.Mount
		if found, err = kernel.ParseMountinfo(content); err == nil {
			c.content = append(c.content[:0], content...)
			c.learn(found)
		}
	}
	if c.err = err; err == nil {
		c.pool.start(r.number, c.calls)
	}
}

func (c *filesystem) update(r *round, s *sheet) error {
	if c.err != nil {
		return c.err
	}
	c.pool.wait(r.grace)
	for _, m := range c.mounts {
		m.answer = c.pool.answer(m.call)
		if trouble := c.troubleOf(m); trouble != m.trouble {
			m.trouble = trouble
			c.stale = true
		}
	}
	if c.stale || !s.described() {
		c.describe(s)
		c.stale = false
	}
	for _, m := range c.mounts {
		m.fill(s)
	}
	return nil
}

// troubleOf says what is wrong with a mount, in node_exporter's words. A mount
// that has not answered yet is as it was.
func (c *filesystem) troubleOf(m *mount) string {
	switch a := m.answer; {
	case a.answered && a.err == nil:
		return ""
	case a.answered:
		return a.err.Error()
	case a.hangs >= c.timeout:
		return "mountpoint timeout"
	}
	return m.trouble
}

// learn takes over a changed list of mounts. Of several mounts on one point,
// the last one is what statfs sees.
func (c *filesystem) learn(found []kernel.Mount) {
	before := map[kernel.Mount]*mount{}
	for _, m := range c.mounts {
		before[identity(m.Mount)] = m
	}
	c.mounts, c.calls = nil, nil
	places := map[[3]string]int{} // by the labels
	for _, known := range found {
		known.Point = c.fromRoot(known.Point)
		if !c.points.passes(known.Point) || !c.types.passes(known.Type) {
			continue
		}
		m := &mount{Mount: known}
		if old := before[identity(known)]; old != nil {
			m.call, m.trouble = old.call, old.trouble
		} else {
			m.call = &mountCall{path: c.fs.RootPath(known.Point)}
		}
		key := [3]string{labelValue(known.Source), labelValue(known.Point), labelValue(known.Type)}
		if place, twice := places[key]; twice {
			c.mounts[place] = m
			continue
		}
		places[key] = len(c.mounts)
		c.mounts = append(c.mounts, m)
	}
	for _, m := range c.mounts {
		c.calls = append(c.calls, m.call)
	}
	c.stale = true
}

// identity is what makes it the same mount as before, whatever its options. A
// new filesystem on the same point is another one: it is not to wait for what
// hangs on the old one.
func identity(m kernel.Mount) kernel.Mount {
	m.ReadOnly = false
	return m
}

// fromRoot returns the mount point as the host itself sees it, when its root
// is mounted below Root.
func (c *filesystem) fromRoot(point string) string {
	if c.fs.Root == "/" || c.fs.Root == "" {
		return point
	}
	inside := strings.TrimPrefix(point, strings.TrimSuffix(c.fs.Root, "/"))
	if inside == "" {
		return "/"
	}
	return inside
}

func (c *filesystem) describe(s *sheet) {
	healthy := func(m *mount) bool { return m.trouble == "" }
	all := func(*mount) bool { return true }
	s.begin()
	for _, family := range []struct {
		name, help string
		column     func(*mountColumns) *int
		has        func(*mount) bool
	}{
		{"device_error", "Whether an error occurred while getting statistics for the given device.", func(c *mountColumns) *int { return &c.deviceError }, all},
		{"readonly", "Filesystem read-only status.", func(c *mountColumns) *int { return &c.readOnly }, all},
		{"size_bytes", "Filesystem size in bytes.", func(c *mountColumns) *int { return &c.size }, healthy},
		{"free_bytes", "Filesystem free space in bytes.", func(c *mountColumns) *int { return &c.free }, healthy},
		{"avail_bytes", "Filesystem space available to non-root users in bytes.", func(c *mountColumns) *int { return &c.avail }, healthy},
		{"files", "Filesystem total file nodes.", func(c *mountColumns) *int { return &c.files }, healthy},
		{"files_free", "Filesystem total free file nodes.", func(c *mountColumns) *int { return &c.filesFree }, healthy},
		{"purgeable_bytes", "Filesystem space available including purgeable space (MacOS specific).", func(c *mountColumns) *int { return &c.purgeable }, healthy},
	} {
		s.family("node_filesystem_"+family.name, family.help, model.Gauge, 0)
		for _, m := range c.mounts {
			if family.has(m) {
				*family.column(&m.columns) = s.series("device", m.Source, "mountpoint", m.Point, "fstype", m.Type, "device_error", m.trouble)
			}
		}
	}
	s.family("node_filesystem_mount_info", "Filesystem mount information.", model.Gauge, 0)
	for _, m := range c.mounts {
		if healthy(m) {
			m.columns.info = s.series("device", m.Source, "major", strconv.FormatUint(uint64(m.Major), 10),
				"minor", strconv.FormatUint(uint64(m.Minor), 10), "mountpoint", m.Point)
		}
	}
	s.end()
}

// fill sets the values of one mount: all, those of one in trouble, or none
// when it has not answered in this round and may still do so.
func (m *mount) fill(s *sheet) {
	c, a := &m.columns, m.answer
	if m.trouble != "" {
		s.values[c.deviceError] = 1
		s.values[c.readOnly] = oneIf(m.ReadOnly)
		return
	}
	absent := model.Absent()
	if !a.answered {
		for _, column := range [...]int{c.deviceError, c.readOnly, c.size, c.free, c.avail, c.files, c.filesFree, c.info, c.purgeable} {
			s.values[column] = absent
		}
		return
	}
	block := float64(a.statfs.BlockSize)
	s.values[c.deviceError] = 0
	s.values[c.readOnly] = oneIf(m.ReadOnly)
	s.values[c.size] = float64(a.statfs.Blocks) * block
	s.values[c.free] = float64(a.statfs.Free) * block
	s.values[c.avail] = float64(a.statfs.Available) * block
	s.values[c.files] = float64(a.statfs.Files)
	s.values[c.filesFree] = float64(a.statfs.FilesFree)
	s.values[c.info] = 1
	s.values[c.purgeable] = 0
}

func (c *filesystem) close() {
	c.first.Close()
	c.second.Close()
	c.pool.close()
}
