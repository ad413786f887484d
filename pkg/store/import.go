package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/store/snapshot"
	"github.com/cloudless-fleet/cloudless/pkg/store/volume"
)

// importing is the folder, in the store's, in which the journal of a snapshot is sealed. What
// a crash has left of it goes at the next start.
const importing = "import.new"

// Imported says what came by Import.
type Imported struct {
	Snapshot
	Volumes int    // that were taken over
	Rows    uint64 // of those volumes; rows that were there already may be among them
	Added   int64  // bytes of those volumes
	Known   int    // volumes that were here already
	Old     int    // volumes that are beyond the retention, and were left out
	Gaps    int    // entries of the ledger
}

// Import takes everything over from a snapshot that this store lacks, while everything goes
// on: volumes under new numbers, the snapshot's journal as one more volume, names of
// series, and entries of the ledger. Rows that are here as well are stored twice at worst,
// and queries show one of them. Importing a snapshot again changes nothing.
//
// What the snapshot knows of records that workers had sent is not taken over: they may send
// them again.
//
// The snapshot is checked first: the error is a *snapshot.Damage that names the file, and
// nothing was taken over then. Volumes whose index was damaged when the snapshot was made are
// left out; the error wraps a *volume.Damage of each, and everything else was taken
// over. Other errors wrap snapshot.ErrNone, durable.ErrFull,
// durable.ErrDisk, ErrBusy or ErrClosed, are a *Refusal while the disk is full, or that of ctx;
// volumes that were taken over by then stay, and the next try goes on behind them.
func (s *Store) Import(ctx context.Context, dir string) (_ Imported, err error) {
	if !s.importing.TryLock() {
		return Imported{}, fmt.Errorf("store: import: %w", ErrBusy)
	}
	defer s.importing.Unlock()
	s.rolls.rolling.Lock() // or a volume would come that a rollup is thought to contain
	defer s.rolls.rolling.Unlock()
	defer func() {
		if err != nil {
			err = fmt.Errorf("store: import: %w", err)
		}
	}()
	started := time.Now()
	m, damages, err := snapshot.Check(ctx, s.deps.FS, dir)
	if err != nil {
		return Imported{}, err
	}
	for _, d := range damages {
		return Imported{}, d
	}
	i := importer{store: s, dir: dir, scratch: filepath.Join(s.config.Dir, importing), manifest: m}
	i.done.Snapshot = snapshotOf(dir, m)
	if err := i.run(ctx); err != nil {
		return i.done, err
	}
	s.log.Info("snapshot imported", "path", dir, "volumes", i.done.Volumes, "rows", i.done.Rows, "known", i.done.Known, "old", i.done.Old,
		"gaps", i.done.Gaps, "duration", time.Since(started).Round(time.Millisecond))
	return i.done, nil
}

// importer is one Import.
type importer struct {
	store    *Store
	dir      string // of the snapshot
	scratch  string
	manifest snapshot.Manifest
	done     Imported
	damaged  []error // volumes that were left out
}

func (i *importer) run(ctx context.Context) (err error) {
	fs := i.store.deps.FS
	if err := snapshot.Remove(fs, i.scratch); err != nil { // of an earlier one that was killed
		return err
	}
	defer func() { err = errors.Join(err, snapshot.Remove(fs, i.scratch)) }()
	var volumes []string
	numbers := map[uint64]bool{}
	for _, f := range i.manifest.Files {
		if folder, name := path.Split(f.Path); folder == volumesName+"/" {
			if number, is := volume.NumberOf(name); is && !strings.HasSuffix(name, volume.Raw.String()) {
				continue // a rollup says what the volumes of its own store have: it is made anew
			} else if is {
				numbers[number] = true
				volumes = append(volumes, filepath.Join(i.dir, volumesName, name))
			}
		}
	}
	sealed, err := i.sealJournal(ctx, numbers)
	if err != nil {
		return fmt.Errorf("seal the journal of %q: %w", i.dir, err)
	}
	for _, path := range append(volumes, sealed...) {
		err := i.volume(ctx, path)
		if damage := (*volume.Damage)(nil); errors.As(err, &damage) {
			i.damaged = append(i.damaged, err)
		} else if err != nil {
			return errors.Join(append(i.damaged, err)...)
		}
	}
	return errors.Join(append(i.damaged, i.store.ledger.Sync())...)
}

