package schemas

// Source returns the source of a number (Source.Number), nil if there is none. It waits for a
// change that is under way.
func (d *Dictionary) Source(number uint32) *Source {
	d.writing.Lock()
	defer d.writing.Unlock()
	return d.numbers[number]
}
