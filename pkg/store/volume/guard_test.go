package volume

import (
	"errors"
	"os"
	"slices"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/store/block"
)

// The disk does not give what was mapped: made by shortening the file.
func TestPagesThatCannotBeReadAreErrors(t *testing.T) {
	dir := t.TempDir()
	var reported []*Damage
	set := openSet(t, dir, Deps{OnDamage: func(d *Damage) { reported = append(reported, d) }})
	f := add(t, set, Raw, 0, 500)
	all, errs := read(f)
	if len(errs) > 0 || len(all.entries) != 500 {
		t.Fatal(len(all.entries), errs)
	}
	early := slices.MinFunc(all.entries, func(a, b Entry) int { return int(a.Offset - b.Offset) })
	late := slices.MaxFunc(all.entries, func(a, b Entry) int { return int(a.Offset - b.Offset) })
	opened, err := f.Block(late, nil)
	check(t, err)
	check(t, os.Truncate(f.Path(), 4096))

	// What was opened before.
	reader := block.NewReader()
	var fault *Fault
	if err := Guard(func() error { return reader.Verify(opened) }); !errors.As(err, &fault) || !errors.Is(err, durable.ErrDisk) {
		t.Errorf("reading: %v", err)
	}
	// Blocks: where the fault was is known.
	var damage *Damage
	if _, err := f.Block(late, nil); !errors.As(err, &damage) || !errors.Is(err, durable.ErrDisk) || damage.Offset != late.Offset {
		t.Errorf("block: %v", err)
	}
	if _, err := f.Block(early, nil); err != nil {
		t.Errorf("first block: %v", err)
	}
	// The index is gone; the heads in the first page are not.
	found, err := f.Find(nil, early.Key, early.First, early.First)
	if !slices.Equal(found, []Entry{early}) || !errors.As(err, &damage) || len(reported) == 0 {
		t.Errorf("found %v, %v; reported %v", found, err, reported)
	}
	if found, err := f.Find(nil, late.Key, late.First, late.First); len(found) > 0 || !errors.As(err, &damage) {
		t.Errorf("found %v, %v", found, err)
	}
	if err := f.Definitions(Visitor{}); !errors.As(err, &damage) {
		t.Errorf("definitions: %v", err)
	}
	if found, err := f.Verify(t.Context()); err != nil || len(found) == 0 {
		t.Errorf("verified: %v, %v", found, err)
	}
	if s := set.Stats(); s.Damages != uint64(len(reported)) {
		t.Errorf("stats %+v, reported %d", s, len(reported))
	}
	if err := set.Snapshot(dir + "/snapshot"); err != nil {
		t.Errorf("a link needs no reading: %v", err)
	}
}

func TestGuardTakesFaultsOnly(t *testing.T) {
	want := errors.New("error")
	if err := Guard(func() error { return want }); err != want {
		t.Errorf("got %v", err)
	}
	check(t, Guard(func() error { return nil }))
	for what, f := range map[string]func() error{
		"a panic": func() error { panic("bug") },
		"an index": func() error {
			var none []int
			_ = none[len(none)]
			return nil
		},
		"a nil pointer": func() error {
			var none *Entry
			none.Rows++
			return nil
		},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s became an error", what)
				}
			}()
			Guard(f)
		}()
	}
}
