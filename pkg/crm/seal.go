package crm

import "bytes"

// Our member, and the seal in it, as Append writes them. A quote inside a text
// is written with a backslash in front, so that neither is ever found in one.
const (
	sealName  = "seal"
	extBegin  = `, "` + extName + `": {`
	extEnd    = `}}`
	sealBegin = `, "` + sealName + `": "`
	sealEnd   = `"`
)

// SealOverhead is by how many bytes AttachSeal makes a packet longer, besides
// the seal itself.
const SealOverhead = len(sealBegin) + len(sealEnd)

// AttachSeal puts a seal into a packet that Append has written with an
// extension and without a seal:
//
//	{..., "cloudless": {"worker_id": "...", "keep_alive_ms": 30000}}
//	{..., "cloudless": {"worker_id": "...", "keep_alive_ms": 30000, "seal": "SEAL"}}
//
// The result is a new slice and what Append would have written with that seal.
// The error is an *Error.
func AttachSeal(packet []byte, seal string) ([]byte, error) {
	if seal == "" {
		return nil, refuse(BadExtension, "cloudless.seal", "empty")
	}
	if err := checkCode("cloudless.seal", seal); err != nil {
		return nil, err
	}
	if !sealable(packet) {
		return nil, refuse(BadExtension, extName, "no place for a seal")
	}
	if size := len(packet) + SealOverhead + len(seal); size > MaxPacket {
		return nil, refuse(TooLarge, "", "%d bytes with its seal, at most %d", size, MaxPacket)
	}
	out := make([]byte, 0, len(packet)+SealOverhead+len(seal))
	out = append(out, packet[:len(packet)-len(extEnd)]...)
	out = append(out, sealBegin...)
	out = append(out, seal...)
	return append(out, sealEnd+extEnd...), nil
}

// DetachSeal takes the seal out of a packet as it was received, and returns what
// is signed: all its other bytes, members included that only later versions know.
// It is the inverse of AttachSeal: ok is false, and seal empty, when the packet is
// none of its results, as one without a seal or with a seal in any other place.
//
// It reads no JSON. Whoever relies on the seal compares it with the one that
// Parse has found: they differ where the packet was put together by somebody
// else. unsealed is a new slice; packet is not changed.
func DetachSeal(packet []byte) (unsealed []byte, seal string, ok bool) {
	body, ok := bytes.CutSuffix(packet, []byte(sealEnd+extEnd))
	if !ok || len(packet) > MaxPacket {
		return nil, "", false
	}
	code := trailingCode(body)
	body, ok = bytes.CutSuffix(body[:len(body)-len(code)], []byte(sealBegin))
	if !ok || len(code) == 0 || len(code) > maxCode {
		return nil, "", false
	}
	unsealed = make([]byte, 0, len(body)+len(extEnd))
	unsealed = append(append(unsealed, body...), extEnd...)
	if !sealable(unsealed) {
		return nil, "", false
	}
	return unsealed, string(code), true
}

// sealable reports whether a packet ends with our member, without a seal.
func sealable(packet []byte) bool {
	at := bytes.Index(packet, []byte(extBegin))
	return at >= 0 && bytes.HasSuffix(packet, []byte(extEnd)) && !bytes.Contains(packet[at:], []byte(sealBegin))
}

// trailingCode is the end of b that is base64url.
func trailingCode(b []byte) []byte {
	at := len(b)
	for at > 0 && isCodeByte(b[at-1]) {
		at--
	}
	return b[at:]
}
