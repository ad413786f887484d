package admission

import (
	"bytes"
	"fmt"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"

	"github.com/cloudless-fleet/cloudless/pkg/boltfile"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust/token"
)

// FileName is the desk's file in the state folder of the coordinator.
const FileName = "admission.db"

// Names of the buckets in the file; see docs/formats/admission.md.
const (
	bucketMembers = "members"
	bucketTokens  = "tokens"
	bucketUses    = "uses"
	bucketPending = "pending"

	formatVersion = 1
)

// loaded is what the file holds.
type loaded struct {
	members []storedMember
	tokens  []token.Record // with their uses
	pending []*applicant
	damaged []boltfile.Damage
}

// openDisk opens or makes the file in dir and reads all of it.
func openDisk(dir string, lockTimeout time.Duration) (d *boltfile.File, l loaded, err error) {
	layout := boltfile.Layout{Name: "admission", Version: formatVersion, Buckets: []string{bucketMembers, bucketTokens, bucketUses, bucketPending},
		Remedy: "restore it from a backup, or move it aside: then every worker has to be admitted anew"}
	d, l.damaged, err = boltfile.Open(filepath.Join(dir, FileName), layout, lockTimeout, l.read)
	return d, l, err
}

// read takes everything over, uses after the tokens that they are of.
func (l *loaded) read(r *boltfile.Reader) error {
	records := make(map[token.ID]token.Record)
	err := r.Each(bucketMembers, func(key, value []byte) error {
		m, err := parseMember(value)
		if err != nil {
			return err
		}
		if !bytes.Equal(key, m.ID[:]) {
			return fmt.Errorf("%w: holds member %v", ErrDamaged, m.ID)
		}
		l.members = append(l.members, m)
		return nil
	})
	if err != nil {
		return err
	}
	err = r.Each(bucketTokens, func(key, value []byte) error {
		record, err := parseToken(value)
		if err != nil {
			return err
		}
		if !bytes.Equal(key, record.ID[:]) {
			return fmt.Errorf("%w: holds token %v", ErrDamaged, record.ID)
		}
		records[record.ID] = record
		return nil
	})
	if err != nil {
		return err
	}
	err = r.Each(bucketUses, func(key, value []byte) error {
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
	})
	if err != nil {
		return err
	}
	for _, record := range records {
		sortUses(record.Uses)
		l.tokens = append(l.tokens, record)
	}
	return r.Each(bucketPending, func(key, value []byte) error {
		a, err := parsePending(value)
		if err != nil {
			return err
		}
		if !bytes.Equal(key, a.Key) {
			return fmt.Errorf("%w: holds another key", ErrDamaged)
		}
		l.pending = append(l.pending, a)
		return nil
	})
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

func (c *changes) write(tx *bbolt.Tx) error {
	if err := c.remove(tx); err != nil {
		return err
	}
	return c.put(tx)
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
