package admission

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust/token"
)

// FileName is the desk's file in the state folder of the coordinator.
const FileName = "admission.db"

// ErrLocked says that another process has the file open.
var ErrLocked = errors.New("in use by another process (is a coordinator already running?)")

// Names of the buckets and keys in the file; see docs/formats/admission.md.
const (
	bucketMeta       = "meta"
	bucketMembers    = "members"
	bucketTokens     = "tokens"
	bucketUses       = "uses"
	bucketPending    = "pending"
	bucketQuarantine = "quarantine"
	keyFormat        = "format" // 8 bytes big endian: formatVersion

	formatVersion = 1
)

// disk is the file. Safe for concurrent use, as bbolt is.
type disk struct {
	path string
	db   *bbolt.DB
}

// damage is one entry that was set aside.
type damage struct {
	bucket string
	key    []byte
	err    error
}

// loaded is what the file holds.
type loaded struct {
	members []storedMember
	tokens  []token.Record // with their uses
	pending []*applicant
	damaged []damage
}

// openDisk opens or makes the file in dir and reads all of it. A file that is
// damaged as a whole is left as it is, with ErrDamaged; a single damaged entry
// is moved to the quarantine bucket.
func openDisk(dir string, lockTimeout time.Duration) (d *disk, l loaded, err error) {
	path := filepath.Join(dir, FileName)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, loaded{}, fmt.Errorf("open admission: %w", err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("open admission %q: %w", path, err)
		}
	}()
	err = guarded(func() (err error) {
		d, l, err = openFile(path, lockTimeout)
		return err
	})
	switch {
	case err == nil:
		return d, l, syncDir(dir)
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, loaded{}, ErrLocked
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if errors.Is(err, ErrDamaged) {
		err = fmt.Errorf("%w; restore it from a backup, or move it aside: then every worker has to be admitted anew", err)
	}
	return nil, loaded{}, err
}

// guarded turns the panics with which bbolt meets a damaged page, and the fault
// of reading past the end of a truncated file, into ErrDamaged.
func guarded(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, cause)
		}
	}()
	return f()
}

func openFile(path string, lockTimeout time.Duration) (*disk, loaded, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return nil, loaded{}, err
	}
	var l loaded
	opened := false
	defer func() { // on panics too, or the lock would stay
		if !opened {
			db.Close()
		}
	}()
	if err := db.View(func(tx *bbolt.Tx) error { return checkSize(tx, path) }); err != nil {
		return nil, loaded{}, err
	}
	if err := db.Update(func(tx *bbolt.Tx) error {
		if err := checkFormat(tx); err != nil {
			return err
		}
		return l.read(tx)
	}); err != nil {
		return nil, loaded{}, err
	}
	opened = true
	return &disk{path: path, db: db}, l, nil
}

func checkSize(tx *bbolt.Tx, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Size() < tx.Size() {
		return fmt.Errorf("%w: %d bytes long, want %d", ErrDamaged, info.Size(), tx.Size())
	}
	return nil
}

// checkFormat refuses newer files and prepares a new one.
func checkFormat(tx *bbolt.Tx) error {
	for _, name := range []string{bucketMeta, bucketMembers, bucketTokens, bucketUses, bucketPending, bucketQuarantine} {
		if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
			return err
		}
	}
	meta := tx.Bucket([]byte(bucketMeta))
	switch version := meta.Get([]byte(keyFormat)); {
	case version == nil:
		return meta.Put([]byte(keyFormat), binary.BigEndian.AppendUint64(nil, formatVersion))
	case len(version) != 8:
		return fmt.Errorf("%w: format version of %d bytes", ErrDamaged, len(version))
	case binary.BigEndian.Uint64(version) > formatVersion:
		return fmt.Errorf("%w: format %d, known is %d", ErrNewerFormat, binary.BigEndian.Uint64(version), formatVersion)
	}
	return nil
}

// read takes everything over and moves damaged entries to the quarantine.
func (l *loaded) read(tx *bbolt.Tx) error {
	*l = loaded{}
	records := make(map[token.ID]token.Record)
	steps := []struct {
		bucket string
		take   func(key, value []byte) error
	}{
		{bucketMembers, func(key, value []byte) error {
			m, err := parseMember(value)
			if err == nil && (len(key) != len(m.ID) || model.WorkerID(key) != m.ID) {
				err = fmt.Errorf("%w: holds member %v", ErrDamaged, m.ID)
			}
			if err == nil {
				l.members = append(l.members, m)
			}
			return err
		}},
		{bucketTokens, func(key, value []byte) error {
			record, err := parseToken(value)
			if err == nil && (len(key) != len(record.ID) || token.ID(key) != record.ID) {
				err = fmt.Errorf("%w: holds token %v", ErrDamaged, record.ID)
			}
			if err == nil {
				records[record.ID] = record
			}
			return err
		}},
		{bucketUses, func(key, value []byte) error {
			use, err := parseUse(key, value)
			if err != nil {
				return err
			}
			record, known := records[use.token]
			if !known || record.UsesLeft+len(record.Uses) >= token.MaxUses {
				return fmt.Errorf("%w: use of a token that is not there, or that has too many", ErrDamaged)
			}
			record.Uses = append(record.Uses, use.Use)
			records[use.token] = record
			return nil
		}},
		{bucketPending, func(key, value []byte) error {
			a, err := parsePending(value)
			if err == nil && !bytes.Equal(key, a.Key) {
				err = fmt.Errorf("%w: holds another key", ErrDamaged)
			}
			if err == nil {
				l.pending = append(l.pending, a)
			}
			return err
		}},
	}
	for _, step := range steps {
		if err := l.readBucket(tx, step.bucket, step.take); err != nil {
			return err
		}
	}
	for _, record := range records {
		sortUses(record.Uses)
		l.tokens = append(l.tokens, record)
	}
	return l.setAside(tx)
}

