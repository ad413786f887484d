// Package worker is workerd: it wires the sampler to the spool, the spool to
// the stream, and the port that hears probes to the worker's own view of its
// registration, which says where the stream goes. It decides nothing itself.
//
//	/proc, /sys -> sampler -> spool -> stream client ---------> collectord
//	                                        ^ where to
//	ProbeInit, RegisterAck -> responder -> registration
package worker
