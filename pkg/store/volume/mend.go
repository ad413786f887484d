package volume

import (
	"fmt"
	"slices"
	"sort"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// madeIndex is made of the heads in front of the items, and of what is left of the
// index, when the file's own is damaged. It takes some 72 bytes of memory an entry.
type madeIndex struct {
	entries []Entry // sorted
	chunks  []chunk // sorted by kind
	lost    *Damage // by which entries may be lost, or nil
}

// err is the damage that has cost entries, as an error.
func (m *madeIndex) err() error {
	if m.lost == nil {
		return nil
	}
	return m.lost
}

func (m *madeIndex) find(dst []Entry, k Key, mint, maxt model.Millis) ([]Entry, error) {
	i := sort.Search(len(m.entries), func(i int) bool { return m.entries[i].Compare(k) >= 0 })
	for ; i < len(m.entries) && m.entries[i].Key == k && m.entries[i].First <= maxt; i++ {
		if m.entries[i].Last >= mint {
			dst = append(dst, m.entries[i])
		}
	}
	return dst, m.err()
}

// info counts what there is, for a file without a footer.
func (m *madeIndex) info(i Info) Info {
	i.Blocks, i.Rows = len(m.entries), 0
	for n := range m.entries {
		e := &m.entries[n]
		if n == 0 {
			i.First, i.Last = e.First, e.Last
		}
		i.First, i.Last, i.Rows = min(i.First, e.First), max(i.Last, e.Last), i.Rows+uint64(e.Rows)
	}
	return i
}

// mend makes the index anew, once, and reports what is damaged.
func (f *File) mend() *madeIndex {
	f.making.Lock()
	defer f.making.Unlock()
	if made := f.made.Load(); made != nil {
		return made
	}
	made, damages := f.make()
	f.made.Store(made)
	for _, d := range damages {
		f.deps.OnDamage(d)
	}
	return made
}

// make puts together what the index and the heads tell. The footer has no entries when it
// cannot be read, table is nil when that cannot be.
func (f *File) make() (*madeIndex, []*Damage) {
	entries, damages := f.indexed()
	made := &madeIndex{entries: entries}
	if f.table != nil {
		made.chunks = f.tableChunks()
	}
	w := f.walk(made.entries, made.chunks)
	w.run(func(e Entry, k kind) {
		switch {
		case k == kindBlock:
			made.entries = append(made.entries, e)
		case k.definitions():
			made.chunks = append(made.chunks, chunk{k, e.Offset, e.Size})
		}
	})
	slices.SortFunc(made.entries, func(a, b Entry) int { return a.order(&b) })
	made.entries = slices.Compact(made.entries)
	slices.SortFunc(made.chunks, chunk.order)
	made.chunks = slices.Compact(made.chunks)
	made.lost = w.lost(len(made.entries), int(f.footer.entries))
	return made, append(damages, w.damages...)
}

// indexed reads what can be read of the index, and says what cannot. Heads have checksums
// of their own, so those of a damaged page serve all the same.
func (f *File) indexed() (entries []Entry, damages []*Damage) {
	for i := range f.footer.pages() {
		from := f.footer.index + int64(i)*pageSize
		page := f.data[from:min(from+pageSize, f.footer.tableAt())]
		found := len(damages)
		err := Guard(func() error {
			for at := 0; at < len(page); at += headSize {
				if e, k, ok := parseHead(page[at:]); ok && k == kindBlock {
					entries = append(entries, e)
				} else {
					damages = append(damages, f.damage(from+int64(at), headSize, "index: checksum does not match"))
				}
			}
			if f.table != nil && found == len(damages) && checksum(page) != f.pageSum(i) {
				damages = append(damages, f.damage(from, int64(len(page)), "index: checksum of a page does not match"))
			}
			return nil
		})
		if err != nil {
			damages = append(damages, f.damage(from, int64(len(page)), "index: "+err.Error()))
		}
	}
	return entries, damages
}

// walk goes from item to item by their heads.
type walk struct {
	file    *File
	known   []int64 // where heads are to be, sorted; some, or none
	damages []*Damage
	whole   bool  // the end was seen, and no gap
	end     int64 // where the items end; 0 if that was not seen
	said    int   // how many entries the end has counted
}

// walk prepares to go through the items, with the help of those that are known.
func (f *File) walk(entries []Entry, chunks []chunk) *walk {
	w := &walk{file: f}
	for i := range entries {
		w.known = append(w.known, entries[i].Offset-headSize)
	}
	for _, c := range chunks {
		w.known = append(w.known, c.offset-headSize)
	}
	if f.footer.entries > 0 {
		w.known = append(w.known, f.footer.index-headSize)
	}
	slices.Sort(w.known)
	return w
}

// run visits every item whose head is whole and that is wholly there. Behind a damaged
// head it goes on at the next known one.
func (w *walk) run(visit func(Entry, kind)) {
	data := w.file.data
	w.whole = true
	for at := int64(headerSize); ; {
		e, k, bad := w.head(at)
		if bad == "" {
			if k == kindEnd {
				w.end, w.said = e.Offset, int(e.Rows)
				return
			}
			visit(e, k)
			at = e.end()
			continue
		}
		w.whole = false
		next := int64(len(data))
		i, _ := slices.BinarySearch(w.known, at+1)
		if i < len(w.known) {
			next = w.known[i]
		}
		w.damages = append(w.damages, w.file.damage(at, min(headSize, int64(len(data))-at), bad))
		if i == len(w.known) {
			return
		}
		at = next
	}
}

// head reads the head at an offset, and says what is wrong with it or its item.
func (w *walk) head(at int64) (e Entry, k kind, bad string) {
	data := w.file.data
	if at > int64(len(data))-headSize {
		return e, k, fmt.Sprintf("file ends at byte %d, before its end", len(data))
	}
	var whole bool
	err := Guard(func() error {
		e, k, whole = parseHead(data[at:])
		return nil
	})
	switch {
	case err != nil:
		return e, k, err.Error()
	case !whole || e.Offset != at+headSize || k < kindBlock || k > kindEnd:
		return e, k, "head of an item: checksum does not match"
	case e.end() > int64(len(data)):
		return e, k, fmt.Sprintf("item of %d bytes in a file that ends at byte %d", e.Size, len(data))
	}
	return e, k, ""
}

// lost says by what entries are lost when so many are found, and as many are to be there;
// 0: not known.
func (w *walk) lost(found, want int) *Damage {
	if want == 0 && w.whole {
		want = w.said
	}
	if want > 0 && found >= want {
		return nil
	}
	if len(w.damages) > 0 {
		return w.damages[0]
	}
	return w.file.damage(headerSize, int64(len(w.file.data)), fmt.Sprintf("%d entries of %d", found, want))
}
