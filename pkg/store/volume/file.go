package volume

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/block"
)

// Info says what a volume is. It stays true when the volume is gone.
type Info struct {
	Number  uint64
	Tier    Tier
	Created time.Time
	// First and Last are the times of the first and the last entry.
	First, Last model.Millis
	Rows        uint64
	Blocks      int // entries without a block included
	Bytes       int64
}

// File is a volume that is mapped. It may be used by any number of goroutines as long
// as somebody holds it: see Acquire.
type File struct {
	path  string
	info  Info
	deps  Deps
	data  []byte
	unmap func() error
	users atomic.Int64

	footer  footer // without meaning when made is there from the beginning
	table   []byte // its pages
	checked []atomic.Uint64
	made    atomic.Pointer[madeIndex] // instead of the index of the file, when that is damaged
	making  sync.Mutex                // held while made is made
}

// openFile maps a volume. The file is nil when nothing of it can be read, which damages
// say. The error is one of the file system, or wraps ErrNewerFormat. The file is held
// once, by the caller.
func openFile(dir string, number uint64, tier Tier, deps Deps) (*File, []*Damage, error) {
	f := &File{path: filepath.Join(dir, fileName(number, tier)), deps: deps}
	var err error
	if f.data, f.unmap, err = deps.FS.Map(f.path); err != nil {
		return nil, nil, diskError("open volume", f.path, err)
	}
	f.users.Store(1)
	damages, err := f.open(number, tier)
	if err != nil {
		f.Release()
		return nil, nil, fmt.Errorf("open volume %q: %w", f.path, err)
	}
	if f.info.Blocks == 0 {
		f.Release()
		return nil, damages, nil
	}
	return f, damages, nil
}

// open reads header, footer and table. Without entries, nothing of it can be read.
func (f *File) open(number uint64, tier Tier) ([]*Damage, error) {
	damages, err := f.readEnds(number, tier)
	if err != nil || f.info.Number == 0 {
		return damages, err
	}
	if f.table != nil {
		f.checked = make([]atomic.Uint64, (f.footer.pages()+63)/64)
		f.deps.FS.Advise(f.data[:f.footer.index]) // not the index
		return damages, nil
	}
	f.deps.FS.Advise(f.data)
	made, found := f.make()
	f.made.Store(made)
	if f.footer.entries == 0 {
		f.info = made.info(f.info)
	}
	if len(made.entries) == 0 {
		f.info.Blocks = 0
	}
	return append(damages, found...), nil
}

// readEnds reads header, footer and table. The footer has no entries if it cannot be read,
// table is nil if that cannot be, the number is 0 if there is neither header nor footer.
func (f *File) readEnds(number uint64, tier Tier) (damages []*Damage, err error) {
	size := int64(len(f.data))
	header, headerErr := guarded(parseHeader, f.data)
	footer, footerErr := guarded(parseFooter, f.data)
	for _, err := range []error{headerErr, footerErr} {
		if errors.Is(err, ErrNewerFormat) {
			return nil, err
		}
	}
	if headerErr == nil {
		headerErr = header.is(number, tier)
	}
	if footerErr == nil {
		footerErr = footer.is(number, tier)
	}
	if headerErr != nil {
		damages = append(damages, f.damage(0, min(headerSize, size), headerErr.Error()))
	}
	if footerErr != nil {
		at := max(0, size-footerSize)
		damages = append(damages, f.damage(at, size-at, footerErr.Error()))
	}
	if headerErr != nil && footerErr != nil {
		return damages, nil
	}
	id := header
	if headerErr != nil {
		id = footer.identity
	}
	f.info = Info{Number: id.number, Tier: id.tier, Created: id.created, Bytes: size}
	if footerErr != nil {
		return damages, nil
	}
	f.footer = footer
	f.info.First, f.info.Last, f.info.Rows, f.info.Blocks = footer.first, footer.last, footer.rows, int(footer.entries)
	f.table = f.data[footer.tableAt():footer.tableEnd()]
	if bad := f.sumOf(f.table, footer.table); bad != "" {
		damages = append(damages, f.damage(footer.tableAt(), int64(len(f.table)), "table: "+bad))
		f.table = nil
	}
	return damages, nil
}

// is checks that a volume is what its name says.
func (id identity) is(number uint64, tier Tier) error {
	if id.number != number || id.tier != tier {
		return fmt.Errorf("is volume %s", fileName(id.number, id.tier))
	}
	return nil
}

