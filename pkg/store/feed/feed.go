package feed

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/prometheus/storage"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

var (
	// ErrTooManySeries: the feed has as many series as it may have.
	ErrTooManySeries = errors.New("too many series in the feed")
	// ErrInvalid: labels, or a value, that cannot be stored.
	ErrInvalid = errors.New("sample is not valid")
	// ErrHistogram: native histograms cannot be stored.
	ErrHistogram = errors.New("native histograms are not stored")
	// ErrClosed: the feed is closed.
	ErrClosed = errors.New("feed is closed")
)

// Session takes the records of a feed. An error means that the record was not stored.
type Session interface {
	Append(record frame.Record, raw []byte) error
	Close() error
}

// Options is what a feed stands on, and what it may have.
type Options struct {
	// MaxSeries is how many series it may have at a time.
	MaxSeries int
	// Retention is how old a sample may be.
	Retention time.Duration
	// MaxAhead is how far in the future a sample may lie.
	MaxAhead time.Duration
	// Open begins a session with a new boot. The one before may be open still.
	Open func(boot model.BootID) (Session, error)
	// Flush waits until everything that was appended is durable.
	Flush func() error
	Now   func() time.Time
}

// WorkerOf is the id of the worker that a feed acts as.
func WorkerOf(name string) model.WorkerID {
	sum := sha256.Sum256([]byte("cloudless feed\x00" + name))
	return model.WorkerIDFrom([16]byte(sum[:16]))
}

// Streams is how many streams a feed of so many series may have: twice as many as are
// full, since those that do not come together are apart.
func Streams(maxSeries int) int { return 64 + 2*((maxSeries+StreamSeries-1)/StreamSeries) }

// Feed takes samples one by one. All methods are safe for concurrent use, and so are
// appenders beside each other.
type Feed struct {
	options Options
	figures figures

	mu      sync.Mutex // guards what follows; held while a commit is written
	closed  bool
	session Session // nil: to be opened
	epoch   uint64  // of the session; 0: none yet
	seq     uint64
	table   table
	about   map[string]about
	streams []*stream
	tidied  time.Time
	spare   []sample // for the next batch

	// Of the commit that is being written:
	commit  uint64
	touched []*stream
	grown   []growth
	fresh   []*series
	late    []sample // of fresh
	payload []byte
	raw     []byte
}

// New makes a feed. The first commit opens its session.
func New(options Options) *Feed {
	return &Feed{options: options, table: newTable(), about: map[string]about{}, tidied: options.Now()}
}

var (
	_ storage.Appendable   = (*Feed)(nil)
	_ storage.AppendableV2 = (*Feed)(nil)
)

// Appender implements storage.Appendable.
func (f *Feed) Appender(context.Context) storage.Appender { return &appender{batch: batch{feed: f}} }

// AppenderV2 implements storage.AppendableV2.
func (f *Feed) AppenderV2(context.Context) storage.AppenderV2 {
	return &appenderV2{batch: batch{feed: f}}
}

// Flush waits until all that was committed before is durable.
func (f *Feed) Flush() error { return f.options.Flush() }

// Close ends the feed: nothing is taken any more. Its series stay as they are. Calling it
// again does nothing.
func (f *Feed) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	return f.hangUp()
}

// ready sees to it that there is a session.
func (f *Feed) ready() error {
	if f.closed {
		return ErrClosed
	}
	if f.session != nil {
		return nil
	}
	var random [16]byte
	if _, err := rand.Read(random[:]); err != nil {
		return fmt.Errorf("boot id: %w", err)
	}
	session, err := f.options.Open(model.BootIDFrom(random))
	if err != nil {
		return err
	}
	f.session, f.seq = session, 0
	f.epoch++ // what the session before was told, this one must be told anew
	return nil
}

// hangUp ends the session.
func (f *Feed) hangUp() error {
	if f.session == nil {
		return nil
	}
	err := f.session.Close()
	f.session = nil
	return err
}

// send gives a record to the session.
func (f *Feed) send(kind frame.Kind, id model.StreamID, payload []byte) error {
	f.seq++
	record := frame.Record{Seq: f.seq, Kind: kind, Stream: id, Payload: payload}
	f.raw = frame.AppendRecord(f.raw[:0], record)
	return f.session.Append(record, f.raw)
}
