package member

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/body"
	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
	"github.com/cloudless-fleet/cloudless/pkg/crm"
	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/enrol"
)

// maxSmall bounds the bodies of what is not a request for a certificate, in
// bytes.
const maxSmall = 8 << 10

func (h *Handlers) enrol(w http.ResponseWriter, r *http.Request, peer Peer) {
	data, ok := body.Read(w, r, enrol.MaxBytes)
	if !ok {
		return
	}
	request, err := enrol.ParseRequest(data)
	if err != nil {
		reply.Error(w, reply.BadData, clip(err))
		return
	}
	reply.JSON(w, h.fleet.Enrol(r.Context(), request, peer))
}

func (h *Handlers) renewal(w http.ResponseWriter, r *http.Request, peer Peer) {
	data, ok := body.Read(w, r, enrol.MaxBytes)
	if !ok {
		return
	}
	renewal, err := enrol.ParseRenewal(data)
	if err != nil {
		reply.Error(w, reply.BadData, clip(err))
		return
	}
	reply.JSON(w, h.fleet.Renewal(r.Context(), renewal, peer))
}

func (h *Handlers) renew(w http.ResponseWriter, r *http.Request, peer Peer) {
	if data, ok := body.Read(w, r, maxSmall); !ok {
		return
	} else if len(data) != 0 {
		reply.Error(w, reply.BadData, "renew: the body is empty: the certificate says for whom")
		return
	}
	reply.JSON(w, h.fleet.Renew(r.Context(), peer))
}

func (h *Handlers) register(w http.ResponseWriter, r *http.Request, peer Peer) {
	data, ok := body.Read(w, r, crm.MaxPacket)
	if !ok {
		return
	}
	ack, err := probeAck(data)
	if err != nil {
		reply.Error(w, reply.BadData, clip(err))
		return
	}
	if ack.Ext.WorkerID != peer.Worker() {
		reply.Error(w, reply.Forbidden, fmt.Sprintf("%s may not register worker %s", peer.Identity, ack.Ext.WorkerID))
		return
	}
	answer, err := h.fleet.Register(r.Context(), peer, ack)
	if err != nil {
		reply.Failure(w, err)
		return
	}
	packet, err := answer.Append(nil)
	if err != nil {
		h.deps.Logger.Error("registration cannot be answered", logkey.Worker, peer.Worker(), logkey.Err, err)
		reply.Error(w, reply.Internal, "the answer does not fit into a RegisterAck")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(packet)
}

// probeAck reads the ProbeAck of a worker of ours.
func probeAck(data []byte) (*crm.ProbeAck, error) {
	message, err := crm.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("register: %w", err)
	}
	ack, ok := message.(*crm.ProbeAck)
	if !ok {
		return nil, errors.New("register: want a ProbeAck")
	}
	if ack.Ext == nil {
		return nil, errors.New("register: the ProbeAck names no worker")
	}
	return ack, nil
}

func (h *Handlers) keepAlive(w http.ResponseWriter, r *http.Request, peer Peer) {
	var k api.KeepAlive
	if !body.JSON(w, r, maxSmall, "keep-alive", &k) {
		return
	}
	if err := checkProcess(k.Boot, k.Body, k.Bundle); err != nil {
		reply.Error(w, reply.BadData, "keep-alive: "+err.Error())
		return
	}
	result, err := h.fleet.KeepAlive(r.Context(), peer, k)
	if err != nil {
		reply.Failure(w, err)
		return
	}
	if result.Now == 0 {
		result.Now = h.millis()
	}
	reply.JSON(w, result)
}

func (h *Handlers) leave(w http.ResponseWriter, r *http.Request, peer Peer) {
	var l api.Leave
	if !body.JSON(w, r, maxSmall, "leave", &l) {
		return
	}
	if l.Boot.IsZero() {
		reply.Error(w, reply.BadData, "leave: want boot")
		return
	}
	if err := h.fleet.Leave(r.Context(), peer, l); err != nil {
		reply.Failure(w, err)
		return
	}
	reply.JSON(w, struct{}{})
}

// checkProcess looks at what names a process on a machine.
func checkProcess(boot model.BootID, machine trust.Body, bundle string) error {
	switch {
	case boot.IsZero():
		return errors.New("want boot")
	case machine == trust.Body{}:
		return errors.New("want body")
	}
	return api.CheckDigest("bundle", bundle)
}

func (h *Handlers) millis() model.Millis { return model.Millis(h.deps.Now().UnixMilli()) }

// clip shortens an error that may quote a stranger's bytes.
func clip(err error) string {
	const most = 300
	text := strings.ToValidUTF8(err.Error(), "?")
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "..."
	}
	return text
}
