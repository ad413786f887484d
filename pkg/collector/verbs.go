package collector

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/daemon"
	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store"
	"github.com/cloudless-fleet/cloudless/pkg/store/snapshot"
)

// verbs are collectord's own commands. Both are for while it does not run.
func verbs() []daemon.Verb[Config] {
	return []daemon.Verb[Config]{
		{Name: "restore", Args: "SNAPSHOT", Summary: "make an empty store what a snapshot is: a folder, or the name of one that cloudlessctl backup has made",
			Run: restore},
		{Name: "verify", Args: "[FOLDER]", Summary: "read everything that is stored, or a snapshot, and say what is damaged; changes nothing",
			Run: verify},
	}
}

// snapshotAt is the folder of a snapshot that is given by its path or its name.
func snapshotAt(cfg Config, text string) string {
	if !strings.ContainsRune(text, filepath.Separator) && snapshot.ValidName(text) {
		if _, err := os.Stat(text); errors.Is(err, fs.ErrNotExist) {
			return filepath.Join(cfg.store().SnapshotFolder(), text)
		}
	}
	return text
}

func restore(ctx context.Context, call daemon.Call[Config]) error {
	if len(call.Args) != 1 || call.Args[0] == "" {
		return &daemon.UsageError{Message: "restore: want the folder or the name of a snapshot"}
	}
	cfg, err := call.Load()
	if err != nil {
		return err
	}
	from, dir := snapshotAt(cfg, call.Args[0]), cfg.store().Dir
	m, err := snapshot.Restore(ctx, durable.ReadOnly(), from, durable.OS(), dir)
	if err == nil {
		err = handOver(dir)
	}
	switch {
	case errors.Is(err, snapshot.ErrExists):
		return fmt.Errorf("%w; move its folders %s out of the way, or set store.dir to another folder", err, strings.Join(snapshot.Folders(), ", "))
	case err != nil:
		return err
	}
	_, err = fmt.Fprintf(call.Stdout, "restored %s into %s: %s\n", from, dir, described(m.Created, len(m.Files), m.Bytes()))
	return err
}

func described(created time.Time, files int, bytes int64) string {
	return fmt.Sprintf("the store as it was at %s, %d files of %s", created.UTC().Format(time.RFC3339), files, model.Bytes(bytes))
}

// handOver gives what root has restored to the owner of the folder, who is the daemon.
func handOver(dir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	for _, folder := range snapshot.Folders() {
		err := filepath.WalkDir(filepath.Join(dir, folder), func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(path, int(owner.Uid), int(owner.Gid))
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func verify(ctx context.Context, call daemon.Call[Config]) error {
	if len(call.Args) > 1 {
		return &daemon.UsageError{Message: "verify: want one folder, or none for the store's own"}
	}
	cfg, err := call.Load()
	if err != nil {
		return err
	}
	dir := cfg.store().Dir
	if len(call.Args) == 1 {
		dir = snapshotAt(cfg, call.Args[0])
	}
	found, err := store.Verify(ctx, dir, nil)
	if err != nil {
		return err
	}
	if found.Name != "" {
		fmt.Fprintf(call.Stdout, "%s is %s\n", dir, described(found.Created, found.Files, found.Bytes))
	}
	fmt.Fprintf(call.Stdout, "%d volumes with %d blocks of %d rows, and the logs were read\n", found.Volumes, found.Blocks, found.Rows)
	for _, damage := range found.Damage {
		fmt.Fprintln(call.Stdout, damage)
	}
	if n := len(found.Damage); n > 0 {
		return fmt.Errorf("verify %q: %d damaged places", dir, n)
	}
	fmt.Fprintln(call.Stdout, "nothing is damaged")
	return nil
}
