package durabletest

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// block is what a disk writes whole or not at all, in bytes. A write of several can
// be torn at any byte as well: not all caches are honest.
const block = 512

// Cut cuts the power. Whoever still uses this disk gets errors; what is returned is
// the disk as it is found afterwards, without faults and limit.
func (d *Disk) Cut(seed uint64) *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.off = true
	d.random = rand.New(rand.NewPCG(seed, 2))
	after := New(seed)
	after.now = d.now

	names := maps.Clone(d.lasting)
	switch d.random.IntN(3) {
	case 0: // none of the changes of names has come to the disk
	case 1: // the first ones have
		for _, c := range d.pending[:d.random.IntN(len(d.pending)+1)] {
			c.apply(names)
		}
	case 2: // any of them
		for _, c := range d.pending {
			if d.random.IntN(2) == 0 {
				c.apply(names)
			}
		}
	}
	found := map[*inode]*inode{} // one file may be found under two names
	for _, name := range slices.Sorted(maps.Keys(names)) {
		file := names[name]
		if found[file] == nil {
			content := file.survive(d)
			found[file] = &inode{data: content, synced: slices.Clone(content), modified: file.modified}
		}
		after.files[name], after.lasting[name] = found[file], found[file]
	}
	return after
}

// Kill ends the process that uses the disk: locks are free. What it wrote stays.
func (d *Disk) Kill() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.locks)
}

// survive returns what is on the disk of a file whose changes were not synced.
func (f *inode) survive(d *Disk) []byte {
	b := slices.Clone(f.synced)
	switch d.random.IntN(5) {
	case 0: // nothing of them
	case 1: // everything
		for _, c := range f.changes {
			b = c.apply(b)
		}
	case 2: // the first ones, the last of them torn
		if len(f.changes) == 0 {
			break
		}
		n := d.random.IntN(len(f.changes))
		for _, c := range f.changes[:n] {
			b = c.apply(b)
		}
		if c := f.changes[n]; c.data != nil {
			b = change{c.off, c.data[:d.random.IntN(len(c.data)+1)]}.apply(b)
		}
	case 3: // some blocks, the others are as before or, where nothing was, zeros
		for _, c := range f.changes {
			for _, piece := range c.blocks() {
				if d.random.IntN(2) == 0 {
					b = piece.apply(b)
				}
			}
		}
	case 4: // the size, and some blocks; the others hold what was on the disk there
		old := len(b)
		if n := len(f.data); n > old {
			b = append(b, make([]byte, n-old)...)
			for i := old; i < n; i++ {
				b[i] = byte(d.random.Uint32())
			}
		}
		for _, c := range f.changes {
			for _, piece := range c.blocks() {
				if c.data != nil && d.random.IntN(2) == 0 {
					b = piece.apply(b)
				}
			}
		}
	}
	return b
}

// blocks cuts a write where the blocks of the disk begin.
func (c change) blocks() (pieces []change) {
	if c.data == nil {
		return []change{c}
	}
	for data, off := c.data, c.off; len(data) > 0; {
		n := min(len(data), int(block-off%block))
		pieces = append(pieces, change{off, data[:n]})
		data, off = data[n:], off+int64(n)
	}
	return pieces
}
