package stream

// gate lets the backfill connection be made: while the live one stands, or waits
// for older records to go first. A collector that cannot be reached, or lets
// nobody in, is tried by one connection only. The client's lock guards it.
type gate struct {
	open   bool
	opened chan struct{} // closed while open
}

func newGate() gate { return gate{opened: make(chan struct{})} }

func (g *gate) set(open bool) {
	switch {
	case open == g.open:
	case open:
		close(g.opened)
	default:
		g.opened = make(chan struct{})
	}
	g.open = open
}
