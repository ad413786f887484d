package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"unsafe"
)

// Mapper is a File that can be mapped to memory. It is optional.
type Mapper interface {
	// Map maps the file's first size bytes for reading, of which only those may be
	// touched that the file has by then. The mapping outlives the File. What is
	// written to the file is seen in it.
	Map(size int64) (data []byte, unmap func() error, err error)
}

// mapping is a mapped file. It goes when nobody holds it: neither its segment nor
// a viewer.
type mapping struct {
	data  []byte
	unmap func() error
	holds atomic.Int32
}

// hold must be called while somebody else holds it.
func (m *mapping) hold() { m.holds.Add(1) }

func (m *mapping) release() {
	if m.holds.Add(-1) == 0 {
		m.unmap()
	}
}

// mapSegment maps at least so many bytes of a segment, and more if it grows. If it cannot be
// mapped its file is returned instead.
func (l *Log) mapSegment(s *segment, atLeast int64) (File, error) {
	s.indexing.Lock()
	defer s.indexing.Unlock()
	l.mu.Lock()
	last, enough := s == l.last(), s.mapped != nil && int64(len(s.mapped.data)) >= atLeast
	l.mu.Unlock()
	if enough {
		return nil, nil
	}
	file, err := l.disk.Open(s.path)
	if err != nil {
		return nil, diskError("open", s.path, err)
	}
	mapper, ok := file.(Mapper)
	if !ok {
		return file, nil
	}
	size := atLeast
	if last { // it fills, and marks come on top
		size = max(int64(l.opts.SegmentBytes), size) + size/16 + chunk
	}
	data, unmap, err := mapper.Map(size)
	if err != nil {
		return file, nil
	}
	file.Close()
	m := &mapping{data: data, unmap: unmap}
	m.hold()
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.gone {
		m.release()
		return nil, fs.ErrNotExist
	}
	if s.mapped != nil {
		s.mapped.release()
	}
	s.mapped = m
	return nil, nil
}

// leaveMapping is called when the segment goes. The caller holds Log.mu.
func (s *segment) leaveMapping() {
	s.gone = true
	if s.mapped != nil {
		s.mapped.release()
		s.mapped = nil
	}
}

// Guard calls f. If f touches bytes of a mapped file that the disk cannot read,
// or that are not there any more, f ends there, and the error wraps ErrDisk; without
// Guard the process ends. It costs a few nanoseconds. f must not leave anything
// half done that matters.
func Guard(f func() error) (err error) {
	was := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(was)
		if p := recover(); p != nil {
			err = fmt.Errorf("read a mapped file: %w: %w", ErrDisk, faultIn(nil, p))
		}
	}()
	return f()
}

// faultIn returns a panic as the error that it is if it comes from touching bytes
// that cannot be read: those of data, or any if that is nil. It panics on with others.
func faultIn(data []byte, p any) error {
	fault, ok := p.(interface {
		runtime.Error
		Addr() uintptr
	})
	if ok && data != nil {
		begin := uintptr(unsafe.Pointer(unsafe.SliceData(data)))
		ok = fault.Addr()-begin < uintptr(len(data))
	}
	if !ok {
		panic(p)
	}
	return errors.New("memory fault, as of a bad disk or a file that was cut")
}
