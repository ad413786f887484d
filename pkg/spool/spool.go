package spool

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/event"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Errors of Append. None of them is final for the spool: the caller goes on with
// what the error asks for.
var (
	// ErrKeyNeeded: the frame before this delta frame is gone, or so many have
	// followed their key frame that another one is due. Nothing was taken; give
	// the same values as a key frame.
	ErrKeyNeeded = errors.New("key frame needed")
	// ErrSchemaNeeded: the frame's schema is not the newest one of its stream.
	ErrSchemaNeeded = errors.New("schema needed")
	// ErrPartNeeded: a schema names a part that the spool does not hold: append
	// the parts of the schema, then the schema.
	ErrPartNeeded = errors.New("part needed")
	// ErrTooLarge: a record larger than frame.MaxPayload, or more definitions in use
	// than there is room for.
	ErrTooLarge = errors.New("too large")
	// ErrClosed: the spool was closed.
	ErrClosed = errors.New("spool is closed")
)

// errNotOpen says that the folder could not be opened yet.
var errNotOpen = errors.New("the folder is not open")

// Deps is what a Spool works with. Boot is required.
type Deps struct {
	// Dir is the folder, which has no other use. "": the records are in memory only.
	Dir string
	// Boot names this process, and its run of sequence numbers.
	Boot model.BootID
	// Worker and Fleet are whose records these are. Those of others, which may be
	// in the folder, are dropped.
	Worker model.WorkerID
	Fleet  string
	// HostStarted is when the host was started; zero if that is not known.
	HostStarted time.Time
	Log         *slog.Logger     // nil: none
	Now         func() time.Time // nil: time.Now
	FS          durable.FS       // nil: durable.OS
	Random      io.Reader        // nil: crypto/rand
}

// Spool keeps records. One goroutine appends at a time; any number may read and
// acknowledge meanwhile.
type Spool struct {
	config Config
	limits limits
	deps   Deps
	log    *slog.Logger
	now    func() time.Time
	cursor cursorFile

	// writer is held by whoever appends, drops, syncs or opens. It is taken before
	// mu, and held while the disk is at work. records, and boots but for their done,
	// change while both are held.
	writer sync.Mutex
	buf    []byte // of an entry
	raw    []byte // of a record
	mark   syncMark
	// sinceBoot is how many bytes were written since it was written whose they are.
	sinceBoot int
	untold    []report // of damage, that could not be told yet
	// fragile: something that was acknowledged is not in the log. Without the cursor it would
	// be taken for lost.
	fragile bool
	unsure  bool      // an event that tells of losses may not be on disk
	retryAt time.Time // when the folder is to be opened again
	told    string    // the error of the disk that the log was told of
	begun   bool      // the first frame has come
	first   model.Millis
	watch   func(*boot)  // nil but in tests: is told of the boots that are found
	former  *former      // what is to be told with the first frame; nil: nothing
	sure    model.Millis // time of the newest frame when last there was none that a power cut could take

	mu      sync.Mutex
	records *durable.Log // nil: the folder is not open
	defs    definitions
	boots   []*boot // rising; the last one is cur
	cur     *boot
	pending pending
	floor   uint64        // index of the first entry that counts
	live    uint64        // number from which on the live stretch has the records of cur; 0: none was asked for
	given   [2]*Stretch   // the live stretch and the backlog that are under way
	changed chan struct{} // closed when something has changed; nil while nobody waits
	closed  bool
	stats   Stats
}

// Open opens or makes the spool in a folder, for a new process of a worker. That
// the disk does not work is no error: the spool then goes on in memory, and opens
// the folder later (Run). An error wraps ErrVersion, durable.ErrNewerFormat or
// durable.ErrLocked, or says what of the configuration is wrong.
func Open(config Config, deps Deps) (*Spool, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	if deps.Boot.IsZero() {
		return nil, errors.New("spool: no boot id")
	}
	return open(config, config.limits(), deps)
}

func open(config Config, limits limits, deps Deps) (*Spool, error) {
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if deps.FS == nil {
		deps.FS = durable.OS()
	}
	s := &Spool{config: config, limits: limits, deps: deps, log: deps.Log.With(logkey.Component, "spool"), now: deps.Now}
	s.cursor = newCursorFile(deps.FS, deps.Dir)
	s.pending.losses.most = limits.gaps
	s.defs.contents = map[[16]byte]*content{}
	s.cur = newBoot(0, start{id: deps.Boot, worker: deps.Worker, fleet: deps.Fleet, started: s.now()})
	s.boots = []*boot{s.cur}
	s.stats.Dropped = map[event.Cause]Loss{}
	s.writer.Lock()
	defer s.writer.Unlock()
	if err := s.attach(); refuses(err) {
		return nil, fmt.Errorf("spool %q: %w", deps.Dir, err)
	}
	return s, nil
}

// refuses says whether an error is one that does not go away by itself.
func refuses(err error) bool {
	return errors.Is(err, ErrVersion) || errors.Is(err, durable.ErrNewerFormat) || errors.Is(err, durable.ErrLocked)
}

// Boot names the process and its run of sequence numbers.
func (s *Spool) Boot() model.BootID { return s.deps.Boot }

// wakeLocked wakes those who wait for records, acknowledgements and stretches.
func (s *Spool) wakeLocked() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// waitLocked returns a channel that is closed by the next change.
func (s *Spool) waitLocked() <-chan struct{} {
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.changed
}

// trouble notes that the disk did not do what it should, and tells the log once.
func (s *Spool) trouble(what string, err error) {
	if text := what + ": " + err.Error(); s.told != text {
		s.told = text
		s.log.Warn("the disk does not take records: they are kept in memory", "what", what, logkey.Err, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.DiskErrors++
	s.stats.DiskError = err.Error()
}

// fine notes that the disk works.
func (s *Spool) fine() {
	if s.told == "" {
		return
	}
	s.told = ""
	s.log.Info("records are on disk again")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.DiskError = ""
}

// Close writes down that this is an orderly end, syncs, and lets go of the folder.
// Appending and reading then fail with ErrClosed.
func (s *Spool) Close() error {
	err := s.close()
	s.letGo() // whoever reads has been told, and may need writer to return
	return err
}

func (s *Spool) close() error {
	s.writer.Lock()
	defer s.writer.Unlock()
	s.mu.Lock()
	again := s.closed
	s.mu.Unlock()
	if again {
		return nil
	}
	err := s.finish()
	s.mu.Lock()
	s.closed = true
	s.wakeLocked()
	s.mu.Unlock()
	if s.records != nil {
		err = errors.Join(err, s.defs.log.Close(), s.records.Close())
	}
	return err
}

// finish writes what is left and the mark of an orderly end.
func (s *Spool) finish() error {
	if s.records == nil {
		return nil
	}
	if err := s.drain(); err != nil {
		return err
	}
	s.tellLater(nil)
	if _, err := s.records.Append(appendEntry(s.buf[:0], entry{kind: kindClosed, boot: s.cur.number, at: s.now()})); err != nil {
		return err
	}
	if err := s.sync(); err != nil {
		return err
	}
	return s.saveCursor(true)
}

// sync makes everything last that was appended: definitions first, which the others
// need.
func (s *Spool) sync() error {
	if err := s.defs.log.Sync(); err != nil {
		return err
	}
	if err := s.records.Sync(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unsure = s.unsure && len(s.pending.items) > 0
	return nil
}
