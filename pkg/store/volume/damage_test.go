package volume

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/store/block"
)

// opened is what comes of a file with these bytes.
type opened struct {
	fs       memory
	set      *Set
	content  content
	errs     []error   // of reading
	found    []*Damage // by Open, while reading
	verified []*Damage
}

// openBytes puts bytes in place of the volume, opens it and reads it.
func openBytes(t testing.TB, data []byte) (o opened) {
	t.Helper()
	o.fs = newMemory()
	o.fs.SetContent(smallName, data)
	d := deps(o.fs)
	d.OnDamage = func(d *Damage) { o.found = append(o.found, d) }
	set, damages, err := Open(dir, d)
	check(t, err)
	o.set = set
	defer set.Close()
	o.found = append(damages, o.found...)
	view := set.All()
	defer view.Release()
	if len(view.Files()) == 0 {
		return o
	}
	f := view.Files()[0]
	o.content, o.errs = read(f)
	o.verified, err = f.Verify(t.Context())
	check(t, err)
	return o
}

// names says whether one of them is about the byte.
func names(found []*Damage, at int) bool {
	return slices.ContainsFunc(found, func(d *Damage) bool {
		return d.File == smallName && d.Offset <= int64(at) && int64(at) < d.Offset+d.Length && strings.Contains(d.Error(), smallName)
	})
}

// without says what c is when the block at an offset, or definitions, cannot be read.
func (c content) without(at int) content {
	blocks := map[int64][]byte{}
	for offset, data := range c.blocks {
		if int64(at) < offset || int64(at) >= offset+int64(len(data)) {
			blocks[offset] = data
		}
	}
	c.blocks = blocks
	return c
}

func (c content) same(other content) bool {
	return slices.Equal(c.entries, other.entries) && c.sameBlocks(other) && slices.Equal(c.parts, other.parts) &&
		slices.Equal(c.schemas, other.schemas) && slices.Equal(c.sources, other.sources) && slices.Equal(c.spans, other.spans)
}

func (c content) sameBlocks(other content) bool {
	same := len(c.blocks) == len(other.blocks)
	for offset, data := range c.blocks {
		same = same && bytes.Equal(data, other.blocks[offset])
	}
	return same
}

func TestEveryFlippedByteIsFoundAndCostsOnlyWhatItHit(t *testing.T) {
	data := smallFile(t, newMemory(), 3)
	whole := openBytes(t, data)
	if len(whole.errs)+len(whole.found)+len(whole.verified) > 0 {
		t.Fatal(whole.errs, whole.found, whole.verified)
	}
	bad := slices.Clone(data)
	free := 0 // flips that cost nothing
	for i := range data {
		for _, flip := range []byte{0x01, 0x80, 0xff} {
			bad[i] ^= flip
			got := openBytes(t, bad)
			bad[i] ^= flip
			what := fmt.Sprintf("byte %d of %d ^ %#x", i, len(data), flip)
			if !names(got.verified, i) {
				t.Fatalf("%s: verified as %v", what, got.verified)
			}
			want := whole.content.without(i)
			if !slices.Equal(got.content.entries, want.entries) {
				t.Fatalf("%s: %d entries, want %d: %v", what, len(got.content.entries), len(want.entries), got.errs)
			}
			if !got.content.sameBlocks(want) {
				t.Fatalf("%s: %d blocks, want %d: %v", what, len(got.content.blocks), len(want.blocks), got.errs)
			}
			lost := len(want.blocks) < len(whole.content.blocks)
			if !got.content.same(whole.content) {
				lost = true // definitions of one kind at most
				if kinds := got.content.missing(whole.content); kinds > 1 {
					t.Fatalf("%s: definitions of %d kinds are lost: %v", what, kinds, got.errs)
				}
			}
			if lost != (len(got.errs) > 0) {
				t.Fatalf("%s: reading found %v", what, got.errs)
			}
			if !lost {
				free++
			}
		}
	}
	t.Logf("%d of %d flips cost nothing", free, 3*len(data))
}

