package feed

import (
	"fmt"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/storage"
)

// appender implements storage.Appender.
type appender struct {
	batch
	ordered bool
}

var _ storage.Appender = (*appender)(nil)

// Append implements storage.Appender.
func (a *appender) Append(ref storage.SeriesRef, l labels.Labels, t int64, v float64) (storage.SeriesRef, error) {
	return a.append(ref, l, t, v, a.ordered)
}

// SetOptions implements storage.Appender.
func (a *appender) SetOptions(o *storage.AppendOptions) { a.ordered = o != nil && o.DiscardOutOfOrder }

// AppendExemplar implements storage.ExemplarAppender: they are passed over.
func (a *appender) AppendExemplar(storage.SeriesRef, labels.Labels, exemplar.Exemplar) (storage.SeriesRef, error) {
	return 0, nil
}

// AppendHistogram implements storage.HistogramAppender: it fails.
func (a *appender) AppendHistogram(_ storage.SeriesRef, l labels.Labels, _ int64, _ *histogram.Histogram, _ *histogram.FloatHistogram) (storage.SeriesRef, error) {
	return 0, a.feed.histogram(l)
}

// AppendHistogramSTZeroSample implements storage.HistogramAppender: it fails.
func (a *appender) AppendHistogramSTZeroSample(_ storage.SeriesRef, l labels.Labels, _, _ int64, _ *histogram.Histogram, _ *histogram.FloatHistogram) (storage.SeriesRef, error) {
	return 0, a.feed.histogram(l)
}

func (f *Feed) histogram(l labels.Labels) error {
	f.figures.histograms.Add(1)
	return fmt.Errorf("series %.200s: %w", l, ErrHistogram)
}

// UpdateMetadata implements storage.MetadataUpdater.
func (a *appender) UpdateMetadata(ref storage.SeriesRef, l labels.Labels, m metadata.Metadata) (storage.SeriesRef, error) {
	a.feed.tell(l, m)
	return ref, nil
}

// AppendSTZeroSample implements storage.StartTimestampAppender: they are passed over.
func (a *appender) AppendSTZeroSample(ref storage.SeriesRef, _ labels.Labels, _, _ int64) (storage.SeriesRef, error) {
	return ref, nil
}

// appenderV2 implements storage.AppenderV2.
type appenderV2 struct{ batch }

var _ storage.AppenderV2 = (*appenderV2)(nil)

// Append implements storage.AppenderV2. Exemplars and the start timestamp are passed over.
func (a *appenderV2) Append(ref storage.SeriesRef, l labels.Labels, _, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, o storage.AppendV2Options) (storage.SeriesRef, error) {
	if h != nil || fh != nil {
		return 0, a.feed.histogram(l)
	}
	ref, err := a.append(ref, l, t, v, o.RejectOutOfOrder)
	if err == nil {
		a.feed.tell(l, o.Metadata)
	}
	return ref, err
}
