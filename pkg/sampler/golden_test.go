package sampler

import (
	"bytes"
	"testing"
)

// The whole path: a recorded host in, the text that node_exporter would
// print out.
func TestRecordedHost(t *testing.T) {
	h := newTestHost(t)
	snapshot, err := h.sampler().SampleOnce()
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := snapshot.WritePrometheus(&text); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/host-small.prom", text.Bytes())
	if h.logged.Len() > 0 {
		t.Errorf("logged:\n%s", h.logged.String())
	}
}
