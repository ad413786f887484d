package store

import (
	"errors"
	"fmt"
	"sync"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/feed"
	"github.com/cloudless-fleet/cloudless/pkg/store/head"
)

// Feed takes samples one by one, as a storage.Appendable: see package feed.
type Feed = feed.Feed

// feeds are those of the store, by name. Safe for concurrent use.
type feeds struct {
	mu   sync.Mutex
	open map[string]*Feed
}

// Feed returns the feed of a name, which is made at the first call. Samples of another
// source, such as one gateway or all rules, come into one of its own: each has its limits
// (Config.MaxFeedSeries), and what it has is its own worker's. It fails when the name is empty.
func (s *Store) Feed(name string) (*Feed, error) {
	if name == "" {
		return nil, errors.New("store: a feed without a name")
	}
	s.feeds.mu.Lock()
	defer s.feeds.mu.Unlock()
	if known := s.feeds.open[name]; known != nil {
		return known, nil
	}
	f := feed.New(feed.Options{
		MaxSeries: s.config.MaxFeedSeries,
		Retention: s.config.Retention,
		MaxAhead:  s.config.limits().MaxAhead,
		Open:      func(boot model.BootID) (feed.Session, error) { return s.openFeed(name, boot) },
		Flush:     s.flush,
		Now:       s.now,
	})
	if s.feeds.open == nil {
		s.feeds.open = map[string]*Feed{}
	}
	s.feeds.open[name] = f
	return f, nil
}

// openFeed begins a session of a feed.
func (s *Store) openFeed(name string, boot model.BootID) (feed.Session, error) {
	if refusal := s.accepts(); refusal != nil {
		return nil, s.refused(refusal)
	}
	most := s.config.MaxFeedSeries
	opened, refusal := s.head.OpenSession(head.Source{Worker: feed.WorkerOf(name), Boot: boot, Labels: labels.EmptyLabels(), First: 1,
		Grant: head.Grant{Series: feed.Streams(most) * feed.StreamSeries, NewSeries: feedNewSeries * most, Streams: feed.Streams(most)}})
	if refusal != nil {
		return nil, fmt.Errorf("feed %q: %w", name, refusal)
	}
	return &Session{store: s, head: opened, durable: opened.Resume(), changed: make(chan struct{})}, nil
}

// feedNewSeries is how many times an hour all series of a feed may be others. Moving a series
// to another sheet does not count.
const feedNewSeries = 10

// FeedStats are the figures of all feeds, by name.
func (s *Store) FeedStats() map[string]feed.Stats {
	s.feeds.mu.Lock()
	defer s.feeds.mu.Unlock()
	stats := make(map[string]feed.Stats, len(s.feeds.open))
	for name, f := range s.feeds.open {
		stats[name] = f.Stats()
	}
	return stats
}
