package store

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"

	"github.com/cloudless-fleet/cloudless/pkg/boltfile"
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// indexVersion is the version of the index's layout; another one is refused.
const indexVersion = "1"

// keepBoots is how many boots of one worker keep their resume point. A worker
// speaks of one boot at a time; older ones matter only while two processes of
// it overlap.
const keepBoots = 4

// index is the small database beside the samples:
//
//	meta     "version" -> "1"
//	resume   worker (16) boot (16) -> seq (8, big-endian), when written (8, Unix ms)
//	parts    part id (16) -> day last used (4), encoded part
//	sources  worker (16) -> label set, JSON
//
// It is written by the group commit only, in one transaction after the samples
// that it speaks of are on disk.
type index struct{ db *bbolt.DB }

const (
	bucketMeta    = "meta"
	bucketResume  = "resume"
	bucketParts   = "parts"
	bucketSources = "sources"
)

func openIndex(dir string) (*index, error) {
	path := filepath.Join(dir, indexName)
	db, err := boltfile.OpenDB(path, 0o640, bbolt.Options{
		Timeout:        time.Second,
		NoFreelistSync: true, // found again when opening; saves a write in every commit
		FreelistType:   bbolt.FreelistMapType,
	}, prepareIndex)
	if err != nil {
		return nil, fmt.Errorf("store: open %q: %w", path, err)
	}
	return &index{db: db}, nil
}

func prepareIndex(tx *bbolt.Tx) error {
	for _, name := range []string{bucketMeta, bucketResume, bucketParts, bucketSources} {
		if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
			return err
		}
	}
	meta, key := tx.Bucket([]byte(bucketMeta)), []byte("version")
	switch found := meta.Get(key); {
	case found == nil:
		return meta.Put(key, []byte(indexVersion))
	case string(found) != indexVersion:
		return fmt.Errorf("index version %q, this program writes %q: restore a backup, or use the program that wrote it", found, indexVersion)
	}
	return nil
}

func (x *index) Close() error { return x.db.Close() }

// batch is what one group commit writes.
type batch struct {
	marks   []mark
	parts   []pendingPart
	touched []frame.PartID // used again today
	dropped []frame.PartID
	sources []savedSource
	now     time.Time
}

func (b *batch) empty() bool {
	return len(b.marks)+len(b.parts)+len(b.touched)+len(b.dropped)+len(b.sources) == 0
}

// mark is a resume point: everything of this boot up to seq is stored.
type mark struct {
	worker model.WorkerID
	boot   model.BootID
	seq    uint64
}

type pendingPart struct {
	id      frame.PartID
	encoded []byte
}

// savedSource is the label set under which a worker's series are stored.
type savedSource struct {
	worker model.WorkerID
	labels map[string]string
}

// write puts a batch on disk: when it returns nil, it is there after a power cut.
func (x *index) write(b batch) error {
	return x.db.Update(func(tx *bbolt.Tx) error {
		for _, m := range b.marks {
			if err := putMark(tx.Bucket([]byte(bucketResume)), m, b.now); err != nil {
				return err
			}
		}
		parts := tx.Bucket([]byte(bucketParts))
		// A part may be dropped and come again within one batch.
		for _, id := range b.dropped {
			if err := parts.Delete(id[:]); err != nil {
				return err
			}
		}
		for _, p := range b.parts {
			if err := parts.Put(p.id[:], append(day(b.now), p.encoded...)); err != nil {
				return err
			}
		}
		for _, id := range b.touched {
			if value := parts.Get(id[:]); len(value) > dayBytes {
				if err := parts.Put(id[:], append(day(b.now), value[dayBytes:]...)); err != nil {
					return err
				}
			}
		}
		for _, s := range b.sources {
			value, err := json.Marshal(s.labels)
			if err != nil {
				return err
			}
			if err := tx.Bucket([]byte(bucketSources)).Put(s.worker[:], value); err != nil {
				return err
			}
		}
		return nil
	})
}

const dayBytes = 4

