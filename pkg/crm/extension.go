package crm

import (
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// extName is the one member that we add to a packet.
const extName = "cloudless"

// parseProbeInitExt returns nil when the packet has no extension, as all three
// do. Whatever is wrong inside one is a BadExtension.
func parseProbeInitExt(o object) (*ProbeInitExt, *Error) {
	x, err := o.extension()
	if x == nil {
		return nil, err
	}
	e := &ProbeInitExt{Fleet: x.text("fleet"), FleetSize: x.int("fleet_size", MaxFleetSize), Interval: x.period("interval_ms"),
		Voucher: x.optional("voucher"), Seal: x.optional(sealName)}
	return e, x.finish(e.check)
}

func parseProbeAckExt(o object) (*ProbeAckExt, *Error) {
	x, err := o.extension()
	if x == nil {
		return nil, err
	}
	e := &ProbeAckExt{WorkerID: x.worker("worker_id"), KeepAlive: x.period("keep_alive_ms"), Version: x.optional("version"),
		Seal: x.optional(sealName)}
	return e, x.finish(e.check)
}

func parseRegisterAckExt(o object) (*RegisterAckExt, *Error) {
	x, err := o.extension()
	if x == nil {
		return nil, err
	}
	e := &RegisterAckExt{WorkerID: x.worker("worker_id"), Instance: x.optional("instance"), State: x.state("state"),
		Voucher: x.optional("voucher"), Seal: x.optional(sealName)}
	return e, x.finish(e.check)
}

// extension is our member of a packet while it is read. It remembers the
// first error. Members that we do not know are a later version's.
type extension struct {
	members object
	err     *Error
}

func (o object) extension() (*extension, *Error) {
	v, ok := o.find(extName)
	if !ok {
		return nil, nil
	}
	members, ok := v.(map[string]any)
	if !ok {
		return nil, refuse(BadExtension, extName, "want an object")
	}
	return &extension{members: object{place: extName, outer: members}}, nil
}

func (x *extension) fail(err *Error) {
	if err != nil && x.err == nil {
		err.Reason = BadExtension
		x.err = err
	}
}

// finish returns the first error, of reading or else of the values' bounds.
func (x *extension) finish(check func() *Error) *Error {
	if x.err == nil {
		x.err = check()
	}
	return x.err
}

func (x *extension) text(name string) string {
	text, err := x.members.text(name)
	x.fail(err)
	return text
}

func (x *extension) optional(name string) string {
	if _, ok := x.members.find(name); !ok {
		return ""
	}
	return x.text(name)
}

func (x *extension) int(name string, most int) int {
	n, err := x.members.int(name, 0, most)
	x.fail(err)
	return n
}

func (x *extension) period(name string) time.Duration {
	return time.Duration(x.int(name, int(MaxPeriod/time.Millisecond))) * time.Millisecond
}

func (x *extension) worker(name string) model.WorkerID {
	id, err := model.ParseWorkerID(x.text(name))
	if err != nil {
		x.fail(refuse(BadExtension, member(extName, name), "%v", err))
	}
	return id
}

func (x *extension) state(name string) model.WorkerState {
	text := x.optional(name)
	if text == "" {
		return 0
	}
	var s model.WorkerState
	if err := s.UnmarshalText([]byte(text)); err != nil {
		x.fail(refuse(BadExtension, member(extName, name), "%v", err))
	}
	return s
}
