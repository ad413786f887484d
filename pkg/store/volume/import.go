package volume

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
)

// Import is a volume of another set that is about to become one of this one. For one
// goroutine.
type Import struct {
	set    *Set
	source *File
	writer *Writer
}

// Import copies a volume of another set, which does not change, into this one under the next
// number: header and footer name that, everything else stays as it is. The volume comes
// into the set by Publish. It returns nil when the set has the same volume already,
// under whatever number.
//
// A volume whose header, footer or table is damaged is refused, with a *Damage. The rest of
// the file is copied as it is: see File.Verify. Other errors wrap ErrNewerFormat,
// durable.ErrFull, durable.ErrDisk, ErrClosed, or are those of ctx.
func (s *Set) Import(ctx context.Context, path string) (*Import, error) {
	source, damages, err := OpenFile(path, s.deps)
	if err != nil {
		return nil, err
	}
	if len(damages) > 0 {
		if source != nil {
			source.Release()
		}
		return nil, damages[0]
	}
	if s.hasSame(source) {
		source.Release()
		return nil, nil
	}
	w, err := s.Create(source.info.Tier)
	if err != nil {
		source.Release()
		return nil, err
	}
	w.created = source.info.Created
	w.buf = appendHeader(w.buf[:0], w.identity)
	if err := w.copyItems(ctx, source); err != nil {
		source.Release()
		return nil, errors.Join(err, w.Abort())
	}
	return &Import{s, source, w}, nil
}

// OpenFile opens a volume that is in no set: to look into it. The file is held once, by
// the caller; it is nil when nothing of it can be read, which the damages say.
func OpenFile(path string, deps Deps) (*File, []*Damage, error) {
	dir, name := filepath.Split(path)
	number, tier, rest, ok := parseName(name)
	if !ok || rest != "" {
		return nil, nil, fmt.Errorf("open volume %q: no name of a volume: %w", path, ErrInvalid)
	}
	return openFile(dir, number, tier, deps.withDefaults())
}

// hasSame says whether a volume is in the set that differs in nothing but its number.
func (s *Set) hasSame(file *File) bool {
	want := file.footer
	want.identity.number = 0
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, f := range s.files {
		has := f.footer
		has.identity.number = 0
		if has.created.Equal(want.created) {
			has.created = want.created
			if has == want {
				return true
			}
		}
	}
	return false
}

// copyItems writes everything that stands between the beginning of a header and the end of
// a footer.
func (w *Writer) copyItems(ctx context.Context, source *File) error {
	if err := w.flush(); err != nil {
		return err
	}
	body := source.data[headerSize : int64(len(source.data))-footerSize]
	for len(body) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		some := body[:min(bufferSize, len(body))]
		// By way of the buffer: what the disk cannot read is an error here, and not one of
		// the file that is written.
		if err := Guard(func() error { w.buf = append(w.buf[:0], some...); return nil }); err != nil {
			return err
		}
		if err := w.flush(); err != nil {
			return err
		}
		body = body[len(some):]
	}
	f := source.footer
	f.identity = w.identity
	w.buf = f.append(w.buf[:0])
	if err := w.flush(); err != nil {
		return err
	}
	return w.sync()
}

// Source is the volume that is imported: for its Definitions. It is valid until Publish or
// Abort.
func (i *Import) Source() *File { return i.source }

// Publish puts the volume into the set, and returns it. The error is one of Writer.Commit.
func (i *Import) Publish() (*File, error) {
	defer i.source.Release()
	file, err := i.writer.publish()
	if err != nil {
		return nil, err
	}
	i.set.Add(file)
	return file, nil
}

// Abort removes what was copied. After Publish it must not be called.
func (i *Import) Abort() error {
	i.source.Release()
	return i.writer.Abort()
}