// missing counts the kinds of definitions of which other has more.
func (c content) missing(other content) (kinds int) {
	for _, n := range []int{len(other.parts) - len(c.parts), len(other.schemas) - len(c.schemas), len(other.sources) - len(c.sources), len(other.spans) - len(c.spans)} {
		if n != 0 {
			kinds++
		}
	}
	return kinds
}

func TestEveryTruncationCostsWhatIsCutOff(t *testing.T) {
	data := smallFile(t, newMemory(), 3)
	whole := openBytes(t, data)
	for n := range data {
		got := openBytes(t, data[:n])
		var want []Entry
		for _, e := range whole.content.entries {
			if e.end() <= int64(n) {
				want = append(want, e)
			}
		}
		if !slices.Equal(got.content.entries, want) {
			t.Fatalf("cut to %d: %d entries, want %d", n, len(got.content.entries), len(want))
		}
		if len(got.content.blocks) < len(want)-2 {
			t.Fatalf("cut to %d: %d blocks: %v", n, len(got.content.blocks), got.errs)
		}
		if len(got.found) == 0 {
			t.Fatalf("cut to %d: nothing is reported", n)
		}
		_, inUse := got.fs.Content(smallName)
		aside, isAside := got.fs.Content(smallName + damagedSuffix)
		if inUse != (len(want) > 0) || isAside == inUse || isAside && !bytes.Equal(aside, data[:n]) {
			t.Fatalf("cut to %d, %d entries: in use %v, aside %v", n, len(want), inUse, isAside)
		}
		if isAside && got.found[0].Aside != smallName+damagedSuffix {
			t.Fatalf("cut to %d: reported as %v", n, got.found[0])
		}
		// Whoever asks is told that there may have been more, unless all is there.
		if inUse && len(want) < len(whole.content.entries) && len(got.errs) == 0 {
			t.Fatalf("cut to %d: reading says nothing", n)
		}
		if inUse && len(got.verified) == 0 {
			t.Fatalf("cut to %d: verified", n)
		}
	}
}

func TestBytesBehindTheEndAreReportedAndCostNothing(t *testing.T) {
	data := smallFile(t, newMemory(), 3)
	want := openBytes(t, data).content
	for _, more := range []int{1, 17, 5000} {
		got := openBytes(t, append(slices.Clone(data), make([]byte, more)...))
		if !got.content.same(want) || len(got.errs) > 0 || len(got.found) == 0 || len(got.verified) == 0 {
			t.Errorf("%d bytes more: %d entries, %v, %v", more, len(got.content.entries), got.errs, got.found)
		}
	}
}

func TestAnEntryThatIsDamagedTwiceIsMissed(t *testing.T) {
	data := smallFile(t, newMemory(), 40)
	whole := openBytes(t, data)
	f, err := parseFooter(data)
	check(t, err)
	for _, n := range []int{0, 30, 63, 64, 81} {
		bad := slices.Clone(data)
		e := whole.content.entries[n]
		bad[e.Offset-10] ^= 4
		bad[f.index+int64(n)*headSize+5] ^= 4
		got := openBytes(t, bad)
		want := slices.Delete(slices.Clone(whole.content.entries), n, n+1)
		if !slices.Equal(got.content.entries, want) {
			t.Fatalf("entry %d: %d entries, want %d", n, len(got.content.entries), len(want))
		}
		if len(got.errs) == 0 || len(got.found) != 2 {
			t.Fatalf("entry %d: reading found %v, reported is %v", n, got.errs, got.found)
		}
	}
}

