package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/storage"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/store/head"
	"github.com/cloudless-fleet/cloudless/pkg/store/journal"
	"github.com/cloudless-fleet/cloudless/pkg/store/ledger"
	"github.com/cloudless-fleet/cloudless/pkg/store/query"
	"github.com/cloudless-fleet/cloudless/pkg/store/schemas"
	"github.com/cloudless-fleet/cloudless/pkg/store/volume"
)

// Deps is what the store stands on.
type Deps struct {
	Log *slog.Logger
	// Now is the collector's clock. Timestamps of samples are the workers'.
	Now func() time.Time
	// FS is the file system; nil is the operating system's.
	FS volume.FS
}

// Store keeps the samples of a fleet. All methods are safe for concurrent use.
type Store struct {
	config Config
	deps   Deps
	log    *slog.Logger
	now    func() time.Time
	lock   io.Closer

	dictionary *schemas.Dictionary
	schemaLog  *schemaLog
	journal    *journal.Journal
	volumes    *volume.Set
	ledger     *ledger.Ledger
	head       *head.Head
	queryable  storage.Queryable
	feeds      feeds
	figures    figures
	rolls      rolls
	elsewhere  func(number uint64) bool // volumes that are not in the set; nil: none

	closing atomic.Bool
	// unplaced: the journal has frames that the start could not place. They do not count as
	// received and come again, and a later start might place both. So nothing is taken
	// until a pass has dropped them.
	unplaced atomic.Bool
	stop     chan struct{}
	done     sync.WaitGroup

	committing   sync.Mutex // held by a group commit
	dirtyMu      sync.Mutex // guards dirty
	dirty        []*Session
	waitingBytes atomic.Int64    // accepted since the last group commit began
	early        chan struct{}   // asks the group commit to come now
	flushes      chan chan error // asks for it, and for its outcome
	syncFails    atomic.Bool     // the last one did not succeed

	passing   sync.Mutex    // held by whatever moves rows: passes, rolls, retention, snapshots
	saving    sync.Mutex    // held by Snapshot, before passing
	importing sync.Mutex    // held by Import, before passing
	published atomic.Uint64 // how often volumes came or went
	lastPass  time.Time     // guarded by passing
	// sealedThrough is up to which index the journal is sealed and not dropped yet; 0: all
	// that is sealed is dropped. Guarded by passing.
	sealedThrough uint64
	forgotten     time.Time   // when names were forgotten last; guarded by passing
	free          atomic.Bool // false: too little disk space for new data
	swept         time.Time   // of the tending goroutine
}

// Folders of the store, in its own.
const (
	journalName = "journal"
	schemasName = "schemas"
	volumesName = "volumes"
	gapsName    = "gaps"
)

// Open locks the directory, replays what an earlier run left in the journal, and
// starts the store's own goroutines, which Close ends. It fails when another
// process has the directory (durable.ErrLocked), when a newer release wrote it, and
// when the disk does not work; damage is set aside and logged.
func Open(config Config, deps Deps) (*Store, error) {
	s, opened, err := openStore(config, deps, nil)
	if err != nil {
		return nil, errors.Join(err, opened.run())
	}
	s.tend()
	s.done.Go(s.commitLoop)
	s.done.Go(s.tendLoop)
	s.done.Go(s.rollLoop)
	return s, nil
}

// openStore opens a store that does nothing by itself yet. Volumes that elsewhere says are
// there count as its own. After an error the teardown is to be run.
func openStore(config Config, deps Deps, elsewhere func(number uint64) bool) (s *Store, opened teardown, err error) {
	if err := config.Validate(); err != nil {
		return nil, nil, fmt.Errorf("store: %w", err)
	}
	if deps.FS == nil {
		deps.FS = volume.OS()
	}
	s = &Store{config: config, deps: deps, log: deps.Log.With("component", "store"), now: deps.Now, elsewhere: elsewhere,
		early: make(chan struct{}, 1), flushes: make(chan chan error), stop: make(chan struct{})}
	s.rolls.wake = make(chan struct{}, 1)
	if err := s.openParts(&opened); err != nil {
		return nil, opened, err
	}
	s.free.Store(true)
	s.lastPass = s.now()
	return s, opened, nil
}

