package block

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"
)

// readAll opens and verifies a block.
func readAll(data []byte) error {
	b, err := Open(data)
	if err != nil {
		return err
	}
	return NewReader().Verify(b)
}

// sectionAt says which section the byte is in.
func sectionAt(t *testing.T, b *Block, at int) (section Section, part, offset int) {
	t.Helper()
	switch {
	case at < headerSize:
		return SectionHeader, -1, 0
	case at < b.times.at:
		return SectionDirectory, -1, headerSize
	case at < b.times.at+b.times.head+b.times.data:
		return SectionTimes, -1, b.times.at
	}
	for i, e := range b.parts {
		if at < e.place.at+e.place.head {
			return SectionHead, i, e.place.at
		}
		if at < e.place.at+e.place.head+e.place.data {
			return SectionValues, i, e.place.at + e.place.head
		}
	}
	t.Fatalf("byte %d is in no section", at)
	return "", 0, 0
}

func TestEveryFlippedByteIsFoundWhereItIs(t *testing.T) {
	flips := []byte{0x01, 0x80, 0xff}
	for step, s := range []stretch{anyStretch(4), anyStretch(7), newRecorded(t, 15, nil).block(1, 30)} {
		data := s.seal(t)
		whole, err := Open(data)
		if err != nil {
			t.Fatal(err)
		}
		r, b := NewReader(), new(Block)
		if err := r.Verify(whole); err != nil {
			t.Fatal(err)
		}
		bad := slices.Clone(data)
		for at := range data {
			for i, flip := range flips {
				if at%len(flips) != i || step > 0 && at%(5*step) > 0 {
					continue // all of them take too long
				}
				bad[at] ^= flip
				err := b.Reopen(bad)
				if err == nil {
					err = r.Verify(b)
				}
				bad[at] ^= flip
				section, part, offset := sectionAt(t, whole, at)
				if at == versionAt {
					if !errors.Is(err, ErrVersion) {
						t.Fatalf("version ^ %#x: error %v", flip, err)
					}
					continue
				}
				var damage *Damage
				if !errors.As(err, &damage) || !errors.Is(err, ErrDamaged) {
					t.Fatalf("byte %d of %d ^ %#x, in %s: error %v", at, len(data), flip, section, err)
				}
				if section == SectionHeader && damage.Section == SectionDirectory {
					continue // its checksum covers the header
				}
				if damage.Section != section || damage.Part != part || damage.Offset != offset {
					t.Fatalf("byte %d of %d ^ %#x, in %s %d at %d: error %v", at, len(data), flip, section, part, offset, err)
				}
			}
		}
	}
}

func TestDamageCostsOnlyThePartItHit(t *testing.T) {
	s := newRecorded(t, 15, nil).block(1, 30)
	data := s.seal(t)
	b, err := Open(data)
	if err != nil {
		t.Fatal(err)
	}
	hit := b.Parts() / 2
	for b.parts[hit].place.data == 0 {
		hit++
	}
	data[b.parts[hit].place.at+b.parts[hit].place.head] ^= 1
	r := NewReader()
	r.Reset(b)
	for part := range b.Parts() {
		if err := r.Select(part); err != nil {
			t.Fatal(err)
		}
		_, columns := s.columns(b.Part(part).ID)
		for c, want := range columns {
			v, err := r.Values(nil, c, 0, len(want))
			if r.section.columns[c].kind.constant() || part != hit {
				if err != nil || !sameBits(v, want) {
					t.Errorf("part %d column %d: error %v", part, c, err)
				}
			} else if !errors.Is(err, ErrDamaged) {
				t.Errorf("part %d column %d: error %v, want damage", part, c, err)
			}
			if got := r.Summary(c); got.Count != len(want) {
				t.Errorf("part %d column %d: summary %+v", part, c, got)
			}
		}
	}
}

func TestEveryTruncationAndExtensionIsFound(t *testing.T) {
	data := anyStretch(4).seal(t)
	for n := range data {
		if err := readAll(data[:n]); !errors.Is(err, ErrDamaged) {
			t.Fatalf("%d of %d bytes: error %v", n, len(data), err)
		}
	}
	if err := readAll(append(slices.Clone(data), 0)); !errors.Is(err, ErrDamaged) {
		t.Errorf("one byte more: error %v", err)
	}
}

func TestAnUnknownVersionIsRefused(t *testing.T) {
	data := anyStretch(4).seal(t)
	data[versionAt] = version + 1
	if _, err := Open(data); !errors.Is(err, ErrVersion) || errors.Is(err, ErrDamaged) {
		t.Errorf("got error %v, want %v", err, ErrVersion)
	}
}

// reseal makes all checksums and sizes true again, as far as the block can be
// followed, so that a fuzzer gets past them.
func reseal(data []byte) {
	if len(data) < headerSize+checksumSize {
		return
	}
	binary.LittleEndian.PutUint32(data[sizeAt:], uint32(len(data)))
	end := binary.LittleEndian.Uint32(data[directoryAt:])
	if end < headerSize+checksumSize || int64(end) > int64(len(data)) {
		return
	}
	binary.LittleEndian.PutUint32(data[end-checksumSize:], checksum(data[:end-checksumSize]))
	b, err := Open(data)
	if err != nil {
		return
	}
	resealSection(data, b.times)
	for _, e := range b.parts {
		resealSection(data, e.place)
	}
}

func resealSection(data []byte, p place) {
	if p.head < checksumSize {
		return
	}
	head := data[p.at : p.at+p.head]
	body := head[:p.head-checksumSize]
	r := reader{b: body}
	at := p.at + p.head
	for range r.count(p.columns, 3+checksumSize) {
		r.varint()
		r.varint()
		stored := r.count(p.data, 0)
		if r.half(); r.bad != "" || at+stored > p.at+p.head+p.data {
			break
		}
		binary.LittleEndian.PutUint32(body[r.at-checksumSize:], checksum(data[at:at+stored]))
		at += stored
	}
	binary.LittleEndian.PutUint32(head[len(body):], checksum(body))
}

// FuzzOpen takes any bytes for a block, with its checksums made true if so told. What is
// accepted must decode without a panic, in whole and in pieces alike.
func FuzzOpen(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(anyStretch(seed).seal(f), seed%2 == 0)
	}
	f.Add(newRecorded(f, 15, nil).block(1, 20).seal(f), true)
	r := NewReader()
	f.Fuzz(func(t *testing.T, data []byte, sealed bool) {
		if sealed {
			data = slices.Clone(data)
			reseal(data)
		}
		b, err := Open(data)
		if err != nil {
			if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrVersion) {
				t.Errorf("error %v", err)
			}
			return
		}
		r.Reset(b)
		for part := range b.Parts() {
			if err := r.Select(part); err != nil {
				wantDamage(t, err)
				continue
			}
			for c := range r.Columns() {
				r.Summary(c)
				rows := b.Part(part).Rows
				all, err := r.Values(nil, c, 0, rows)
				if err != nil {
					wantDamage(t, err)
					continue
				}
				from, to := rows/3, rows-rows/3
				if some, err := r.Values(nil, c, from, to); err != nil || !sameBits(some, all[from:to]) {
					t.Errorf("part %d column %d (%+v) rows %d to %d: error %v\ngot  %x\nwant %x", part, c, r.section.columns[c], from, to, err, some, all[from:to])
				}
				first, last := b.Range()
				if _, _, err := r.Column(nil, nil, c, first+(last-first)/3, last); err != nil {
					wantDamage(t, err)
				}
			}
		}
	})
}

func wantDamage(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, ErrDamaged) {
		t.Errorf("error %v, want damage", err)
	}
}