func (l *loaded) readBucket(tx *bbolt.Tx, name string, take func(key, value []byte) error) error {
	return tx.Bucket([]byte(name)).ForEach(func(key, value []byte) error {
		err := take(key, value)
		if errors.Is(err, ErrNewerFormat) {
			return fmt.Errorf("%s %x: %w", name, key, err)
		}
		if err != nil {
			l.damaged = append(l.damaged, damage{bucket: name, key: bytes.Clone(key), err: err})
		}
		return nil
	})
}

func (l *loaded) setAside(tx *bbolt.Tx) error {
	quarantine := tx.Bucket([]byte(bucketQuarantine))
	for _, bad := range l.damaged {
		from := tx.Bucket([]byte(bad.bucket))
		n, err := quarantine.NextSequence()
		if err != nil {
			return err
		}
		name := binary.BigEndian.AppendUint64(nil, n)
		name = append(append(append(name, bad.bucket...), 0), bad.key...)
		if err := errors.Join(quarantine.Put(name, bytes.Clone(from.Get(bad.key))), from.Delete(bad.key)); err != nil {
			return err
		}
	}
	return nil
}

// changes are what one transaction writes: removals first, so that an id which
// came back is there afterwards.
type changes struct {
	goneMembers []model.WorkerID
	members     []storedMember
	from        []*member // whose members are
	goneTokens  []token.ID
	tokens      []token.Record
	uses        []tokenUse
	gonePending []keyBytes
	pending     []Pending
	applicants  []*applicant // whose pending are
}

func (c *changes) empty() bool {
	return len(c.goneMembers)+len(c.members)+len(c.goneTokens)+len(c.tokens)+len(c.uses)+len(c.gonePending)+len(c.pending) == 0
}

// write makes the changes durable: all or none of them.
func (d *disk) write(c *changes) error {
	err := d.db.Update(func(tx *bbolt.Tx) error {
		if err := c.remove(tx); err != nil {
			return err
		}
		return c.put(tx)
	})
	if err != nil {
		return fmt.Errorf("write admission %q: %w", d.path, err)
	}
	return nil
}

func (c *changes) remove(tx *bbolt.Tx) error {
	members, tokens, uses, pending := tx.Bucket([]byte(bucketMembers)), tx.Bucket([]byte(bucketTokens)),
		tx.Bucket([]byte(bucketUses)), tx.Bucket([]byte(bucketPending))
	for _, id := range c.goneMembers {
		if err := members.Delete(id[:]); err != nil {
			return err
		}
	}
	for _, id := range c.goneTokens {
		if err := tokens.Delete(id[:]); err != nil {
			return err
		}
		var keys [][]byte
		cursor := uses.Cursor()
		for key, _ := cursor.Seek(id[:]); bytes.HasPrefix(key, id[:]); key, _ = cursor.Next() {
			keys = append(keys, bytes.Clone(key))
		}
		for _, key := range keys {
			if err := uses.Delete(key); err != nil {
				return err
			}
		}
	}
	for _, key := range c.gonePending {
		if err := pending.Delete(key[:]); err != nil {
			return err
		}
	}
	return nil
}

func (c *changes) put(tx *bbolt.Tx) error {
	put := func(bucket string, key, value []byte, err error) error {
		if err != nil {
			return err
		}
		return tx.Bucket([]byte(bucket)).Put(key, value) // bbolt keeps both until the commit
	}
	for i := range c.members {
		value, err := appendMember(nil, &c.members[i])
		if err := put(bucketMembers, c.members[i].ID[:], value, err); err != nil {
			return err
		}
	}
	for i := range c.tokens {
		value, err := appendToken(nil, c.tokens[i])
		if err := put(bucketTokens, c.tokens[i].ID[:], value, err); err != nil {
			return err
		}
	}
	for i := range c.uses {
		if err := put(bucketUses, c.uses[i].key(), c.uses[i].appendValue(nil), nil); err != nil {
			return err
		}
	}
	for i := range c.pending {
		value, err := appendPending(nil, &c.pending[i])
		if err := put(bucketPending, c.pending[i].Key, value, err); err != nil {
			return err
		}
	}
	return nil
}

func (d *disk) close() error {
	if err := d.db.Close(); err != nil {
		return fmt.Errorf("close admission %q: %w", d.path, err)
	}
	return nil
}

// syncDir makes a newly created file's name durable.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