// openParts opens everything that is on disk, and brings the memory to where it was.
func (s *Store) openParts(opened *teardown) error {
	fs, dir := s.deps.FS, s.config.Dir
	if err := fs.MakeFolder(dir); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	lock, err := fs.Lock(dir)
	if err != nil {
		return fmt.Errorf("store %q: %w", dir, err)
	}
	s.lock = lock
	opened.add(lock.Close)
	restored, err := tidy(fs, dir)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if restored {
		s.log.Warn("a restore that was interrupted is complete now", "path", dir)
	}

	s.dictionary = schemas.New(s.config.schemas())
	var damage []*durable.Damage
	if s.schemaLog, damage, err = openSchemaLog(filepath.Join(dir, schemasName), fs, s.dictionary, s.log); err != nil {
		return err
	}
	opened.add(s.schemaLog.close)
	s.report(damage)
	namesDamage := damage

	book, found, err := ledger.Open(filepath.Join(dir, gapsName), s.config.ledger(), ledger.Deps{FS: fs, Now: s.now, Log: s.log})
	if err != nil {
		return fmt.Errorf("store: gaps: %w", err)
	}
	s.ledger = book
	opened.add(book.Close)
	s.report(found)

	var volumeDamage []*volume.Damage
	s.volumes, volumeDamage, err = volume.Open(filepath.Join(dir, volumesName), volume.Deps{FS: fs, Now: s.now, OnDamage: s.reportVolume})
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	opened.add(s.volumes.Close)
	if err := s.dropReplaced(); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	for _, d := range volumeDamage {
		s.reportVolume(d)
	}

	if s.journal, damage, err = journal.Open(filepath.Join(dir, journalName), journal.Options{FS: fs, Now: s.now,
		MaxBytes: 4 * s.config.JournalBytes}); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	opened.add(s.journal.Close)
	s.report(damage)
	s.completeNames(namesDamage)
	return s.openHead()
}

// openHead replays the journal.
func (s *Store) openHead() error {
	s.head = head.New(s.config.limits(), head.Deps{Dictionary: s.dictionary, SchemaLog: s.schemaLog, Journal: head.Over(s.journal),
		Ledger: s.ledger, Events: s.ledger, Now: s.now, Log: s.log})
	started := time.Now()
	err := s.journal.Replay(func(index uint64, e journal.Entry) error {
		if e.Kind == journal.KindSealed {
			s.volumes.Reserve(e.Volume)
		}
		return s.head.Replay(index, e, s.hasVolume)
	}, func(d *durable.Damage) { s.report([]*durable.Damage{d}) })
	if err != nil {
		return fmt.Errorf("store: replay of the journal: %w", err)
	}
	found := s.head.FinishReplay()
	s.unplaced.Store(found.Lost > 0)
	s.log.Info("journal replayed", "records", found.Records, "frames", found.Frames, "lost", found.Lost,
		"duration", time.Since(started).Round(time.Millisecond))
	s.queryable = query.New(s.dictionary, data{s}, s.config.query())
	return nil
}

// hasVolume says whether what the journal says of a volume counts.
func (s *Store) hasVolume(number uint64) bool {
	return s.volumes.Has(number) || s.elsewhere != nil && s.elsewhere(number)
}

// Queryable answers queries over everything that was appended, whether it is
// durable yet or not.
func (s *Store) Queryable() storage.Queryable { return s.queryable }

// Ledger is the book of what is missing.
func (s *Store) Ledger() *ledger.Ledger { return s.ledger }

// Run waits until ctx is done. The store works by itself, and mends itself: when the
// disk fails, workers keep what they have until it is well again.
func (s *Store) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Close makes everything durable that was appended, and frees the directory.
// Sessions refuse from then on. Calling it again does nothing.
func (s *Store) Close() error {
	if s.closing.Swap(true) {
		return nil
	}
	s.head.Close() // waits for appends that are under way
	close(s.stop)
	s.done.Wait()
	err := s.commit()
	s.passing.Lock()
	defer s.passing.Unlock()
	if err == nil {
		err = s.schemaLog.bounds()
	}
	return errors.Join(err, s.journal.Close(), s.volumes.Close(), s.ledger.Close(), s.schemaLog.close(), s.lock.Close())
}

// teardown are steps to undo, the newest first.
type teardown []func() error

func (t *teardown) add(step func() error) { *t = append(*t, step) }

func (t teardown) run() (err error) {
	for i := len(t) - 1; i >= 0; i-- {
		err = errors.Join(err, t[i]())
	}
	return err
}
