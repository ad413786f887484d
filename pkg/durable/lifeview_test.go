package durable_test

import (
	"bytes"
	"errors"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
)

// view compares what viewers give with what is to be there, at some places.
func (l *life) view() {
	if len(l.viewers) < 3 && l.random.IntN(3) == 0 {
		l.viewers = append(l.viewers, l.log.Viewer())
	}
	for _, v := range l.viewers {
		for range l.random.IntN(12) {
			if len(l.records) > 0 {
				l.viewOne(v, l.records[l.random.IntN(len(l.records))])
			}
		}
		if l.random.IntN(4) == 0 {
			v.Close()
		}
		index := l.next + l.random.Uint64N(3)
		if got, err := v.View(index); !errors.Is(err, durable.ErrDropped) {
			fail("viewed record %d, which is none: %x and %v", index, got, err)
		}
	}
}

func (l *life) viewOne(v *durable.Viewer, want kept) {
	got, err := v.View(want.index)
	switch {
	case errors.Is(err, durable.ErrDropped) && want.index < l.log.Oldest():
	case err != nil:
		fail("view record %d: %v", want.index, err)
	case !bytes.Equal(got, want.data):
		fail("viewed record %d of %d bytes, want %d bytes", want.index, len(got), len(want.data))
	}
}

// viewAfterEnd wants of every viewer the same error.
func (l *life) viewAfterEnd() {
	for _, v := range l.viewers {
		if _, err := v.View(l.random.Uint64N(l.next + 1)); !errors.Is(err, durable.ErrClosed) {
			fail("viewed after Close: %v", err)
		}
	}
}
