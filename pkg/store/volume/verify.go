package volume

import (
	"bytes"
	"context"
	"fmt"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/block"
)

// Verify reads every byte of the file, and returns the damage that it finds: of each block
// the first, of everything else all. The error is that of ctx. It decodes all columns, and reads
// as fast as the disk allows.
func (f *File) Verify(ctx context.Context) ([]*Damage, error) {
	// A file without what was learned of this one: it has been read long ago.
	probe := &File{path: f.path, data: f.data, deps: f.deps}
	probe.users.Store(1) // never let go: the mapping is f's
	v := verification{File: probe, reader: block.NewReader()}
	damages, err := probe.readEnds(f.info.Number, f.info.Tier)
	if err != nil {
		damages = append(damages, f.damage(0, int64(len(f.data)), err.Error()))
	}
	entries, bad := probe.indexed()
	v.damages = append(damages, bad...)
	var chunks []chunk
	if probe.table != nil {
		chunks = probe.tableChunks()
	}
	w := probe.walk(entries, chunks)
	w.run(func(e Entry, k kind) {
		switch {
		case ctx.Err() != nil:
		case k == kindBlock:
			v.readBlock(e)
		case k.definitions():
			v.readChunk(chunk{k, e.Offset, e.Size})
		}
	})
	v.damages = append(v.damages, w.damages...)
	if len(v.damages) == 0 && ctx.Err() == nil {
		v.compare(w)
	}
	return v.damages, ctx.Err()
}

// verification is one run of Verify.
type verification struct {
	*File
	reader  *block.Reader
	block   block.Block
	entries []Entry // of the items
	chunks  []chunk
	damages []*Damage
}

func (v *verification) readBlock(e Entry) {
	v.entries = append(v.entries, e)
	if e.Size == 0 {
		return
	}
	b, err := v.Block(e, &v.block)
	if err == nil {
		err = v.Locate(e, Guard(func() error { return v.reader.Verify(b) }))
	}
	if err == nil {
		return
	}
	damage, is := err.(*Damage)
	if !is {
		damage = v.damage(e.Offset, int64(e.Size), err.Error())
	}
	v.damages = append(v.damages, damage)
}

func (v *verification) readChunk(c chunk) {
	v.chunks = append(v.chunks, c)
	bad, _ := v.chunk(c, Visitor{
		Part:   func([]byte) error { return nil },
		Schema: func([]byte) error { return nil },
		Source: func(model.WorkerID, []labels.Label) error { return nil },
		Span:   func(Span) error { return nil },
	})
	if bad != "" {
		v.damages = append(v.damages, v.damage(c.offset, int64(c.size), "definitions: "+bad))
	}
}

// compare makes index, table and footer anew from the items, and compares them with those of
// the file. They differ only if the volume was not made by a Writer.
func (v *verification) compare(w *walk) {
	if len(v.entries) == 0 || w.said != len(v.entries) {
		v.damages = append(v.damages, v.damage(w.end, 0, fmt.Sprintf("%d entries of %d", len(v.entries), w.said)))
		return
	}
	x := newIndex(v.footer.identity, w.end, v.entries, v.chunks)
	at := w.end
	same := func(want []byte) bool {
		ok := at+int64(len(want)) <= int64(len(v.data))
		if ok {
			err := Guard(func() error {
				ok = bytes.Equal(v.data[at:at+int64(len(want))], want)
				return nil
			})
			ok = ok && err == nil
		}
		if !ok {
			v.damages = append(v.damages, v.damage(at, int64(len(want)), "does not tell what is in the volume"))
		}
		at += int64(len(want))
		return ok
	}
	for page := range x.pages() {
		if !same(page) {
			return
		}
	}
	if same(x.table) {
		same(x.footer.append(nil))
	}
}
