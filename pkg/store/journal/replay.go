package journal

import (
	"errors"
	"fmt"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
)

// Replay goes over all records, the oldest first. What Raw, State and Intervals
// of an entry refer to is valid during the call. damaged is told of what cannot be
// read, and Replay goes on behind. It ends with the first error of visit, or of
// the disk, or with ErrVersion.
func (j *Journal) Replay(visit func(index uint64, e Entry) error, damaged func(*durable.Damage)) error {
	r := j.log.Read(0)
	defer r.Close()
	for {
		for r.Next() {
			record := r.Record()
			e, err := ParseEntry(record.Data)
			switch {
			case errors.Is(err, ErrVersion):
				return fmt.Errorf("journal: record %d at %v: %w", record.Index, record.At, err)
			case err != nil:
				damaged(j.log.Damaged(record, err.Error()))
				continue
			}
			if err := visit(record.Index, e); err != nil {
				return err
			}
		}
		var damage *durable.Damage
		if !errors.As(r.Err(), &damage) {
			return r.Err()
		}
		damaged(damage)
		r.Resume()
	}
}
