package volume

import "fmt"

// Sealed returns the bytes of the block of an entry that Find gave, as they are in the
// file: for a copy in another volume. They are not checked, and valid as long as the file
// is held; reading them must be guarded (Guard).
//
// The error is a *Damage, ErrNoBlock, or ErrClosed when nobody holds the file any more.
func (f *File) Sealed(e Entry) ([]byte, error) {
	switch {
	case e.Size == 0:
		return nil, fmt.Errorf("volume %q: %w", f.path, ErrNoBlock)
	case f.unmapped():
		return nil, fmt.Errorf("volume %q: %w", f.path, ErrClosed)
	case e.Offset < headerSize+headSize || e.end() > int64(len(f.data)):
		return nil, f.damage(e.Offset, int64(e.Size), fmt.Sprintf("block is outside of a file of %d bytes", len(f.data)))
	}
	return f.data[e.Offset:e.end():e.end()], nil
}
