package volume

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/frame/frametest"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/block"
)

// hasty does not sync: what is measured is not the disk.
type hasty struct{ FS }

func (h hasty) Create(name string) (durable.File, error) {
	file, err := h.FS.Create(name)
	return hastyFile{file}, err
}

type hastyFile struct{ durable.File }

func (hastyFile) Sync() error { return nil }

// fleetKeys are random, as worker ids are.
func fleetKeys(n int) []Key {
	random := rand.New(rand.NewPCG(1, 2))
	keys := make([]Key, n)
	for i := range keys {
		for b := range keys[i].Worker {
			keys[i].Worker[b] = byte(random.Uint32())
		}
		keys[i].Labels, keys[i].Stream = random.Uint64(), 1
	}
	return keys
}

// fleetFolder makes a folder of volumes with an entry of each lane, an hour each. The entries have
// no blocks: those do not matter to what is measured, and take room.
func fleetFolder(b *testing.B, volumes int, keys []Key) string {
	b.Helper()
	dir := b.TempDir()
	set := openSet(b, dir, Deps{FS: hasty{OS()}})
	for v := range volumes {
		w, err := set.Create(Raw)
		check(b, err)
		for _, k := range keys {
			check(b, w.Add(Entry{Key: k, First: model.Millis(v) * 3_600_000, Last: model.Millis(v+1)*3_600_000 - 1}, nil))
		}
		f, err := w.Commit()
		check(b, err)
		f.Release()
	}
	check(b, set.Close())
	return dir
}

// cpuTime is what the process has used: the machine may be busy with other things.
func cpuTime(b *testing.B) time.Duration {
	var usage unix.Rusage
	check(b, unix.Getrusage(unix.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func openFleet(b *testing.B, dir string) *Set {
	set, damages, err := Open(dir, Deps{})
	check(b, err)
	if len(damages) > 0 {
		b.Fatal(damages)
	}
	return set
}

// forget makes the kernel forget what it has of the files.
func forget(b *testing.B, dir string) {
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	check(b, err)
	for _, name := range names {
		file, err := os.Open(name)
		check(b, err)
		check(b, file.Sync())
		check(b, unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED))
		check(b, file.Close())
	}
}

func BenchmarkFleet(b *testing.B) {
	const volumes = 400
	keys := fleetKeys(10_000)
	dir := fleetFolder(b, volumes, keys)
	b.Run("Open", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			check(b, openFleet(b, dir).Close())
		}
	})
	b.Run("OpenFromDisk", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			forget(b, dir)
			b.StartTimer()
			set := openFleet(b, dir)
			b.StopTimer()
			check(b, set.Close())
			b.StartTimer()
		}
	})
	set := openFleet(b, dir)
	defer set.Close()
	random := rand.New(rand.NewPCG(3, 4))
	find := func(from, to model.Millis, want int) func(b *testing.B) {
		return func(b *testing.B) {
			view := set.Files(Raw, from, to)
			defer view.Release()
			var found []Located
			b.ReportAllocs()
			start := cpuTime(b)
			defer func() { b.ReportMetric(float64((cpuTime(b)-start).Nanoseconds())/float64(b.N), "cpu-ns/op") }()
			for b.Loop() {
				var err error
				if found, err = view.Find(found[:0], keys[random.IntN(len(keys))], from, to); err != nil || len(found) != want {
					b.Fatal(len(found), err)
				}
			}
		}
	}
	b.Run("FindInOne", find(7_200_000, 7_300_000, 1))
	b.Run("FindInAll", find(0, volumes*3_600_000, volumes))
	b.Run("View", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			set.Files(Raw, 0, 1<<40).Release()
		}
	})
	b.Run("FindMissing", func(b *testing.B) {
		view := set.Files(Raw, 0, 1)
		defer view.Release()
		strangers := fleetKeys(20_000)[10_000:]
		for b.Loop() {
			if found, err := view.Find(nil, strangers[random.IntN(len(strangers))], 0, 1); err != nil || len(found) > 0 {
				b.Fatal(len(found), err)
			}
		}
	})
}

// recordedBlock is 480 rows of a recorded host.
func recordedBlock(b *testing.B, worker model.WorkerID) []byte {
	b.Helper()
	r, err := frametest.Node()
	check(b, err)
	var parts []block.Part
	for _, p := range r.Parts {
		encoded, err := frame.AppendPart(nil, p)
		check(b, err)
		parts = append(parts, block.PartOf(frame.PartIDOf(encoded), p))
	}
	w := block.NewWriter()
	w.Begin(worker, 1)
	check(b, w.Schema(parts))
	for i, row := range slices.Concat(r.Rows, r.Rows)[:480] {
		check(b, w.Append(model.Millis(i)*15_000, row))
	}
	return w.Seal(nil)
}

func BenchmarkBlock(b *testing.B) {
	const lanes = 200
	worker := model.WorkerID{1}
	sealed := recordedBlock(b, worker)
	set := openSet(b, b.TempDir(), Deps{FS: hasty{OS()}})
	fill := func() *File {
		w, err := set.Create(Raw)
		check(b, err)
		for n := range lanes {
			check(b, w.Add(Entry{Key: Key{Worker: worker, Labels: uint64(n), Stream: 1}}, sealed))
		}
		f, err := w.Commit()
		check(b, err)
		return f
	}
	f := fill()
	set.Add(f)
	var entries []Entry
	check(b, f.Each(func(e Entry) error { entries = append(entries, e); return nil }))
	b.Run("Open", func(b *testing.B) {
		reuse := new(block.Block)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if _, err := f.Block(entries[i%lanes], reuse); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Verify", func(b *testing.B) {
		b.SetBytes(f.Size())
		for b.Loop() {
			damages, err := f.Verify(b.Context())
			if err != nil || len(damages) > 0 {
				b.Fatal(damages, err)
			}
		}
	})
	b.Run("Write", func(b *testing.B) {
		b.SetBytes(f.Size())
		for b.Loop() {
			f := fill()
			set.Add(f)
			check(b, set.Remove(f))
		}
	})
}

func BenchmarkGuard(b *testing.B) {
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		if err := Guard(func() error { n++; return nil }); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkKeyOf(b *testing.B) {
	l := laneOf(3)
	b.ReportAllocs()
	for b.Loop() {
		l.key()
	}
}
