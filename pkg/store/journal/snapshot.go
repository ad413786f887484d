package journal

import "fmt"

// Snapshot makes a journal of its own, in another folder, of everything that was appended
// before the call; see durable.Log.Snapshot.
func (j *Journal) Snapshot(dir string) error {
	if err := j.log.Snapshot(dir); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}