// day is the day of t since the epoch, as it is stored.
func day(t time.Time) []byte {
	return binary.BigEndian.AppendUint32(nil, dayOf(t))
}

func dayOf(t time.Time) uint32 { return uint32(t.Unix() / (24 * 60 * 60)) }

// putMark moves a resume point forward, and forgets the worker's oldest boots
// when it has a new one.
func putMark(bucket *bbolt.Bucket, m mark, now time.Time) error {
	key := append(append(make([]byte, 0, 32), m.worker[:]...), m.boot[:]...)
	if bucket.Get(key) == nil {
		if err := pruneBoots(bucket, m.worker); err != nil {
			return err
		}
	}
	value := binary.BigEndian.AppendUint64(nil, m.seq)
	value = binary.BigEndian.AppendUint64(value, uint64(now.UnixMilli()))
	return bucket.Put(key, value)
}

// pruneBoots makes room for one more boot of a worker.
func pruneBoots(bucket *bbolt.Bucket, worker model.WorkerID) error {
	for {
		var oldest []byte
		var oldestAt uint64
		boots := 0
		cursor := bucket.Cursor()
		for k, v := cursor.Seek(worker[:]); len(k) == 32 && model.WorkerID(k[:16]) == worker; k, v = cursor.Next() {
			boots++
			if at := binary.BigEndian.Uint64(v[8:]); oldest == nil || at < oldestAt {
				oldest, oldestAt = append([]byte(nil), k...), at
			}
		}
		if boots < keepBoots {
			return nil
		}
		if err := bucket.Delete(oldest); err != nil {
			return err
		}
	}
}

// resume returns the resume point of a worker's boot; 0 when nothing is stored.
func (x *index) resume(worker model.WorkerID, boot model.BootID) (seq uint64, err error) {
	err = x.db.View(func(tx *bbolt.Tx) error {
		key := append(append(make([]byte, 0, 32), worker[:]...), boot[:]...)
		if value := tx.Bucket([]byte(bucketResume)).Get(key); len(value) == 16 {
			seq = binary.BigEndian.Uint64(value)
		}
		return nil
	})
	return seq, err
}

// part returns an encoded part, nil when it is not there. The caller owns it.
func (x *index) part(id frame.PartID) (encoded []byte, err error) {
	err = x.db.View(func(tx *bbolt.Tx) error {
		if value := tx.Bucket([]byte(bucketParts)).Get(id[:]); len(value) > dayBytes {
			encoded = append(encoded, value[dayBytes:]...)
		}
		return nil
	})
	return encoded, err
}

// eachPart visits all parts; encoded is valid during the visit only.
func (x *index) eachPart(visit func(id frame.PartID, usedDay uint32, encoded []byte)) error {
	return x.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(bucketParts)).ForEach(func(k, v []byte) error {
			if len(k) == len(frame.PartID{}) && len(v) > dayBytes {
				visit(frame.PartID(k), binary.BigEndian.Uint32(v), v[dayBytes:])
			}
			return nil
		})
	})
}

// source returns the label set of a worker, nil when none is saved.
func (x *index) source(worker model.WorkerID) (set map[string]string, err error) {
	err = x.db.View(func(tx *bbolt.Tx) error {
		value := tx.Bucket([]byte(bucketSources)).Get(worker[:])
		if value == nil {
			return nil
		}
		return json.Unmarshal(value, &set)
	})
	return set, err
}

// forgetBefore drops resume points that were not written since. It is called
// when the store opens: the workers they belong to are long gone.
func (x *index) forgetBefore(since time.Time) error {
	return x.db.Update(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket([]byte(bucketResume))
		var old [][]byte
		err := bucket.ForEach(func(k, v []byte) error {
			if len(v) != 16 || int64(binary.BigEndian.Uint64(v[8:])) < since.UnixMilli() {
				old = append(old, append([]byte(nil), k...))
			}
			return nil
		})
		for _, k := range old {
			err = errors.Join(err, bucket.Delete(k))
		}
		return err
	})
}
