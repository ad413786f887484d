package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"
)

// Where administrators make snapshots of the store, as in Prometheus, and take them over.
const (
	PathSnapshot       = "/api/v1/admin/tsdb/snapshot"        // POST or PUT ?name= -> Snapshot
	PathSnapshotImport = "/api/v1/admin/tsdb/snapshot/import" // POST ?name= -> SnapshotImported
)

// Snapshot is one that was made. Prometheus has the name only.
type Snapshot struct {
	Name    string    `json:"name"`
	Path    string    `json:"path"` // of its folder, on collectord's host
	Created time.Time `json:"created"`
	Files   int       `json:"files"`
	Bytes   int64     `json:"bytes"`
}

// SnapshotImported says what a snapshot had that the store had not.
type SnapshotImported struct {
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
	Volumes int       `json:"volumes"`
	Rows    uint64    `json:"rows"`
	Bytes   int64     `json:"bytes"`
	// Known and Old are volumes that were not taken over: they were there already, or are
	// beyond the retention.
	Known int `json:"known"`
	Old   int `json:"old"`
	Gaps  int `json:"gaps"`
}

// Snapshot makes a snapshot of the store; without a name it is called by the time. It lasts as
// long as the disk takes to read everything that is stored.
func (c *Client) Snapshot(ctx context.Context, name string) (made Snapshot, err error) {
	query := url.Values{}
	if name != "" {
		query.Set("name", name)
	}
	return made, c.snapshots(ctx, PathSnapshot, query, &made)
}

// ImportSnapshot takes over what a snapshot has that the store has not.
func (c *Client) ImportSnapshot(ctx context.Context, name string) (done SnapshotImported, err error) {
	return done, c.snapshots(ctx, PathSnapshotImport, url.Values{"name": {name}}, &done)
}

func (c *Client) snapshots(ctx context.Context, path string, query url.Values, out any) error {
	var e envelope
	if err := c.call(ctx, http.MethodPost, path, query, &e); err != nil {
		return err
	}
	return json.Unmarshal(e.Data, out)
}
