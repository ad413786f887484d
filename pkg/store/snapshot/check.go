package snapshot

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
)

// Read reads the manifest of a snapshot. The error wraps ErrNone, ErrNewerFormat or
// durable.ErrDisk, or is *Damage.
func Read(disk durable.FS, dir string) (Manifest, error) {
	name := filepath.Join(dir, ManifestName)
	var b []byte
	err := read(context.Background(), disk, name, -1, func(more []byte) error {
		if b = append(b, more...); len(b) > maxManifest {
			return &Damage{name, fmt.Sprintf("is longer than %d bytes", maxManifest)}
		}
		return nil
	})
	if damage := (*Damage)(nil); errors.As(err, &damage) && damage.Why == "is missing" {
		return Manifest{}, fmt.Errorf("%q: %w: it has no %s", dir, ErrNone, ManifestName)
	}
	if err != nil {
		return Manifest{}, err
	}
	m, err := Parse(b)
	switch {
	case errors.Is(err, ErrNewerFormat):
		return m, fmt.Errorf("%q: %w", name, err)
	case err != nil:
		return m, &Damage{name, err.Error()}
	}
	return m, nil
}

// Check reads all of a snapshot, and returns what of it is damaged, missing, or was not there
// when it was made. The error is one of Read, or of ctx.
func Check(ctx context.Context, disk durable.FS, dir string) (m Manifest, found []*Damage, err error) {
	if m, err = Read(disk, dir); err != nil {
		return m, nil, err
	}
	for _, f := range m.Files {
		name := filepath.Join(dir, filepath.FromSlash(f.Path))
		crc, _, err := sum(ctx, disk, name, f.Bytes)
		var damage *Damage
		switch {
		case errors.As(err, &damage):
			found = append(found, damage)
		case err != nil:
			return m, found, err
		case crc != f.CRC:
			found = append(found, &Damage{name, "checksum does not match"})
		}
	}
	files, err := list(disk, dir)
	if err != nil {
		return m, found, err
	}
	for _, f := range files {
		if _, known := slices.BinarySearchFunc(m.Files, f, File.order); !known {
			found = append(found, &Damage{filepath.Join(dir, filepath.FromSlash(f.Path)), "is not of the snapshot"})
		}
	}
	return m, found, nil
}
