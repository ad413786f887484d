package durable_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/durable/durabletest"
)

// FuzzView takes any bytes for a segment, in front of a good one: viewers give what a
// reader finds, and an error for all else.
func FuzzView(f *testing.F) {
	const name, behind = "/log/000000000001.log", "/log/000000000002.log"
	disk := durabletest.New(1)
	log := openReal(f, "/log", durable.Options{FS: disk})
	for n := range 5 {
		mustAppend(f, log, fmt.Sprintf("record %*d", n*9, n))
		check(f, log.Sync())
	}
	check(f, log.Rotate())
	last := mustAppend(f, log, "the last one")
	check(f, log.Close())
	good, _ := disk.Content(name)
	next, _ := disk.Content(behind)
	f.Add(good)
	f.Add(good[:len(good)-3])
	f.Add(append(bytes.Clone(good), good[64:]...))
	f.Add(append(bytes.Clone(good[:64]), good[90:]...))
	f.Fuzz(func(t *testing.T, file []byte) {
		disk := durabletest.New(1)
		disk.SetContent(name, file)
		disk.SetContent(behind, next)
		log, _, err := durable.Open("/log", durable.Options{FS: disk})
		if errors.Is(err, durable.ErrNewerFormat) {
			return
		}
		check(t, err)
		defer log.Close()
		found := map[uint64]string{}
		r := log.Read(0)
		defer r.Close()
		for {
			for r.Next() {
				found[r.Record().Index] = string(r.Record().Data)
			}
			if r.Err() == nil {
				break
			}
			r.Resume()
		}
		v := log.Viewer()
		defer v.Close()
		for index := uint64(0); index < last+3; index++ {
			got, err := v.View(index)
			want, there := found[index]
			var damage *durable.Damage
			switch {
			case there && (err != nil || string(got) != want):
				t.Errorf("record %d: got %q and %v, want %q", index, got, err, want)
			case !there && !errors.As(err, &damage) && !errors.Is(err, durable.ErrDropped):
				t.Errorf("record %d: got %q and %v", index, got, err)
			}
		}
	})
}
