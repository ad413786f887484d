package revocation

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

const (
	fileVersion = 1
	// maxFile is the size of the longest file, in bytes: MaxEntries of the
	// longest ones and then some.
	maxFile = 40 << 20
)

type file struct {
	Version  int     `json:"version"`
	Revision uint64  `json:"revision"`
	Entries  []Entry `json:"entries"`
}

func (s *state) marshal() ([]byte, error) {
	return json.Marshal(file{fileVersion, s.revision, s.sorted()})
}

func parse(data []byte) (*state, error) {
	if len(data) > maxFile {
		return nil, fmt.Errorf("larger than %d bytes", maxFile)
	}
	var f file
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&f); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("something behind it")
	}
	if f.Version != fileVersion {
		return nil, fmt.Errorf("version %d, want %d", f.Version, fileVersion)
	}
	if len(f.Entries) > MaxEntries {
		return nil, ErrFull
	}
	s := &state{revision: f.Revision, entries: make(map[Subject]Entry, len(f.Entries)), changed: make(chan struct{})}
	for i, entry := range f.Entries {
		if _, twice := s.entries[entry.Subject]; twice || entry.Subject.text == "" || entry.Revision > f.Revision ||
			entry.Revision == 0 || entry.Reason != model.Line(entry.Reason, MaxReason) {
			return nil, fmt.Errorf("entry %d: not as it was written", i+1)
		}
		s.entries[entry.Subject] = entry
	}
	return s, nil
}
