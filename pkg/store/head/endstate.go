package head

import (
	"fmt"
	"sync"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// endState writes and reads the bases that say that a lane has ended. They name no
// schema, and hold the state of a decoder of one column, whose time is that of the end
// row. Safe for concurrent use.
type endState struct {
	mu      sync.Mutex
	decoder *frame.Decoder
	encoder *frame.Encoder
}

func (e *endState) makeLocked() error {
	if e.decoder != nil {
		return nil
	}
	layout, err := frame.NewLayout([]model.Part{{Collector: "end", Families: []model.Family{{Name: "end", Series: []model.Labels{nil}}}}})
	if err != nil {
		return err
	}
	e.decoder, e.encoder = frame.NewDecoder(layout, frame.SchemaID{}), frame.NewEncoder(layout, frame.SchemaID{}, 1)
	return nil
}

// state is the state of the base of an end row.
func (e *endState) state(at model.Millis) ([]byte, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.makeLocked(); err != nil {
		return nil, err
	}
	payload, _ := e.encoder.Append(nil, at, []float64{0})
	if err := e.decoder.Decode(payload); err != nil {
		return nil, err
	}
	return e.decoder.AppendState(nil), nil
}

// at is the inverse of state.
func (e *endState) at(state []byte) (model.Millis, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.makeLocked(); err != nil {
		return 0, err
	}
	if err := e.decoder.SetState(state); err != nil {
		return 0, fmt.Errorf("end of a stream: %w", err)
	}
	return e.decoder.At(), nil
}
