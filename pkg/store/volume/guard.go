package volume

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
)

// Fault says that a mapped page could not be read: the disk failed, or somebody
// made the file shorter. It is a durable.ErrDisk.
type Fault struct {
	Addr uintptr
}

func (f *Fault) Error() string { return fmt.Sprintf("mapped page at %#x cannot be read", f.Addr) }

// Is makes every Fault a durable.ErrDisk.
func (f *Fault) Is(target error) bool { return target == durable.ErrDisk }

// Guard calls f, and makes a *Fault of what would end the process when f reads a mapped
// page that the disk does not give. Reads of other goroutines are not guarded. f
// must not hold a lock that it does not release by defer. It takes some 20 ns.
func Guard(f func() error) (err error) {
	defer caught(&err, debug.SetPanicOnFault(true))
	return f()
}

// caught is to be deferred: it takes what debug.SetPanicOnFault returned.
func caught(err *error, before bool) {
	debug.SetPanicOnFault(before)
	if r := recover(); r != nil {
		*err = faultOf(r)
	}
}

// faultOf panics again unless the panic is a fault. One has an address: a nil
// pointer does not.
func faultOf(recovered any) *Fault {
	fault, ok := recovered.(interface {
		runtime.Error
		Addr() uintptr
	})
	if !ok {
		panic(recovered)
	}
	return &Fault{fault.Addr()}
}
