package local

import (
	"context"
	"net"
	"os/user"
	"strconv"
	"sync"
	"syscall"
)

// Caller is a process of this host, as the kernel has seen it connect. Rights
// that it took or lost afterwards do not show.
type Caller struct {
	UID, GID uint32 // effective ones
	PID      int32  // for the log: it may have ended, and its number be another's
	Groups   []uint32
	Name     string // of the user, or "uid 1000" when it has none
}

// From is what an audit log says about where a caller came from.
const From = "unix socket"

type contextKey struct{}

// known is what is kept with a connection. The name is looked up by the first
// request and not while the server accepts connections: with a directory service
// a look-up may take seconds.
type known struct {
	caller Caller
	name   sync.Once
}

// ConnContext is for http.Server.ConnContext: it keeps with the connection who is
// at its other end. A connection of another kind, or one of which the kernel does
// not tell, is left without a caller; the server may serve TCP with it as well.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	caller, err := peer(c)
	if err != nil {
		return ctx
	}
	return context.WithValue(ctx, contextKey{}, &known{caller: caller})
}

// CallerOf returns who has made the connection that a request came by; false when
// it is no unix socket. Groups is shared: do not change it.
func CallerOf(ctx context.Context) (Caller, bool) {
	k, ok := ctx.Value(contextKey{}).(*known)
	if !ok {
		return Caller{}, false
	}
	k.name.Do(func() { k.caller.Name = nameOf(k.caller.UID) })
	return k.caller, true
}

func nameOf(uid uint32) string {
	number := strconv.FormatUint(uint64(uid), 10)
	found, err := user.LookupId(number)
	if err != nil || found.Username == "" {
		return "uid " + number
	}
	return found.Username
}

// raw finds the unix socket below whatever was put around it.
func raw(c net.Conn) (syscall.RawConn, bool) {
	for range 8 { // wrappers are few; one that holds itself does not hang us
		if socket, ok := c.(*net.UnixConn); ok {
			conn, err := socket.SyscallConn()
			return conn, err == nil
		}
		wrapper, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return nil, false
		}
		c = wrapper.NetConn()
	}
	return nil, false
}
