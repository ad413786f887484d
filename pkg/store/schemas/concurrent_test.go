package schemas

import (
	"fmt"
	"sync"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// TestReadersSeeWholeHosts: while hosts and devices come and are forgotten, what stays is
// found by every selection, and no series is found twice.
func TestReadersSeeWholeHosts(t *testing.T) {
	b := newBook(t)
	const hosts = 20
	cpu := b.part(simplePart("cpu", "node_cpu", model.LabelsOf("mode", "idle"), model.LabelsOf("mode", "user")))
	id := b.schema(cpu)
	for i := range hosts {
		b.use(b.source(i, "instance", fmt.Sprint("stays", i), "job", "node"), 1, id, 1e9)
	}
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				for _, ms := range [][]*labels.Matcher{
					{labels.MustNewMatcher(labels.MatchEqual, "__name__", "node_cpu"), labels.MustNewMatcher(labels.MatchRegexp, "instance", "stays.+")},
					{labels.MustNewMatcher(labels.MatchRegexp, "mode", "idle|user")},
					{labels.MustNewMatcher(labels.MatchNotEqual, "mode", "")},
				} {
					staying := map[string]bool{}
					sel, err := b.Select(t.Context(), MinTime, MaxTime, ms...)
					if err != nil {
						t.Error(err)
						return
					}
					for s := range sel.Series(true) {
						if text := s.Labels.String(); staying[text] {
							t.Errorf("%s twice", text)
						} else if len(s.Labels.Get("instance")) > 5 {
							staying[text] = true
						}
					}
					if len(staying) != 2*hosts {
						t.Errorf("%v: %d series of hosts that stay, want %d", ms, len(staying), 2*hosts)
						return
					}
				}
				b.LabelValues(t.Context(), MinTime, MaxTime, "device")
				b.Metadata("")
			}
		})
	}
	for i := range 300 {
		device := b.part(simplePart("disk", "disk_read", model.LabelsOf("device", fmt.Sprint(i)), model.LabelsOf("device", "sda")))
		both := b.schema(cpu, device)
		b.use(b.source(100+i%7, "instance", fmt.Sprint(i%7)), 1, both, model.Millis(i))
		b.use(b.source(0, "instance", "stays0", "job", "node"), 2, both, model.Millis(i))
		if i%10 == 9 {
			b.Forget(model.Millis(i - 5))
		}
	}
	close(done)
	readers.Wait()
}