func TestWithoutTheFooterAndAHeadTheRestOfTheChainIsLost(t *testing.T) {
	data := smallFile(t, newMemory(), 40)
	whole := openBytes(t, data)
	bad := slices.Clone(data)
	bad[len(bad)-20] ^= 1
	got := openBytes(t, bad)
	if !got.content.same(whole.content) || len(got.errs) > 0 {
		t.Fatalf("without the footer: %d entries, %v", len(got.content.entries), got.errs)
	}
	e := slices.MinFunc(whole.content.entries[20:], func(a, b Entry) int { return int(a.Offset - b.Offset) })
	bad[e.Offset-1] ^= 1
	got = openBytes(t, bad)
	for _, left := range got.content.entries {
		if left.Offset >= e.Offset {
			t.Errorf("%+v was found", left)
		}
	}
	if len(got.content.entries) == 0 || len(got.errs) == 0 {
		t.Errorf("%d entries, %v", len(got.content.entries), got.errs)
	}
}

// A damaged block is an error of that block, wherever it is read.
func TestDamageInABlockSaysWhereInTheFile(t *testing.T) {
	data := smallFile(t, newMemory(), 3)
	e := openBytes(t, data).content.entries[3]
	for _, c := range []struct {
		at   int64
		want error
	}{{e.Offset + 20, block.ErrDamaged}, {e.end() - 1, block.ErrDamaged}, {e.Offset + 4, block.ErrVersion}} {
		bad := slices.Clone(data)
		bad[c.at] ^= 1
		got := openBytes(t, bad)
		var damage *Damage
		if len(got.errs) != 1 || !errors.As(got.errs[0], &damage) || !errors.Is(damage, c.want) {
			t.Fatalf("byte %d: %v", c.at, got.errs)
		}
		if damage.File != smallName || damage.Offset < e.Offset || damage.Offset > c.at || damage.Offset+damage.Length != e.end() {
			t.Errorf("byte %d, block at %d: %+v", c.at, e.Offset, damage)
		}
	}
}

// withVersion says another version, and makes the checksum of the version right again, at either end.
func withVersion(data []byte, v byte, header, footer bool) []byte {
	data = slices.Clone(data)
	if header {
		data[8] = v

		copy(data[12:16], sumBytes(data[:12]))
	}
	if footer {
		end := data[len(data)-prelude:]
		end[0] = v
		copy(end[4:8], sumBytes(append([]byte(endMagic), end[:4]...)))
	}
	return data
}

func sumBytes(b []byte) []byte { return appendSum(slices.Clone(b), 0)[len(b):] }

func TestAVolumeOfANewerReleaseIsRefused(t *testing.T) {
	data := smallFile(t, newMemory(), 3)
	for _, newer := range [][]byte{withVersion(data, 2, true, true), withVersion(data, 2, true, false), withVersion(data, 2, false, true)} {
		fs := newMemory()
		fs.SetContent(smallName, newer)
		fs.SetContent(dir+"/00000006.raw", []byte("hopeless"))
		fs.SetContent(dir+"/00000009.raw.new", []byte("unfinished"))
		before := fs.Names()
		_, _, err := Open(dir, deps(fs))
		if !errors.Is(err, ErrNewerFormat) || !strings.Contains(err.Error(), smallName) {
			t.Errorf("got %v", err)
		}
		if now := fs.Names(); !slices.Equal(now, before) {
			t.Errorf("now there are %v", now)
		}
	}
	if got := openBytes(t, withVersion(data, 0, true, true)); len(got.found) != 2 || got.found[0].Aside == "" {
		t.Errorf("version 0: %v", got.found)
	}
}

func TestAVolumeUnderAnotherNameIsSetAside(t *testing.T) {
	data := smallFile(t, newMemory(), 3)
	for _, name := range []string{"00000008.raw", "00000007.1m"} {
		fs := newMemory()
		fs.SetContent(dir+"/"+name, data)
		set, damages, err := Open(dir, deps(fs))
		check(t, err)
		if len(damages) != 2 || !strings.Contains(damages[0].Error(), "is volume 00000007.raw") || damages[0].Aside != dir+"/"+name+".damaged" {
			t.Errorf("%s: %v", name, damages)
		}
		if set.Has(7) || set.Has(8) || set.Stats().SetAside != 1 {
			t.Errorf("%s: in use", name)
		}
	}
}
