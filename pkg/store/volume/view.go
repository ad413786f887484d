package volume

import (
	"cmp"
	"errors"
	"slices"
	"sync/atomic"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// View holds volumes, so that they stay mapped until Release, even if they are
// removed meanwhile. Any number of goroutines may use it.
type View struct {
	files    []*File // by number
	released atomic.Bool
}

// Files holds the volumes of a tier that may have rows from mint to maxt, both included.
func (s *Set) Files(tier Tier, mint, maxt model.Millis) *View {
	return s.hold(func(f *File) bool { return f.info.Tier == tier && f.overlaps(mint, maxt) })
}

// All holds all volumes of all tiers.
func (s *Set) All() *View { return s.hold(func(*File) bool { return true }) }

func (s *Set) hold(wanted func(*File) bool) *View {
	s.mu.RLock()
	defer s.mu.RUnlock()
	v := new(View)
	for _, f := range s.files {
		if wanted(f) && f.Acquire() { // the set holds it: it cannot be gone
			v.files = append(v.files, f)
		}
	}
	return v
}

// Files are the volumes, by number. They are valid until Release.
func (v *View) Files() []*File { return v.files }

// Release lets the volumes go, once. No block of them may be used afterwards.
func (v *View) Release() {
	if v.released.Swap(true) {
		return
	}
	for _, f := range v.files {
		f.Release()
	}
}

// Located is an entry and the volume that it is in.
type Located struct {
	File *File
	Entry
}

// Find appends to dst the entries of a lane, from all volumes of the view, that have a time
// from mint to maxt, both included. They are in the order of their first times, of
// those with the same in the order in which they were written.
//
// The error joins what File.Find has returned; what is left is found.
func (v *View) Find(dst []Located, k Key, mint, maxt model.Millis) ([]Located, error) {
	var errs []error
	var few [4]Entry
	found := few[:0]
	start := len(dst)
	for _, f := range v.files {
		if !f.overlaps(mint, maxt) {
			continue
		}
		var err error
		if found, err = f.Find(found[:0], k, mint, maxt); err != nil {
			errs = append(errs, err)
		}
		for _, e := range found {
			dst = append(dst, Located{f, e})
		}
	}
	slices.SortFunc(dst[start:], func(a, b Located) int {
		return cmp.Or(cmp.Compare(a.First, b.First), a.File.order(b.File), cmp.Compare(a.Offset, b.Offset))
	})
	return dst, errors.Join(errs...)
}
