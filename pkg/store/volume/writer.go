package volume

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/block"
)

// Deps are what volumes need of the outside. Fields that are nil have the defaults
// that are named here.
type Deps struct {
	FS  FS               // OS()
	Now func() time.Time // time.Now
	// OnDamage is told of damage that is found after Open, once for each thing that is
	// hit outside of blocks. It is called by whoever reads, with a lock of the file
	// held: it must not use the file. Damage inside of a block is returned only.
	OnDamage func(*Damage)
}

func (d Deps) withDefaults() Deps {
	if d.FS == nil {
		d.FS = OS()
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.OnDamage == nil {
		d.OnDamage = func(*Damage) {}
	}
	return d
}

const (
	// bufferSize is how many bytes are written at once.
	bufferSize = 256 << 10
	// syncEvery is after how many bytes the file is synced: so that there is never much
	// for one sync to write, behind which those of the journal would wait.
	syncEvery = 16 << 20
	// chunkTarget is the size from which on definitions become an item: what a
	// flipped byte among them costs.
	chunkTarget = 16 << 10
	// maxEntries bounds the index: a GiB.
	maxEntries = 1 << 24
)

// Writer makes a volume. After the first error of the disk all its methods return that error;
// what is left to do then is Abort, which Commit does by itself. For one goroutine.
type Writer struct {
	deps Deps
	dir  string
	identity
	file     durable.File // nil when it has ended
	buf      []byte
	written  int64 // bytes of the file before those of buf
	unsynced int64
	err      error

	entries []Entry
	block   block.Block // the last that was added
	chunks  []chunk
	pending [kindEnd]pending // definitions, by kind
	parts   map[frame.PartID]struct{}
	schemas map[frame.SchemaID]struct{}
	sources map[Key]struct{} // of stream 0
	spans   map[Span]struct{}
}

// pending are definitions that will be an item.
type pending struct {
	data  []byte
	count uint32
}

// Create begins a volume in a folder that is there. A Set has a Create of its own,
// which chooses the number.
func Create(dir string, number uint64, tier Tier, deps Deps) (*Writer, error) {
	deps = deps.withDefaults()
	w := &Writer{
		deps:     deps,
		dir:      dir,
		identity: identity{number, tier, deps.Now()},
		parts:    map[frame.PartID]struct{}{},
		schemas:  map[frame.SchemaID]struct{}{},
		sources:  map[Key]struct{}{},
		spans:    map[Span]struct{}{},
	}
	if err := checkIdentity(w.identity, make([]byte, 3)); err != nil {
		return nil, fmt.Errorf("create volume: %w: %w", err, ErrInvalid)
	}
	file, err := deps.FS.Create(w.newName())
	if err != nil {
		return nil, diskError("create volume", w.newName(), err)
	}
	w.file = file
	w.buf = appendHeader(make([]byte, 0, bufferSize+headSize), w.identity)
	return w, nil
}

func (w *Writer) name() string    { return filepath.Join(w.dir, fileName(w.number, w.tier)) }
func (w *Writer) newName() string { return w.name() + newSuffix }

// Number is that of the volume.
func (w *Writer) Number() uint64 { return w.number }

// Tier is that of the volume.
func (w *Writer) Tier() Tier { return w.tier }

// Size is how many bytes the volume has so far. Begin another before it is too large
// to be dropped as a whole.
func (w *Writer) Size() int64 { return w.written + int64(len(w.buf)) }

// Blocks is how many entries were added.
func (w *Writer) Blocks() int { return len(w.entries) }

// Add adds a block, and the entry by which it is to be found, in any order. Offset and Size are
// filled in; Rows, First and Last too when all three are zero. Otherwise First and Last must
// include the block's times. sealed is not kept. If it is empty, the entry has no
// block, and says by its flags what was at its time; Rows is then the caller's.
//
// ErrInvalid: the entry is not that of the block; the volume is as it was.
func (w *Writer) Add(e Entry, sealed []byte) error {
	if err := w.failed(); err != nil {
		return err
	}
	if err := w.check(&e, sealed); err != nil {
		return fmt.Errorf("add block to volume %d: %w", w.number, err)
	}
	e.Offset, e.Size = w.Size()+headSize, uint32(len(sealed))
	w.buf = appendHead(w.buf, &e, kindBlock)
	w.entries = append(w.entries, e)
	return w.write(sealed)
}

func (w *Writer) check(e *Entry, sealed []byte) error {
	switch {
	case len(w.entries) == maxEntries:
		return fmt.Errorf("%d blocks already: %w", len(w.entries), ErrInvalid)
	case int64(len(sealed)) > 1<<32-1 || w.Size()+int64(len(sealed)) > maxOffset/2:
		return fmt.Errorf("%d bytes: %w", len(sealed), ErrInvalid)
	case len(sealed) == 0 && e.First <= e.Last:
		return nil
	}
	if err := w.block.Reopen(sealed); err != nil {
		return fmt.Errorf("%w: %w", err, ErrInvalid)
	}
	if first, last := w.block.Range(); e.Rows == 0 && e.First == 0 && e.Last == 0 {
		e.Rows, e.First, e.Last = uint32(w.block.Rows()), first, last
	}
	if bad := e.disagrees(&w.block); bad != "" {
		return fmt.Errorf("%s: %w", bad, ErrInvalid)
	}
	return nil
}

// disagrees says what an entry has otherwise than its block, "" for nothing.
func (e *Entry) disagrees(b *block.Block) string {
	first, last := b.Range()
	if b.Worker() != e.Worker || b.Stream() != e.Stream || b.Rows() != int(e.Rows) || first < e.First || last > e.Last {
		return fmt.Sprintf("block of stream %d of %v, %d rows from %d to %d ms, where stream %d of %v is to be with %d rows from %d to %d",
			b.Stream(), b.Worker(), b.Rows(), first, last, e.Stream, e.Worker, e.Rows, e.First, e.Last)
	}
	return ""
}

// HasPart says whether the volume has the part, so that it need not be encoded again.
func (w *Writer) HasPart(id frame.PartID) bool { _, has := w.parts[id]; return has }

// HasSchema says whether the volume has the schema.
func (w *Writer) HasSchema(id frame.SchemaID) bool { _, has := w.schemas[id]; return has }

// Part adds an encoded part, unless it is there. It is not kept.
func (w *Writer) Part(encoded []byte) error {
	return define(w, kindParts, w.parts, frame.PartIDOf(encoded), encoded, appendEncoded)
}

// Schema adds an encoded schema, unless it is there. It is not kept.
func (w *Writer) Schema(encoded []byte) error {
	// Parts and schemas are named by their content in the same way.
	return define(w, kindSchemas, w.schemas, frame.SchemaID(frame.PartIDOf(encoded)), encoded, appendEncoded)
}

// Source adds a worker under its host labels, unless it is there.
func (w *Writer) Source(worker model.WorkerID, hostLabels []labels.Label) error {
	return define(w, kindSources, w.sources, KeyOf(worker, hostLabels, 0), hostLabels,
		func(dst []byte, hostLabels []labels.Label) []byte { return appendSource(dst, worker, hostLabels) })
}

// Span adds that a lane had a schema from one time to another, unless just that was added.
func (w *Writer) Span(k Key, schema frame.SchemaID, from, to model.Millis) error {
	s := Span{k, schema, from, to}
	if to < from {
		return fmt.Errorf("add span to volume %d: from %d to %d ms: %w", w.number, from, to, ErrInvalid)
	}
	return define(w, kindSpans, w.spans, s, s, appendSpan)
}

// define adds a definition that is not there. When enough of a kind are together
// they become an item.
func define[ID comparable, T any](w *Writer, k kind, known map[ID]struct{}, id ID, t T, encode func([]byte, T) []byte) error {
	if err := w.failed(); err != nil {
		return err
	}
	if _, has := known[id]; has {
		return nil
	}
	known[id] = struct{}{}
	p := &w.pending[k]
	p.data = encode(p.data, t)
	p.count++
	if len(p.data) < chunkTarget {
		return nil
	}
	return w.endChunk(k)
}

// endChunk makes an item of the definitions that wait.
func (w *Writer) endChunk(k kind) error {
	p := &w.pending[k]
	if p.count == 0 {
		return nil
	}
	e := Entry{Rows: p.count, Offset: w.Size() + headSize, Size: uint32(len(p.data) + sumSize)}
	w.chunks = append(w.chunks, chunk{k, e.Offset, e.Size})
	w.buf = appendHead(w.buf, &e, k)
	p.data = appendSum(p.data, 0)
	err := w.write(p.data)
	p.data, p.count = p.data[:0], 0
	return err
}

func (w *Writer) failed() error {
	if w.err == nil && w.file == nil {
		return fmt.Errorf("write volume %d: %w", w.number, ErrClosed)
	}
	return w.err
}

// write appends bytes to the file, by way of the buffer unless they are many.
func (w *Writer) write(b []byte) error {
	if len(w.buf)+len(b) > bufferSize {
		if err := w.flush(); err != nil {
			return err
		}
	}
	if len(b) > bufferSize {
		return w.put(b)
	}
	w.buf = append(w.buf, b...)
	return nil
}

func (w *Writer) flush() error {
	if len(w.buf) == 0 {
		return w.err
	}
	err := w.put(w.buf)
	w.buf = w.buf[:0]
	return err
}

// put writes to the file. An error lasts: after a failed sync it is not known what
// is on disk.
func (w *Writer) put(b []byte) error {
	if w.err != nil {
		return w.err
	}
	if _, err := w.file.WriteAt(b, w.written); err != nil {
		w.err = diskError("write volume", w.newName(), err)
		return w.err
	}
	w.written += int64(len(b))
	if w.unsynced += int64(len(b)); w.unsynced >= syncEvery {
		return w.sync()
	}
	return nil
}

func (w *Writer) sync() error {
	if err := w.file.Sync(); err != nil {
		w.err = diskError("sync volume", w.newName(), err)
	}
	w.unsynced = 0
	return w.err
}

// Abort removes the file. After Commit it does nothing.
func (w *Writer) Abort() error {
	if w.file == nil {
		return nil
	}
	err := errors.Join(w.file.Close(), w.deps.FS.Remove(w.newName()))
	w.file = nil
	if err != nil {
		return diskError("remove unfinished volume", w.newName(), err)
	}
	return nil
}
