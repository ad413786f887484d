package durable

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// Check reads all segments of a log that nobody has open, and returns what is damaged,
// the torn tail that a power cut leaves included. It changes nothing, and takes no
// lock: Open would repair. A folder that is not there is a log without records. The
// error wraps ErrNewerFormat or ErrDisk. disk nil is the operating system's.
func Check(dir string, disk FS) (found []*Damage, err error) {
	if disk == nil {
		disk = OS()
	}
	files, err := disk.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, diskError("list folder", dir, err)
	}
	slices.SortFunc(files, func(a, b FileInfo) int { return cmp.Compare(a.Name, b.Name) })
	r := recovery{log: &Log{dir: dir, disk: disk}}
	for _, info := range files {
		number, rest, ok := segmentNumber(info.Name)
		if ok && strings.HasPrefix(rest, damagedSuffix) {
			found = append(found, &Damage{File: filepath.Join(dir, info.Name), Length: info.Size, Why: "was set aside: its header cannot be read"})
		}
		if !ok || rest != "" {
			continue
		}
		if err := r.look(number, info); err != nil {
			return nil, err
		}
	}
	for _, bad := range r.bad {
		found = append(found, &Damage{File: filepath.Join(dir, bad.info.Name), Length: bad.info.Size, Why: bad.why})
	}
	segments := r.log.segments
	for i, s := range segments {
		if i+1 < len(segments) {
			s.end = segments[i+1].follows
		}
		more, err := s.check(disk, i+1 == len(segments))
		if err != nil {
			return nil, err
		}
		found = append(found, more...)
	}
	return found, nil
}

// check reads a segment.
func (s *segment) check(disk FS, last bool) (found []*Damage, err error) {
	file, err := disk.Open(s.path)
	if err != nil {
		return nil, diskError("open", s.path, err)
	}
	defer file.Close()
	var w walker
	w.enter(s.path, s.header, s.end, io.NewSectionReader(file, 0, s.size).ReadAt)
	if last {
		said := scanSegment(&w)
		torn := said.torn()
		for _, b := range said.breaks {
			found = append(found, b.Damage)
		}
		if torn != nil {
			torn.Torn, torn.Lost = torn.before >= said.sure, Range{First: s.first + uint64(torn.before)}
			torn.Length = s.size - torn.Offset
			found = append(found, torn.Damage)
		}
		return found, nil
	}
	for {
		_, err := w.next()
		var damage *Damage
		switch {
		case errors.As(err, &damage):
			found = append(found, damage)
		case err != nil: // the end
			return found, nil
		}
	}
}
