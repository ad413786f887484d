package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Names in the folder.
const (
	recordsFolder     = "records"
	definitionsFolder = "definitions"
	cursorName        = "cursor"
	newSuffix         = ".new"
)

// cursor is what was acknowledged, as it is written down now and then. It may be old:
// then some records are sent again, which does no harm.
type cursor struct {
	newest model.Millis // of the newest frame ever taken
	boots  []cursorBoot
}

type cursorBoot struct {
	id   model.BootID
	done intervals
}

const (
	cursorMagic   = "CLDLSCUR"
	cursorVersion = 1
	// maxCursor bounds the file, in bytes.
	maxCursor = 8 << 20
)

func appendCursor(dst []byte, c cursor) []byte {
	begin := len(dst)
	dst = append(dst, cursorMagic...)
	dst = append(dst, cursorVersion)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(c.newest))
	dst = binary.AppendUvarint(dst, uint64(len(c.boots)))
	for _, b := range c.boots {
		dst = append(dst, b.id[:]...)
		dst = binary.AppendUvarint(dst, uint64(len(b.done)))
		last := uint64(0)
		for _, i := range b.done {
			dst = binary.AppendUvarint(dst, i.from-last)
			dst = binary.AppendUvarint(dst, i.to-i.from)
			last = i.to
		}
	}
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[begin:], crc32.MakeTable(crc32.Castagnoli)))
}

// parseCursor is the inverse of appendCursor. Of a version that is not known the
// error wraps ErrVersion.
func parseCursor(b []byte) (c cursor, err error) {
	const checksum = 4
	if len(b) < len(cursorMagic)+1+checksum || string(b[:len(cursorMagic)]) != cursorMagic {
		return c, fmt.Errorf("cursor of %d bytes: %w", len(b), errMalformed)
	}
	body, sum := b[:len(b)-checksum], binary.LittleEndian.Uint32(b[len(b)-checksum:])
	if crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)) != sum {
		return c, fmt.Errorf("cursor: checksum does not match: %w", errMalformed)
	}
	p := parser{b: body[len(cursorMagic):]}
	if version := p.byte(); version != cursorVersion {
		return c, fmt.Errorf("cursor: version %d, known is %d: %w", version, cursorVersion, ErrVersion)
	}
	c.newest = model.Millis(binary.LittleEndian.Uint64(p.bytes(8)))
	for range p.number(uint64(len(p.b))) {
		var one cursorBoot
		copy(one.id[:], p.bytes(len(one.id)))
		last := uint64(0)
		for range p.number(uint64(len(p.b))) {
			from := last + p.number(maxNumber)
			last = from + p.number(maxNumber)
			one.done.add(from, last)
			if p.bad || last > maxNumber {
				return cursor{}, fmt.Errorf("cursor: %w", errMalformed)
			}
		}
		c.boots = append(c.boots, one)
	}
	if p.bad || len(p.b) > 0 {
		return cursor{}, fmt.Errorf("cursor: %w", errMalformed)
	}
	return c, nil
}

// cursorFile is the file, replaced as a whole.
type cursorFile struct {
	fs   durable.FS
	dir  string
	path string
	buf  []byte
}

func newCursorFile(fs durable.FS, dir string) cursorFile {
	return cursorFile{fs: fs, dir: dir, path: filepath.Join(dir, cursorName)}
}

// load reads the file. One that is missing or damaged is as good as an empty one:
// damaged says so.
func (f *cursorFile) load() (c cursor, damaged error, err error) {
	file, err := f.fs.Open(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil, nil
	}
	if err != nil {
		return c, nil, err
	}
	defer file.Close()
	b, err := io.ReadAll(io.NewSectionReader(file, 0, maxCursor))
	if err != nil {
		return c, err, nil
	}
	c, err = parseCursor(b)
	if errors.Is(err, ErrVersion) {
		return c, nil, fmt.Errorf("%q: %w", f.path, err)
	}
	return c, err, nil
}

// save replaces the file. sync makes it outlive a power cut; without it, an old or
// no cursor may be found then.
func (f *cursorFile) save(c cursor, sync bool) error {
	begun := f.path + newSuffix
	if err := f.fs.Remove(begun); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := f.fs.Create(begun)
	if err != nil {
		return err
	}
	f.buf = appendCursor(f.buf[:0], c)
	_, err = file.WriteAt(f.buf, 0)
	if err == nil && sync {
		err = file.Sync()
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = f.fs.Rename(begun, f.path)
	}
	if err == nil && sync {
		err = f.fs.SyncFolder(f.dir)
	}
	return err
}

// saveCursor writes down what was acknowledged. The caller holds writer.
func (s *Spool) saveCursor(sync bool) error {
	// A frame that a power cut may still take must not be in it: the gap that tells of
	// the time without frames begins with the newest.
	safe := s.records == nil || !s.missing(s.records.Synced(), s.records.Next())
	s.mu.Lock()
	if safe && len(s.pending.items) == 0 {
		s.sure = s.stats.Newest
	}
	c := cursor{newest: s.sure}
	for _, b := range s.boots {
		c.boots = append(c.boots, cursorBoot{b.start.id, append(intervals(nil), b.done...)})
	}
	s.stats.cursorChanged = false
	s.mu.Unlock()
	err := s.cursor.save(c, sync)
	if err != nil {
		s.mu.Lock()
		s.stats.cursorChanged = true
		s.mu.Unlock()
	}
	return err
}
