// Package collector is collectord: it wires the prober that calls for workers,
// the port that takes their streams and serves people, the store, and the view
// of the fleet that it gets from coordinatord. It decides nothing itself.
//
//	prober ----------------------- ProbeInit ----> workers
//	port -+- stream server -> sessions -> store <- queries <- HTTPS API -+- port
//	      |                      |          ^ endings <-----+            |
//	      |                   contacts -> coordinatord -> fleet view ----+
//	      +- cloudless-frame/1                    h2, http/1.1
package collector
