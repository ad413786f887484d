package query

// Readers keeps the readers of pieces for the next piece: they own buffers that are
// worth more than what they read. It is for one goroutine; queries take one each from
// a pool.
type Readers struct{ free map[any][]any }

// Take returns a reader of a kind that was given back, or nil. The kind is a comparable
// value that tells whose it is: a constant of a type of the package that implements Piece.
func (r *Readers) Take(kind any) any {
	free := r.free[kind]
	if len(free) == 0 {
		return nil
	}
	last := len(free) - 1
	reader := free[last]
	free[last] = nil
	r.free[kind] = free[:last]
	return reader
}

// Give gives a reader back. It must hold nothing of the piece that it has read, for it may
// stay for long.
func (r *Readers) Give(kind, reader any) {
	if r.free == nil {
		r.free = map[any][]any{}
	}
	r.free[kind] = append(r.free[kind], reader)
}
