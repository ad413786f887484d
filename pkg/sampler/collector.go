package sampler

import (
	"errors"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/kernel"
)

// collector reads one matter of the kernel. Its methods are called by one
// goroutine at a time.
type collector interface {
	// update reads the values of this round into s, and describes s anew when
	// the series changed. An error that kernel.NotThere or errNotThere tells
	// means that the host does not have the matter: the collector takes no
	// part in the round. After a partial error the values that were set count;
	// after any other none does.
	update(r *round, s *sheet) error
	// close releases descriptors and goroutines. Nothing follows it.
	close()
}

// starter is a collector that sets slow work going before the others are asked.
type starter interface{ start(r *round) }

// errNotThere is for matters whose absence is not a missing file.
var errNotThere = errors.New("not there")

// partial wraps an error that spoiled some values and not the others.
type partial struct{ error }

func (p partial) Unwrap() error { return p.error }

func notThere(err error) bool { return errors.Is(err, errNotThere) || kernel.NotThere(err) }

// round is one pass over all collectors.
type round struct {
	at     time.Time // its timestamp, wall clock
	number uint64    // 1, 2, 3, ...
	grace  time.Duration
	buf    []byte // shared by all reads: valid until the next
	bytes  uint64 // read so far
}

// read returns the content of f, valid until the next read.
func (r *round) read(f *kernel.File) ([]byte, error) {
	content, err := f.Read(r.buf)
	if content != nil {
		r.buf = content
	}
	r.bytes += uint64(len(content))
	return content, err
}

// host is what collectors are built from.
type host struct {
	fs     kernel.FS
	stat   *statSource
	uname  func() (kernel.Uname, error)
	statfs func(path string) (kernel.Statfs, error)
}

// slowly says when something that changes rarely and costs much to look up is
// due again.
type slowly struct{ next time.Time }

// refreshEvery is how old such a thing may be: texts in labels, mostly.
const refreshEvery = time.Minute

func (s *slowly) due(r *round) bool {
	// The second condition is a clock that was set back.
	if r.at.Before(s.next) && s.next.Sub(r.at) <= refreshEvery {
		return false
	}
	s.next = r.at.Add(refreshEvery)
	return true
}

// maxOpen bounds the files that one collector keeps open; those beyond are
// opened and closed in every round.
const maxOpen = 256
