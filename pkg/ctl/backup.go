package ctl

import (
	"context"
	"fmt"
	"io"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func (c *command) backup(ctx context.Context, args []string) error {
	set := c.flags("backup")
	r, form := reaching(set, model.DaemonCollector), outputFlag(set)
	name := set.String("name", "", "call the snapshot by this `name` (default: the time)")
	if err := c.parseAll(set, args); err != nil {
		return err
	}
	client, w, err := r.patient()
	if err != nil {
		return err
	}
	made, err := client.Snapshot(ctx, *name)
	if err != nil {
		return w.explain(err)
	}
	r.done()
	return form.print(c.Out, made, func(out io.Writer) {
		fmt.Fprintf(out, "Made snapshot %s in %s on collectord's host: %d files of %s.\n", plain(made.Name), plain(made.Path), made.Files, model.Bytes(made.Bytes))
	})
}

func (c *command) backupImport(ctx context.Context, args []string) error {
	set := c.flags("backup import")
	r, form := reaching(set, model.DaemonCollector), outputFlag(set)
	name, err := c.parseOne(set, args, "the name of a snapshot")
	if err != nil {
		return err
	}
	client, w, err := r.patient()
	if err != nil {
		return err
	}
	done, err := client.ImportSnapshot(ctx, name)
	if err != nil {
		return w.explain(err)
	}
	r.done()
	return form.print(c.Out, done, func(out io.Writer) { importTold(out, done) })
}

func importTold(out io.Writer, done api.SnapshotImported) {
	if done.Volumes == 0 && done.Gaps == 0 {
		fmt.Fprintf(out, "Nothing of snapshot %s was missing.\n", plain(done.Name))
	} else {
		fmt.Fprintf(out, "Imported %d volumes with %d rows (%s), and %d gaps, from snapshot %s.\n", done.Volumes, done.Rows, model.Bytes(done.Bytes), done.Gaps, plain(done.Name))
	}
	if done.Old > 0 {
		fmt.Fprintf(out, "Volumes left out because they are older than the retention: %d.\n", done.Old)
	}
}

// patient is queries for what may take as long as the disk needs.
func (r *reach) patient() (*api.Client, way, error) {
	w, err := r.to(model.DaemonCollector)
	if err != nil {
		return nil, way{}, err
	}
	w.client.Timeout = 0 // an interrupt ends it
	client, err := api.NewClient(w.base, w.client)
	return client, w, err
}
