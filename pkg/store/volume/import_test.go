package volume

import (
	"bytes"
	"context"
	"errors"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
)

func TestAVolumeIsTakenOverUnderAnotherNumber(t *testing.T) {
	fs := newMemory()
	theirs, ours := openSet(t, "theirs", deps(fs)), openSet(t, "ours", deps(fs))
	add(t, ours, Raw, 5000, 2)
	ours.Reserve(6)
	source := add(t, theirs, Minute, 1000, 200)
	i, err := ours.Import(t.Context(), source.Path())
	check(t, err)
	if has := numbers(ours); len(has) != 1 {
		t.Errorf("before it is published the set has %v", has)
	}
	if i.Source().Number() != 1 || i.Source().Blocks() != 200 {
		t.Errorf("source is %+v", i.Source().Info())
	}
	file, err := i.Publish()
	check(t, err)
	want := source.Info()
	want.Number = 7
	if diff := cmp.Diff(want, file.Info()); diff != "" {
		t.Errorf("info (-want +got):\n%s", diff)
	}
	damages, err := file.Verify(t.Context())
	if err != nil || len(damages) > 0 {
		t.Errorf("verify: %v, %v", damages, err)
	}
	a, b := source.data, file.data
	if len(a) != len(b) || !bytes.Equal(a[headerSize:len(a)-footerSize], b[headerSize:len(b)-footerSize]) {
		t.Error("more than header and footer differ")
	}
	again, err := ours.Import(t.Context(), source.Path())
	if again != nil || err != nil {
		t.Errorf("once more: %v, %v", again, err)
	}
	back, err := theirs.Import(t.Context(), file.Path())
	if back != nil || err != nil {
		t.Errorf("back: %v, %v", back, err)
	}
	if found, err := read(file); len(err) > 0 || len(found.entries) != 200 || len(found.blocks) != 200 {
		t.Errorf("%d entries, %v", len(found.entries), err)
	}
}

func TestWhatIsNotTakenOver(t *testing.T) {
	fs := newMemory()
	theirs, ours := openSet(t, "theirs", deps(fs)), openSet(t, "ours", deps(fs))
	source := add(t, theirs, Raw, 1000, 5)
	whole, _ := fs.Content(source.Path())
	refused := func(name string, want error) {
		t.Helper()
		i, err := ours.Import(t.Context(), name)
		if i != nil || err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", name, err, want)
		}
		if names, _ := fs.List("ours"); len(names) > 0 {
			t.Errorf("%s: left is %v", name, names)
		}
	}
	refused("theirs/00000001.raw.new", ErrInvalid)
	refused("theirs/00000002.raw", os.ErrNotExist)
	for _, at := range []int{3, 20, len(whole) - 5, len(whole) - 60} {
		broken := bytes.Clone(whole)
		broken[at] ^= 1
		fs.SetContent("theirs/00000009.raw", broken)
		refused("theirs/00000009.raw", nil)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ours.Import(canceled, source.Path()); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	fs.SetRoom(50)
	refused(source.Path(), durable.ErrFull)
	fs.SetRoom(1 << 20)
	i, err := ours.Import(t.Context(), source.Path())
	check(t, err)
	check(t, i.Abort())
	if names, _ := fs.List("ours"); len(names) > 0 {
		t.Errorf("after Abort: left is %v", names)
	}
}

// An import is there wholly after a power cut, or not at all.
func TestAnImportAndAPowerCut(t *testing.T) {
	for seed := range uint64(200) {
		fs := newMemory()
		theirs := openSet(t, "theirs", deps(fs))
		source := add(t, theirs, Raw, 1000, 5)
		ours, _, err := Open("ours", deps(fs))
		check(t, err)
		i, err := ours.Import(t.Context(), source.Path())
		check(t, err)
		published := seed%2 == 1
		if published {
			_, err = i.Publish()
		} else {
			defer i.Abort()
		}
		check(t, err)
		after := memory{fs.Cut(seed)}
		check(t, ours.Close())
		again, damages, err := Open("ours", deps(after))
		check(t, err)
		if has := numbers(again); len(damages) > 0 || published != (len(has) == 1) {
			t.Errorf("seed %d: published %t, has %v, %v", seed, published, has, damages)
		}
		check(t, again.Close())
	}
}
