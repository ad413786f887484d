package volume

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// reseal makes all checksums true again, as far as the volume can be followed, so
// that a fuzzer gets past them.
func reseal(data []byte) {
	sum := func(from, to int64) {
		if from >= 0 && to >= from && to+sumSize <= int64(len(data)) {
			binary.LittleEndian.PutUint32(data[to:], checksum(data[from:to]))
		}
	}
	sum(0, 12)
	sum(0, headerSize-sumSize)
	size := int64(len(data))
	for at := int64(headerSize); at+headSize <= size; {
		sum(at, at+headSize-sumSize)
		e, k, _ := parseHead(data[at:])
		if k.definitions() && e.Size >= sumSize && e.Offset == at+headSize {
			sum(e.Offset, e.end()-sumSize)
		}
		if k == kindEnd || e.Offset != at+headSize || e.end() > size {
			break
		}
		at = e.end()
	}
	if size < footerSize {
		return
	}
	at := size - footerSize
	closing := append([]byte(endMagic), data[size-prelude:size-12]...)
	binary.LittleEndian.PutUint32(data[size-12:], checksum(closing))
	sum(at, at+72)
	f, err := parseFooter(data)
	if err != nil {
		return
	}
	for page := range int64(f.pages()) {
		from := f.index + page*pageSize
		to := min(from+pageSize, f.tableAt())
		for head := from; head < to; head += headSize {
			sum(head, head+headSize-sumSize)
		}
		binary.LittleEndian.PutUint32(data[f.tableAt()+page*pageEntry+keySize+8:], checksum(data[from:to]))
	}
	binary.LittleEndian.PutUint32(data[at+68:], checksum(data[f.tableAt():f.tableEnd()]))
	sum(at, at+72)
}

// FuzzOpen takes any bytes for a volume, with its checksums made true if so told. Nothing
// panics, and what Verify has no fault with is read
// without an error.
func FuzzOpen(f *testing.F) {
	for _, lanes := range []int{1, 3, 40} {
		data := smallFile(f, newMemory(), lanes)
		f.Add(data, true)
		f.Add(data[:len(data)-30], false)
		bad := slices.Clone(data)
		bad[len(bad)-footerSize-20] ^= 1
		f.Add(bad, false)
	}
	f.Fuzz(func(t *testing.T, data []byte, sealed bool) {
		if sealed {
			data = slices.Clone(data)
			reseal(data)
		}
		fs := newMemory()
		fs.SetContent(smallName, data)
		file, damages, err := openFile(dir, 7, Raw, Deps{FS: fs}.withDefaults())
		if err != nil || file == nil {
			if err == nil && len(damages) == 0 {
				t.Fatal("not opened, and nothing is wrong")
			}
			return
		}
		defer file.Release()
		_, errs := read(file) // what is outside of the file would panic
		verified, err := file.Verify(t.Context())
		check(t, err)
		if len(verified) == 0 && len(errs)+len(damages) > 0 {
			t.Fatalf("verified, but %v, %v", errs, damages)
		}
	})
}

// FuzzDefinitions reads any bytes as definitions; what is read is written as the same
// bytes.
func FuzzDefinitions(f *testing.F) {
	l := laneOf(3)
	f.Add(byte(kindParts), uint32(1), appendEncoded(nil, []byte("part")))
	f.Add(byte(kindSources), uint32(1), appendSource(nil, l.worker, l.labels))
	f.Add(byte(kindSpans), uint32(2), appendSpan(appendSpan(nil, Span{Key: l.key(), From: -5, To: 7}), Span{From: 1 << 50, To: 1 << 60}))
	f.Fuzz(func(t *testing.T, k byte, count uint32, data []byte) {
		if !kind(k).definitions() {
			return
		}
		var again []byte
		v := Visitor{
			Part:   func(b []byte) error { again = appendEncoded(again, b); return nil },
			Schema: func(b []byte) error { again = appendEncoded(again, b); return nil },
			Source: func(w model.WorkerID, ls []labels.Label) error { again = appendSource(again, w, ls); return nil },
			Span:   func(s Span) error { again = appendSpan(again, s); return nil },
		}
		bad, err := v.visit(kind(k), count, data)
		check(t, err)
		if bad == "" && !slices.Equal(again, data) {
			t.Errorf("%x is written as %x", data, again)
		}
	})
}

// FuzzWriter adds what the bytes say; all of it comes back, once, in order.
func FuzzWriter(f *testing.F) {
	f.Add([]byte("entries of some lanes, in any order, and definitions"))
	f.Add([]byte{})
	f.Add(slices.Repeat([]byte{7, 200, 9, 33, 1, 90}, 300))
	f.Fuzz(func(t *testing.T, script []byte) {
		w, err := Create(dir, 7, Minute, deps(newMemory()))
		check(t, err)
		defer w.Abort()
		var want []Entry
		parts := map[string]bool{}
		spans := map[Span]bool{}
		sources := map[Key]bool{}
		for i := 0; i+1 < len(script); i += 2 {
			op, b := script[i]%5, script[i+1]
			l := laneOf(int(b))
			switch op {
			case 0, 1:
				e := Entry{Key: l.key(), First: model.Millis(script[i]) - 100, Last: model.Millis(script[i]) + model.Millis(b), Flags: b}
				check(t, w.Add(e, nil))
				e.Offset = w.Size()
				want = append(want, e)
			case 2:
				part := slices.Repeat([]byte{b}, int(b)*20)
				check(t, w.Part(part))
				parts[string(part)] = true
				if !w.HasPart(frame.PartIDOf(part)) {
					t.Error("a part that was added is not there")
				}
			case 3:
				check(t, w.Source(l.worker, l.labels))
				sources[KeyOf(l.worker, l.labels, 0)] = true
			case 4:
				s := Span{Key: l.key(), From: model.Millis(b), To: model.Millis(script[i])}
				if err := w.Span(s.Key, s.Schema, s.From, s.To); (err != nil) != (s.To < s.From) {
					t.Error(err)
				} else if err == nil {
					spans[s] = true
				}
			}
		}
		if len(want) == 0 {
			return
		}
		file, err := w.Commit()
		check(t, err)
		defer file.Release()
		slices.SortFunc(want, func(a, b Entry) int { return a.order(&b) })
		c, errs := read(file)
		if len(errs) > 0 || !slices.Equal(c.entries, want) {
			t.Fatalf("got %v, %v\nwant %v", c.entries, errs, want)
		}
		if len(c.parts) != len(parts) || len(c.sources) != len(sources) || len(c.spans) != len(spans) {
			t.Errorf("got %d parts, %d sources, %d spans, want %d, %d, %d", len(c.parts), len(c.sources), len(c.spans), len(parts), len(sources), len(spans))
		}
		for _, s := range c.spans {
			if !spans[s] {
				t.Errorf("span %+v was not added", s)
			}
		}
		if bad, err := file.Verify(t.Context()); err != nil || len(bad) > 0 {
			t.Fatal(bad, err)
		}
	})
}
