package store

// Names inside the store's directory.
const (
	lockName  = "lock"
	indexName = "index.bolt"
	tsdbName  = "tsdb"
	walName   = "wal" // inside tsdbName
	wblName   = "wbl" // inside tsdbName
)
