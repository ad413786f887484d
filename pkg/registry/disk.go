package registry

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"

	"github.com/cloudless-fleet/cloudless/pkg/boltfile"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// FileName is the registry's file in the state folder of the coordinator.
const FileName = "registry.db"

// Names in the file; see docs/formats/registry.md.
const (
	bucketWorkers = "workers"
	keyFeed       = "feed" // in the meta bucket, 8 bytes big endian: at least the newest version of the feed

	formatVersion = 1
)

// loaded is what the file holds.
type loaded struct {
	workers []Worker
	feed    uint64
	damaged []boltfile.Damage
}

// openDisk opens or makes the file in dir and reads all of it.
func openDisk(dir string, lockTimeout time.Duration) (d *boltfile.File, l loaded, err error) {
	layout := boltfile.Layout{Name: "registry", Version: formatVersion, Buckets: []string{bucketWorkers},
		Remedy: "move the file aside to start with an empty registry: workers register again by themselves"}
	d, l.damaged, err = boltfile.Open(filepath.Join(dir, FileName), layout, lockTimeout, l.read)
	return d, l, err
}

func (l *loaded) read(r *boltfile.Reader) error {
	if feed := r.Meta(keyFeed); len(feed) == 8 {
		l.feed = binary.BigEndian.Uint64(feed)
	}
	return r.Each(bucketWorkers, func(key, value []byte) error {
		w, err := parseWorker(value)
		if err != nil {
			return err
		}
		if !bytes.Equal(key, w.ID[:]) {
			return fmt.Errorf("%w: holds worker %v", ErrDamaged, w.ID)
		}
		l.workers = append(l.workers, w)
		return nil
	})
}

// changes are what one transaction writes: removals first, so that an id which
// came back is there afterwards.
type changes struct {
	put    []Worker
	remove []model.WorkerID
	feed   uint64
}

func (c *changes) write(tx *bbolt.Tx) error {
	workers := tx.Bucket([]byte(bucketWorkers))
	for i := range c.remove {
		if err := workers.Delete(c.remove[i][:]); err != nil {
			return err
		}
	}
	for i := range c.put {
		value, err := appendWorker(nil, &c.put[i]) // bbolt keeps the slice until the commit
		if err != nil {
			return err
		}
		if err := workers.Put(c.put[i].ID[:], value); err != nil {
			return err
		}
	}
	return tx.Bucket([]byte(boltfile.BucketMeta)).Put([]byte(keyFeed), binary.BigEndian.AppendUint64(nil, c.feed))
}
