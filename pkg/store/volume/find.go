package volume

import (
	"encoding/binary"
	"runtime/debug"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Find appends to dst the entries of a lane that have a time from mint to maxt, both
// included, in the order of their first times.
//
// The error is a *Damage that may have cost entries, of this lane or others; those that are left
// are found.
func (f *File) Find(dst []Entry, k Key, mint, maxt model.Millis) ([]Entry, error) {
	if made := f.made.Load(); made != nil {
		return made.find(dst, k, mint, maxt)
	}
	found, ok := f.find(dst, seek(k), mint, maxt)
	if ok {
		return found, nil
	}
	return f.mend().find(dst, k, mint, maxt)
}

// find looks into the index of the file. ok is false when that is damaged.
func (f *File) find(dst []Entry, s sought, mint, maxt model.Millis) (_ []Entry, ok bool) {
	var fault error
	defer caught(&fault, debug.SetPanicOnFault(true)) // then ok is false, as after any other damage
	n := f.footer.pages()
	// The lane may begin in the page before the first that begins with it.
	page := s.search(f.table, pageEntry, n)
	for page = max(0, page-1); page < n; page++ {
		heads := f.page(page)
		if heads == nil {
			return dst, false
		}
		m := len(heads) / headSize
		for i := s.search(heads, headSize, m); i < m; i++ {
			head := heads[i*headSize:][:headSize]
			if s.compare(head) != 0 || firstOf(head) > maxt {
				return dst, true
			}
			if lastOf(head) < mint {
				continue
			}
			e, k, whole := parseHead(head)
			if !whole || k != kindBlock {
				return dst, false
			}
			dst = append(dst, e)
		}
	}
	return dst, true
}

// page returns the heads of a page of the index, nil if they are damaged. They are checked
// when they are used first.
func (f *File) page(i int) []byte {
	from := f.footer.index + int64(i)*pageSize
	heads := f.data[from:min(from+pageSize, f.footer.tableAt())]
	bits, bit := &f.checked[i/64], uint64(1)<<(i%64)
	if bits.Load()&bit == 0 {
		if checksum(heads) != f.pageSum(i) {
			return nil
		}
		bits.Or(bit)
	}
	return heads
}

// Each visits all entries, in the order of their keys and first times. When visit fails,
// its error is returned, otherwise a *Damage that may have cost entries.
func (f *File) Each(visit func(Entry) error) error {
	made := f.made.Load()
	visited := 0
	var entries []Entry
	for i := 0; made == nil && i < f.footer.pages(); i++ {
		var ok bool
		if entries, ok = f.entries(entries[:0], i); !ok {
			made = f.mend() // what was visited is the beginning of it
			break
		}
		for _, e := range entries {
			if err := visit(e); err != nil {
				return err
			}
		}
		visited += len(entries)
	}
	if made == nil {
		return nil
	}
	for _, e := range made.entries[visited:] {
		if err := visit(e); err != nil {
			return err
		}
	}
	return made.err()
}

// entries appends what a page of the index holds. ok is false if it is damaged.
func (f *File) entries(dst []Entry, page int) (_ []Entry, ok bool) {
	err := Guard(func() error {
		heads := f.page(page)
		ok = heads != nil
		for ; ok && len(heads) > 0; heads = heads[headSize:] {
			e, k, whole := parseHead(heads)
			ok = whole && k == kindBlock
			dst = append(dst, e)
		}
		return nil
	})
	return dst, ok && err == nil
}

// pageSum is the checksum of a page that the table tells.
func (f *File) pageSum(page int) uint32 {
	return binary.LittleEndian.Uint32(f.table[page*pageEntry+keySize+8:])
}
