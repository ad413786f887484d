package block

// Verify reads all of a block and reports the first damage.
func (r *Reader) Verify(b *Block) error {
	r.Reset(b)
	if _, err := r.Times(); err != nil {
		return err
	}
	var v []float64
	for part := range b.parts {
		if err := r.Select(part); err != nil {
			return err
		}
		for c := range r.section.columns {
			var err error
			if v, err = r.Values(v[:0], c, 0, r.section.place.rows); err != nil {
				return err
			}
		}
	}
	return nil
}
