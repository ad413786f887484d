package frame

import "fmt"

// reader takes parts and schemas apart. The first error sticks: afterwards all
// methods return zeros, so that the error is asked for once, at the end. It
// accepts the shortest form of a varint only.
type reader struct {
	b   []byte
	at  int
	err error
}

func (r *reader) fail(reason error, format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("byte %d: %s: %w", r.at, fmt.Sprintf(format, args...), reason)
	}
}

// left is the number of bytes not yet read.
func (r *reader) left() int { return len(r.b) - r.at }

func (r *reader) byte() byte {
	if r.err == nil && r.left() == 0 {
		r.fail(ErrMalformed, "cut off")
	}
	if r.err != nil {
		return 0
	}
	r.at++
	return r.b[r.at-1]
}

// bytes returns the next n bytes, which alias the input; n zeros after an error.
func (r *reader) bytes(n int) []byte {
	if r.err == nil && r.left() < n {
		r.fail(ErrMalformed, "%d of %d bytes", r.left(), n)
	}
	if r.err != nil {
		return make([]byte, n)
	}
	r.at += n
	return r.b[r.at-n : r.at]
}

func (r *reader) varint() uint64 {
	if r.err != nil {
		return 0
	}
	u, next := getVarint(r.b, r.at)
	switch {
	case next > len(r.b):
		r.fail(ErrMalformed, "number cut off")
	case next-r.at != varintSize(u):
		r.fail(ErrMalformed, "number %d in %d bytes", u, next-r.at)
	}
	if r.err != nil {
		return 0
	}
	r.at = next
	return u
}

// count reads how many things of at least size bytes each follow. It is never
// more than most, nor more than can follow, so it may be allocated for.
func (r *reader) count(most, size int) int {
	u := r.varint()
	if r.err == nil && u > uint64(most) {
		r.fail(ErrLimit, "%d, want at most %d", u, most)
	}
	if r.err == nil && u > uint64(r.left()/size) {
		r.fail(ErrMalformed, "%d in the %d bytes left", u, r.left())
	}
	if r.err != nil {
		return 0
	}
	return int(u)
}

// end is the first error, or that of bytes left over.
func (r *reader) end() error {
	if r.err == nil && r.left() > 0 {
		r.fail(ErrMalformed, "%d bytes too many", r.left())
	}
	return r.err
}
