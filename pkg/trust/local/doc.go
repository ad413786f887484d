// Package local serves programs of the same host through unix sockets and knows
// who they are: it promises that a Caller is what the kernel says of the process
// that made the connection, at the moment when it made it.
//
// No password and no certificate is asked for. The socket's file is open to all
// (mode 0666); who may do what is decided by the caller's user and groups
// (SO_PEERCRED, SO_PEERGROUPS), so that the answer to the others can say what is
// wrong instead of "permission denied". It depends on neither network nor
// passwords nor certificates, and so it is the way in when those are broken.
//
//	listener, err := local.Listen("/run/cloudless/coordinatord/control.sock")
//	server := http.Server{Handler: h, ConnContext: local.ConnContext, ReadHeaderTimeout: ..., IdleTimeout: ...}
//	server.Serve(listener)
//	// in a handler:
//	caller, ok := local.CallerOf(r.Context())
//	if !ok || !rule.Admin(caller) { ... }
//
// Nothing here bounds the number of connections: every user of the host may
// open as many as he has descriptors. The server in front sets its timeouts, and
// bounds what it accepts; a wrapper around the connection must have the method
// NetConn() net.Conn, or its callers are nobody.
//
// Users and groups are looked up when they are needed, not at start: one that
// is made or changed later counts without a restart. A statically linked
// program reads /etc/passwd and /etc/group only; users and groups of a directory
// service are given by their number.
package local
