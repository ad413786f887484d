package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/util/compression"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Deps is what the store stands on.
type Deps struct {
	Log *slog.Logger
	// Now is the collector's clock. Timestamps of samples are the workers'.
	Now func() time.Time
}

// Store keeps the samples of a fleet. All methods are safe for concurrent use.
type Store struct {
	config  Config
	lock    *os.File
	log     *slog.Logger
	now     func() time.Time
	db      *tsdb.DB
	index   *index
	catalog *catalog
	meta    *metadata
	figures figures
	probe   *probe

	wal, wbl *syncer // used by the group commit only

	mu      sync.Mutex // guards workers and closed
	workers map[model.WorkerID]*worker
	closed  bool

	dirtyMu sync.Mutex // guards dirty, sources and unsynced
	dirty   []*Session
	sources []savedSource
	// unsynced says that samples were written that belong to no session.
	unsynced bool

	closing      atomic.Bool     // set with closed, read without the lock
	waitingBytes atomic.Int64    // accepted since the last group commit began
	early        chan struct{}   // asks the group commit to come now
	flushes      chan chan error // asks for it, and for its outcome
	stop         chan struct{}
	done         sync.WaitGroup
	broken       failure
	free         atomic.Bool // false: too little disk space for new data
	lastTended   time.Time   // used by tend only
}

// Open locks the directory, replays what an earlier run left, and starts the
// store's own goroutines, which Close ends. It fails with ErrLocked when another
// process has the directory. Opening takes as long as replaying the log of the
// last hours does: seconds for a small fleet.
func Open(config Config, deps Deps) (s *Store, err error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	lock, err := lockDir(config.Dir)
	if err != nil {
		return nil, err
	}
	opened := teardown{lock.Close}
	defer func() {
		if err != nil {
			err = errors.Join(err, opened.run())
		}
	}()
	s = &Store{config: config, lock: lock, log: deps.Log.With("component", "store"), now: deps.Now, meta: newMetadata(),
		workers: map[model.WorkerID]*worker{}, early: make(chan struct{}, 1), flushes: make(chan chan error),
		stop: make(chan struct{}), broken: failure{failed: make(chan struct{})}}
	if s.index, err = openIndex(config.Dir); err != nil {
		return nil, err
	}
	opened = append(opened, s.index.Close)
	// A worker that has been away for longer than its spool and our samples
	// last has nothing to resume.
	if err := s.index.forgetBefore(s.now().Add(-max(config.Retention, 7*24*time.Hour))); err != nil {
		return nil, fmt.Errorf("store: forget old resume points: %w", err)
	}
	if s.catalog, err = openCatalog(s.index, config.PartBytes, deps.Now, s.meta); err != nil {
		return nil, err
	}
	if err := s.openDB(); err != nil {
		return nil, err
	}
	opened = append(opened, s.db.Close)
	s.free.Store(true)
	s.tend()
	s.done.Go(s.commitLoop)
	s.done.Go(s.tendLoop)
	return s, nil
}

// openDB opens the database with the configured limits.
func (s *Store) openDB() (err error) {
	dir := filepath.Join(s.config.Dir, tsdbName)
	options := tsdb.DefaultOptions()
	options.RetentionDuration = s.config.Retention.Milliseconds()
	options.MaxBytes = int64(s.config.RetentionSize)
	options.OutOfOrderTimeWindow = s.config.OutOfOrder.Milliseconds()
	options.MaxBlockDuration = max(options.MinBlockDuration, min(s.config.Retention/10, 31*24*time.Hour).Milliseconds())
	options.WALCompression = compression.Snappy
	options.NoLockfile = true // the whole directory is locked
	s.probe = newProbe()
	if err := s.mend(); err != nil {
		return err
	}
	if s.db, err = tsdb.Open(dir, slog.New(libraryLog{s.log.Handler()}), s.probe, options, nil); err != nil {
		return fmt.Errorf("store: open %q: %w", dir, err)
	}
	s.wal, s.wbl = newSyncer(filepath.Join(dir, walName)), newSyncer(filepath.Join(dir, wblName))
	// The folders themselves must outlive a power cut, too.
	for _, path := range []string{dir, s.config.Dir} {
		if err := syncPath(path); err != nil {
			return errors.Join(fmt.Errorf("store: %w", err), s.db.Close())
		}
	}
	return nil
}

// Queryable answers queries over everything that was appended, whether it is
// durable yet or not.
func (s *Store) Queryable() storage.Queryable { return queryable{s.db} }

// queryable shows nothing of the database but queries.
type queryable struct{ db *tsdb.DB }

func (q queryable) Querier(from, to int64) (storage.Querier, error) { return q.db.Querier(from, to) }

// Run waits until ctx is done, and returns nil, or until the store can no
// longer write, and returns why. A store that failed still answers queries; the
// process should end and start again, which repairs what can be repaired.
func (s *Store) Run(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-s.broken.failed:
		return s.broken.get()
	}
}

// Close makes everything durable that was appended, and frees the directory.
// Sessions refuse from then on. Calling it again does nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	s.closing.Store(true)
	workers := make([]*worker, 0, len(s.workers))
	for _, w := range s.workers {
		workers = append(workers, w)
	}
	s.mu.Unlock()
	if closed {
		return nil
	}
	for _, w := range workers {
		w.evict(CauseClosed) // waits for an append that is under way
	}
	close(s.stop)
	s.done.Wait()
	err := errors.Join(s.commit(), s.db.Close())
	if err == nil {
		err = closeMark(s.config.Dir)
	}
	return errors.Join(err, s.index.Close(), s.lock.Close())
}

// failure remembers the first reason for which the store cannot write.
type failure struct {
	once   sync.Once
	failed chan struct{}
	err    error // set before failed is closed
}

func (f *failure) set(err error) {
	f.once.Do(func() {
		f.err = err
		close(f.failed)
	})
}

// get returns the reason, nil while there is none.
func (f *failure) get() error {
	select {
	case <-f.failed:
		return f.err
	default:
		return nil
	}
}

// fail stops all writing. It is for errors after which nobody knows what is on
// disk: going on could acknowledge what is not.
func (s *Store) fail(err error) {
	if s.broken.get() == nil {
		s.log.Error("store cannot write any more; restart it", "err", err)
	}
	s.broken.set(err)
}

// teardown are steps to undo, the newest first.
type teardown []func() error

func (t teardown) run() (err error) {
	for i := len(t) - 1; i >= 0; i-- {
		err = errors.Join(err, t[i]())
	}
	return err
}
