// Package collector is collectord: it wires the prober that calls for workers,
// the port that takes their streams and serves people, the store, and the view
// of the fleet that it gets from coordinatord. It decides nothing itself.
//
//	prober ----------------------- ProbeInit ----> workers
//	port -+- stream server -> sessions -> store <- queries <- guard <- HTTPS API -+- port, unix socket
//	      |                      |          ^ endings <-----+            |
//	      |                   contacts -> coordinatord -> fleet view ----+
//	      +- cloudless-frame/1                    h2, http/1.1
//
// Trust comes from coordinatord, too: the certificate of the fleet and the one
// for browsers, which are renewed as long as the daemon runs; the voucher for the
// key that signs probes, with the answer to a hello once a minute; the copy of the
// revocation list, by a long poll; and with each worker the one process of it that
// may stream. Without coordinatord all of it stays as it was.
package collector
