package volume

import (
	"testing"
)

func TestWhatIsWrittenIsRead(t *testing.T) {
	for _, lanes := range []int{1, 2, 31, 32, 33, 64, 200} {
		fs := newMemory()
		smallFile(t, fs, lanes)
		set, damages, err := Open(dir, deps(fs))
		check(t, err)
		if len(damages) > 0 {
			t.Fatal(damages)
		}
		view := set.Files(Raw, 0, 1<<60)
		f := view.Files()[0]
		c, errs := read(f)
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		n := 2*lanes + min(lanes, 2)
		if len(c.entries) != n || f.Blocks() != n || len(c.blocks) != 2*lanes {
			t.Errorf("%d lanes: %d entries", lanes, len(c.entries))
		}
		if len(c.parts) != 2 || len(c.schemas) != 1 || len(c.sources) != (lanes+2)/3 || len(c.spans) != lanes {
			t.Errorf("%d lanes: %d parts, %d schemas, %d sources, %d spans", lanes, len(c.parts), len(c.schemas), len(c.sources), len(c.spans))
		}
		if bad, err := f.Verify(t.Context()); err != nil || len(bad) > 0 {
			t.Fatal(bad, err)
		}
		view.Release()
		check(t, set.Close())
	}
}