// sealJournal makes a store of the snapshot but for its volumes, seals what is in its journal,
// and takes over its ledger. It returns the volumes that this makes. They are the same
// each time, down to when they were made: so a second import knows them.
func (i *importer) sealJournal(ctx context.Context, volumes map[uint64]bool) (sealed []string, err error) {
	s := i.store
	notVolumes := func(f snapshot.File) bool { return !strings.HasPrefix(f.Path, volumesName+"/") }
	if err := snapshot.Copy(ctx, s.deps.FS, i.dir, s.deps.FS, i.scratch, i.manifest, notVolumes); err != nil {
		return nil, err
	}
	config, deps := s.config, s.deps
	config.Dir = i.scratch
	deps.Log = s.log.With("import", filepath.Base(i.dir))
	deps.Now = func() time.Time { return i.manifest.Created }
	scratch, err := openQuiet(config, deps, func(number uint64) bool { return volumes[number] })
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, scratch.Close()) }()
	if err := scratch.Pass(); err != nil {
		return nil, err
	}
	i.done.Gaps = s.ledger.Merge(scratch.ledger)
	made := scratch.volumes.All()
	defer made.Release()
	for _, f := range made.Files() {
		sealed = append(sealed, f.Path())
	}
	return sealed, nil
}

// volume takes over a volume, unless it is here already.
func (i *importer) volume(ctx context.Context, path string) error {
	s := i.store
	if refusal := s.accepts(); refusal != nil {
		return refusal
	}
	if old, err := s.beyond(path); err != nil {
		return err
	} else if old {
		i.done.Old++
		return nil
	}
	taken, err := s.volumes.Import(ctx, path)
	if err != nil {
		return err
	}
	if taken == nil {
		i.done.Known++
		return nil
	}
	s.passing.Lock() // or retention would forget the names before the volume is there
	defer s.passing.Unlock()
	if s.closing.Load() {
		return errors.Join(ErrClosed, taken.Abort())
	}
	if err := s.learn(taken.Source()); err != nil {
		return errors.Join(err, taken.Abort())
	}
	file, err := taken.Publish()
	if err != nil {
		return err
	}
	s.published.Add(1)
	i.done.Volumes++
	i.done.Rows += file.Info().Rows
	i.done.Added += file.Size()
	return nil
}

// beyond says whether a volume is older than those of its tier are kept.
func (s *Store) beyond(path string) (bool, error) {
	file, damages, err := volume.OpenFile(path, volume.Deps{FS: s.deps.FS})
	if err != nil {
		return false, err
	}
	if len(damages) > 0 {
		err = damages[0]
	}
	if file == nil {
		return false, err
	}
	defer file.Release()
	age := s.retention().Age[file.Tier()]
	_, last := file.Range()
	return err == nil && age > 0 && int64(last) < s.now().Add(-age).UnixMilli(), err
}

// openQuiet opens a store that does nothing by itself: it has no goroutines. hasVolume says
// which volumes count as there besides its own.
func openQuiet(config Config, deps Deps, hasVolume func(number uint64) bool) (*Store, error) {
	s, opened, err := openStore(config, deps, hasVolume)
	if err != nil {
		return nil, errors.Join(err, opened.run())
	}
	return s, nil
}

// tidy ends a restore that was interrupted, and removes what was left of an import.
func tidy(disk durable.FS, dir string) (restored bool, err error) {
	if restored, err = snapshot.Finish(disk, dir); err != nil {
		return false, err
	}
	if err := snapshot.Remove(disk, filepath.Join(dir, importing)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	return restored, nil
}
