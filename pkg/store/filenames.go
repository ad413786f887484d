package store

// Names inside the store's directory.
const (
	lockName  = "lock"
	indexName = "index.bolt"
	tsdbName  = "tsdb"
	walName   = "wal" // inside tsdbName
	wblName   = "wbl" // inside tsdbName
	// closedName is an empty file that is there after a tidy end.
	closedName = "closed"
	// scratchName is there while the log of late samples is rewritten.
	scratchName = "scratch"
)