// guarded parses mapped bytes.
func guarded[T any](parse func([]byte) (T, error), b []byte) (t T, err error) {
	defer caught(&err, debug.SetPanicOnFault(true))
	return parse(b)
}

// sumOf compares the checksum of mapped bytes; "" if it fits.
func (f *File) sumOf(b []byte, want uint32) (bad string) {
	sum, err := guarded(func(b []byte) (uint32, error) { return checksum(b), nil }, b)
	switch {
	case err != nil:
		return err.Error()
	case sum != want:
		return "checksum does not match"
	}
	return ""
}

func (f *File) damage(at, length int64, why string) *Damage {
	return &Damage{File: f.path, Offset: at, Length: length, Why: why}
}

// Info says what the volume is.
func (f *File) Info() Info { return f.info }

// String is the path, so that a log does not show the bytes.
func (f *File) String() string { return f.path }

// Path is the file's.
func (f *File) Path() string { return f.path }

// Number names the volume.
func (f *File) Number() uint64 { return f.info.Number }

// Tier says what its rows are.
func (f *File) Tier() Tier { return f.info.Tier }

// Range gives the times of the first and the last entry.
func (f *File) Range() (first, last model.Millis) { return f.info.First, f.info.Last }

// Size is that of the file, in bytes.
func (f *File) Size() int64 { return f.info.Bytes }

// Blocks is the number of entries.
func (f *File) Blocks() int { return f.info.Blocks }

// overlaps says whether the volume may have rows from mint to maxt, inclusive.
func (f *File) overlaps(mint, maxt model.Millis) bool {
	return f.info.First <= maxt && f.info.Last >= mint
}

// Acquire holds the file until Release is called as often. It reports false when
// nobody holds it any more: then it is unmapped.
func (f *File) Acquire() bool {
	for {
		n := f.users.Load()
		if n <= 0 {
			return false
		}
		if f.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Release lets the file go. Whoever is the last unmaps it: its bytes must not be used
// after that.
func (f *File) Release() {
	switch n := f.users.Add(-1); {
	case n == 0:
		f.unmap() // of a mapping that is there: it cannot fail
	case n < 0:
		panic("volume: file " + f.path + " released too often")
	}
}

// Block opens the block of an entry that Find gave. It reads the block's directory
// only. The block aliases the mapping: it must not be used after Release, and what it
// reads from there must be guarded (Guard). reuse may be nil.
//
// The error is a *Damage, ErrNoBlock, or ErrClosed when nobody holds the file any more.
func (f *File) Block(e Entry, reuse *block.Block) (*block.Block, error) {
	switch {
	case e.Size == 0:
		return nil, fmt.Errorf("volume %q: %w", f.path, ErrNoBlock)
	case f.unmapped():
		return nil, fmt.Errorf("volume %q: %w", f.path, ErrClosed)
	}
	if e.Offset < headerSize+headSize || e.end() > int64(len(f.data)) {
		return nil, f.damage(e.Offset, int64(e.Size), fmt.Sprintf("block is outside of a file of %d bytes", len(f.data)))
	}
	if reuse == nil {
		reuse = new(block.Block)
	}
	if err := reopen(reuse, f.data[e.Offset:e.end():e.end()]); err != nil {
		return nil, f.Locate(e, err)
	}
	if bad := e.disagrees(reuse); bad != "" {
		return nil, f.damage(e.Offset, int64(e.Size), bad)
	}
	return reuse, nil
}

func reopen(b *block.Block, data []byte) (err error) {
	defer caught(&err, debug.SetPanicOnFault(true))
	return b.Reopen(data)
}

// Locate makes a *Damage, which names file and offset, of what reading the block of the
// entry has found: a *block.Damage, block.ErrVersion or a *Fault. Other errors are
// returned as they are.
func (f *File) Locate(e Entry, err error) error {
	var inBlock *block.Damage
	var fault *Fault
	at := e.Offset
	switch {
	case errors.As(err, &inBlock):
		if inBlock.Section != block.SectionDirectory { // its checksum covers the header too
			at += int64(inBlock.Offset)
		}
	case errors.As(err, &fault):
		if offset := fault.Addr - uintptr(unsafe.Pointer(unsafe.SliceData(f.data))); offset < uintptr(len(f.data)) {
			at = int64(offset)
		}
	case !errors.Is(err, block.ErrVersion):
		return err
	}
	return &Damage{File: f.path, Offset: at, Length: max(0, e.end()-at), Why: err.Error(), Err: err}
}
