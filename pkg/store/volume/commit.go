package volume

import (
	"encoding/binary"
	"errors"
)

const sumSize = 4

// appendSum appends the checksum of what is behind start.
func appendSum(dst []byte, start int) []byte {
	return binary.LittleEndian.AppendUint32(dst, checksum(dst[start:]))
}

// Commit ends the volume, makes it last, gives it its name and opens it. The file is the
// caller's, who lets it go or gives it to a Set.
//
// When it fails, nothing is left: durable.ErrFull, durable.ErrDisk, ErrEmpty, ErrClosed. If
// not even that can be removed, a volume may turn up at the next start that is whole.
func (w *Writer) Commit() (*File, error) {
	if err := w.failed(); err != nil {
		return nil, errors.Join(err, w.Abort())
	}
	if len(w.entries) == 0 {
		return nil, errors.Join(ErrEmpty, w.Abort())
	}
	if err := w.end(); err != nil {
		return nil, errors.Join(err, w.Abort())
	}
	if err := w.sync(); err != nil {
		return nil, errors.Join(err, w.Abort())
	}
	file, err := w.publish()
	if err != nil {
		return nil, err
	}
	return file, nil
}

// publish gives the synced file its name.
func (w *Writer) publish() (*File, error) {
	fs := w.deps.FS
	err := w.file.Close()
	w.file = nil
	if err != nil {
		err = diskError("close volume", w.newName(), err)
		return nil, errors.Join(err, fs.Remove(w.newName()))
	}
	if err := fs.Rename(w.newName(), w.name()); err != nil {
		err = diskError("name volume", w.name(), err)
		// Which of the names it has is not known.
		fs.Remove(w.name())
		fs.Remove(w.newName())
		return nil, err
	}
	if err := fs.SyncFolder(w.dir); err != nil {
		err = diskError("sync folder", w.dir, err)
		return nil, errors.Join(err, fs.Remove(w.name()))
	}
	file, damages, err := openFile(w.dir, w.number, w.tier, w.deps)
	if err == nil && len(damages) > 0 {
		file.Release()
		err = damages[0]
	}
	if err != nil {
		return nil, errors.Join(err, fs.Remove(w.name()))
	}
	return file, nil
}

// end writes what comes behind the blocks.
func (w *Writer) end() error {
	for k := kindParts; k <= kindSpans; k++ {
		if err := w.endChunk(k); err != nil {
			return err
		}
	}
	// The end counts, so that whoever goes from item to item knows that it saw all.
	end := Entry{Rows: uint32(len(w.entries)), Offset: w.Size() + headSize}
	if err := w.write(appendHead(nil, &end, kindEnd)); err != nil {
		return err
	}
	index := newIndex(w.identity, end.Offset, w.entries, w.chunks)
	for page := range index.pages() {
		if err := w.write(page); err != nil {
			return err
		}
	}
	if err := w.write(index.table); err != nil {
		return err
	}
	if err := w.write(index.footer.append(nil)); err != nil {
		return err
	}
	return w.flush()
}
