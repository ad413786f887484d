package registry

import (
	"container/list"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/boltfile"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// ErrClosed is returned after Close.
var ErrClosed = errors.New("registry is closed")

// Deps are what a Registry needs from outside.
type Deps struct {
	Logger *slog.Logger     // nil: no logs
	Now    func() time.Time // nil: time.Now. Its times should carry a monotonic reading
}

// Registry is the coordinator's memory of all workers. All methods are safe for
// concurrent use, and none but Open, Close, Run and Changes blocks for longer
// than it takes to copy what it returns: the disk is written by Run.
type Registry struct {
	cfg    Config
	policy Policy
	log    *slog.Logger
	now    func() time.Time
	epoch  time.Time // timers count nanoseconds from here
	disk   *boltfile.File

	wake    chan struct{} // a deadline earlier than the one Run sleeps to; capacity 1
	unsaved chan struct{} // something is dirty; capacity 1
	closed  chan struct{}
	runs    sync.WaitGroup
	saving  sync.Mutex // held while the file is written, taken before mu

	mu        sync.Mutex
	isClosed  bool
	isRunning bool
	known     map[model.WorkerID]*entry
	slots     []*entry // by entry.slot; nil when free
	freeSlots []slot
	timers    timers
	sleepTo   int64 // what Run sleeps to, on the timers' clock
	names     names
	members   *list.List // of *entry: ever admitted; the one changed last is in front
	others    *list.List // of *entry: never admitted; the one heard last is in front
	feed      feed

	dirty           map[*entry]struct{} // members to be written
	dirtyCandidates map[*entry]struct{}
	gone            map[model.WorkerID]struct{} // to be removed on disk, before anything is written there

	actions []Action // reused by every step
	notes   []note   // logged as soon as the lock is released
	stats   Stats
}

// entry is one known worker with its places in the registry's structures.
type entry struct {
	slot     slot
	isMember bool
	onDisk   bool
	armed    int64 // its deadline in timers, on their clock; never when there is none
	w        Worker
	version  uint64        // of the feed, at its last change
	place    *list.Element // in members or others
}

const never = math.MaxInt64

// Open reads the registry kept in dir, or makes a new one there. The workers it
// finds are members again at once; those that were alive are suspect until they
// are heard, and expire after half their lease. Nothing expires and nothing is
// written until Run is called. Errors wrap ErrLocked, ErrDamaged or
// ErrNewerFormat when those are the cause.
func Open(dir string, cfg Config, deps Deps) (*Registry, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("registry config: %w", err)
	}
	if deps.Logger == nil {
		deps.Logger = slog.New(slog.DiscardHandler)
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	d, l, err := openDisk(dir, cfg.LockTimeout)
	if err != nil {
		return nil, err
	}
	now := deps.Now()
	r := &Registry{
		cfg: cfg, policy: cfg.Policy(), log: deps.Logger, now: deps.Now, epoch: now, disk: d,
		wake: make(chan struct{}, 1), unsaved: make(chan struct{}, 1), closed: make(chan struct{}),
		known: make(map[model.WorkerID]*entry), names: make(names), members: list.New(), others: list.New(),
		feed: newFeed(now, l.feed), sleepTo: never,
		dirty: make(map[*entry]struct{}), dirtyCandidates: make(map[*entry]struct{}), gone: make(map[model.WorkerID]struct{}),
	}
	r.mu.Lock()
	defer r.unlock()
	r.adoptLocked(l, now)
	return r, nil
}

// adoptLocked takes over what was on disk.
func (r *Registry) adoptLocked(l loaded, now time.Time) {
	for _, bad := range l.damaged {
		r.stats.Quarantined++
		r.log.Warn("damaged registry entry set aside", "key", fmt.Sprintf("%x", bad.Key), "err", bad.Err)
	}
	slices.SortFunc(l.workers, func(a, b Worker) int { return a.LastContact.Compare(b.LastContact) })
	var nameless []*entry
	for i := range l.workers {
		w := &l.workers[i]
		w.anchor(now, r.policy)
		e := r.addLocked(*w)
		e.onDisk, e.version = true, r.feed.version
		if w.Admitted() && !r.names.reserve(w.Instance, w.ID) {
			nameless = append(nameless, e)
		} else if w.Admitted() {
			r.promoteLocked(e)
		}
		r.armLocked(e)
	}
	for _, e := range nameless {
		taken := e.w.Instance
		e.w.Instance = ""
		r.promoteLocked(e)
		r.changedLocked(e)
		r.saveLaterLocked(e)
		r.log.Warn("instance name was given twice", "worker", e.w.ID, "name", taken, "instance", e.w.Instance)
	}
	r.trimLocked()
	r.log.Info("registry opened", "path", r.disk.Path(), "members", r.members.Len(), "candidates", r.others.Len(), "damaged", len(l.damaged))
}

// addLocked makes an entry among the workers not admitted.
func (r *Registry) addLocked(w Worker) *entry {
	e := &entry{w: w, armed: never}
	if n := len(r.freeSlots); n > 0 {
		e.slot, r.freeSlots = r.freeSlots[n-1], r.freeSlots[:n-1]
		r.slots[e.slot] = e
	} else {
		e.slot = slot(len(r.slots))
		r.slots = append(r.slots, e)
	}
	r.known[w.ID] = e
	e.place = r.others.PushFront(e)
	r.stats.States[w.State]++
	return e
}

// trimLocked forgets the workers not admitted that were not heard for longest,
// when there are too many.
func (r *Registry) trimLocked() {
	for r.others.Len() > r.cfg.MaxCandidates {
		r.stats.Evicted++
		r.removeLocked(r.others.Back().Value.(*entry))
	}
}

// promoteLocked makes e a member, with a name for life.
func (r *Registry) promoteLocked(e *entry) {
	r.others.Remove(e.place)
	e.place, e.isMember = r.members.PushFront(e), true
	if e.w.Instance == "" {
		e.w.Instance = r.names.claim(e.w.Host.Hostname, e.w.ID)
		if e.w.Instance != instanceStem(e.w.Host.Hostname) {
			r.stats.Renumbered++
		}
	}
	delete(r.dirtyCandidates, e)
}

// removeLocked forgets e, here and on disk.
func (r *Registry) removeLocked(e *entry) {
	delete(r.known, e.w.ID)
	r.timers.remove(e.slot)
	r.slots[e.slot] = nil
	r.freeSlots = append(r.freeSlots, e.slot)
	delete(r.dirty, e)
	delete(r.dirtyCandidates, e)
	r.stats.States[e.w.State]--
	if e.w.Conflict {
		r.stats.Conflicts--
	}
	if e.isMember {
		r.members.Remove(e.place)
		r.names.release(e.w.Instance, e.w.ID)
		r.feed.remove(e.w.ID)
	} else {
		r.others.Remove(e.place)
	}
	if e.onDisk {
		r.gone[e.w.ID] = struct{}{}
		signal(r.unsaved)
	}
}

// Close writes what is not on disk yet, the last contacts included, and releases
// the file. It ends Run and waits for it. Further calls return nil.
func (r *Registry) Close() error {
	r.mu.Lock()
	first := !r.isClosed
	if first {
		r.isClosed = true
		close(r.closed)
		for e := r.members.Front(); e != nil; e = e.Next() {
			r.dirty[e.Value.(*entry)] = struct{}{}
		}
	}
	r.unlock()
	r.runs.Wait()
	if !first {
		return nil
	}
	return errors.Join(r.save(true), r.disk.Close())
}
