// Package crm turns the three registration messages, ProbeInit, ProbeAck and
// RegisterAck, into the JSON datagrams of the legacy system and back. What it
// writes is byte for byte what a legacy peer writes (Python's jsonpickle over
// the classes of package dtos); what it reads is every spelling that any
// version of that peer is known to write.
//
// A datagram is one JSON object, members in this order, separated by ", " and
// ": ", everything outside printable ASCII escaped, nothing behind it:
//
//	{"py/object": "dtos.probe_init.ProbeInit", "id": "78f6...", "info": HOSTINFO, "type": ENUM, "cloudless": {...}}
//	{"py/object": "dtos.probe_ack.ProbeAck", "id": "0c6f...", "info": HOSTINFO, "type": ENUM, "cloudless": {...}}
//	{"py/object": "dtos.register_ack.RegisterAck", "id": "9b1f...", "info": {"py/object": "dtos.register_info.RegisterInfo",
//	    "status": true, "message": {"py/tuple": ["text"]}, "max_retries": 0}, "type": ENUM, "cloudless": {...}}
//
//	HOSTINFO: {"py/object": "dtos.host_info.HostInfo", "hostname": "worker1", "inet_addr": "192.0.2.3",
//	    "ports": [{"py/object": "dtos.port_info.PortInfo", "daemon": "workerd", "port": 10300}], "type": ENUM}
//	ENUM: {"py/reduce": [{"py/type": "dtos.host_type.HostType"}, {"py/tuple": [1]}]}
//
// Legacy daemons spell the outer ENUM as a bare name ("PROBE_INIT"), older
// ones write package vrmjobs in place of dtos. Parse records which in the
// message's Dialect, so that an answer can be given in the asker's own.
//
// The member "cloudless" is ours: what leases and several fleets on one wire
// need. Legacy peers keep and ignore members they do not know; without it a
// packet equals a legacy one. Its last member may be a seal over all the other
// bytes of the packet: AttachSeal and DetachSeal work on bytes, so that what is
// verified is what came, whatever a later version has put into it.
//
// jsonpickle executes whatever a tag names. This package never does: tags
// (members whose name begins with "py/") are compared with a closed list, and
// a packet with any other tag, class or function in any place is refused.
//
// Nothing here does I/O, keeps state or starts a goroutine; all functions may
// be called concurrently.
package crm
