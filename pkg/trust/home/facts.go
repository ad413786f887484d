package home

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"slices"
	"strings"
)

// Facts are what tells one machine from another, in the clear: they stay in
// memory. Each may be missing, for want of the thing or of the right to read it.
type Facts struct {
	MachineID   string   // /etc/machine-id
	ProductUUID string   // of the firmware; readable by root only
	MACs        []string // permanent addresses of physical interfaces
}

// maxMACs bounds the interfaces that are looked at.
const maxMACs = 64

// ReadFacts reads the facts of the machine whose file system is root
// (os.DirFS("/")). What cannot be read is missing. Interfaces without a device,
// and addresses that were given by software, are passed over: containers and
// virtual switches make new ones all the time.
func ReadFacts(root fs.FS) Facts {
	return Facts{
		MachineID:   plausible(readLine(root, "etc/machine-id")),
		ProductUUID: plausible(readLine(root, "sys/class/dmi/id/product_uuid")),
		MACs:        readMACs(root),
	}
}

func readMACs(root fs.FS) []string {
	const class = "sys/class/net"
	entries, err := fs.ReadDir(root, class)
	if err != nil {
		return nil
	}
	var found []string
	for _, entry := range entries {
		dir := class + "/" + entry.Name()
		if _, err := fs.Stat(root, dir+"/device"); err != nil {
			continue
		}
		if kind := readLine(root, dir+"/addr_assign_type"); kind != "" && kind != "0" {
			continue
		}
		if mac := plausible(readLine(root, dir+"/address")); mac != "" && len(found) < maxMACs {
			found = append(found, mac)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// readLine returns the first line of a small file, or nothing.
func readLine(root fs.FS, path string) string {
	const most = 256
	file, err := root.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, most))
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(data), "\n")
	return strings.ToLower(strings.TrimSpace(line))
}

// plausible drops what makers and installers put where there is no value: all
// digits equal, a word, or a well-known filler.
func plausible(value string) string {
	digits := strings.Map(func(r rune) rune {
		if r == '-' || r == ':' {
			return -1
		}
		return r
	}, value)
	_, err := hex.DecodeString(digits)
	filler := digits == "03000200040005000006000700080009"
	if err != nil || len(digits) < 12 || filler || strings.Trim(digits, digits[:1]) == "" {
		return ""
	}
	return value
}

// hash is of one fact, keyed by the identity's own key.
type hash string

// hashes are the facts as they are stored.
type hashes struct {
	MachineID   hash   `json:"machine_id,omitempty"`
	ProductUUID hash   `json:"product_uuid,omitempty"`
	MACs        []hash `json:"macs,omitempty"`
}

// hashed keys the hashes with a secret: addresses are few enough to try all.
func (f Facts) hashed(key []byte) hashes {
	of := func(kind, value string) hash {
		if value == "" {
			return ""
		}
		mac := hmac.New(sha256.New, key)
		io.WriteString(mac, kind+"\x00"+value)
		return hash(hex.EncodeToString(mac.Sum(nil)[:16]))
	}
	h := hashes{MachineID: of("machine-id", f.MachineID), ProductUUID: of("product-uuid", f.ProductUUID)}
	for _, mac := range f.MACs {
		h.MACs = append(h.MACs, of("mac", mac))
	}
	slices.Sort(h.MACs)
	return h
}

// Binding says whether the identity is on the machine that it was made for.
type Binding uint8

const (
	// Same machine: more than half of the comparable facts are the same.
	Same Binding = iota
	// Doubtful: half of them, or there is nothing to compare. Carry on, and let
	// the coordinator judge by Body whether two machines speak at once.
	Doubtful
	// Copied to another machine: fewer than half.
	Copied
)

// String is the binding as status pages spell it.
func (b Binding) String() string { return [...]string{"same", "doubtful", "copied"}[b] }

// compare counts the kinds of facts that both sides have, and those that are
// the same. Addresses are one kind: one in common suffices, cards come and go.
func (h hashes) compare(now hashes) (same, of int) {
	count := func(has, equal bool) {
		if has {
			of++
			if equal {
				same++
			}
		}
	}
	count(h.MachineID != "" && now.MachineID != "", h.MachineID == now.MachineID)
	count(h.ProductUUID != "" && now.ProductUUID != "", h.ProductUUID == now.ProductUUID)
	count(len(h.MACs) > 0 && len(now.MACs) > 0, slices.ContainsFunc(h.MACs, func(m hash) bool { return slices.Contains(now.MACs, m) }))
	return same, of
}

func (h hashes) bound(now hashes) Binding {
	switch same, of := h.compare(now); {
	case 2*same > of:
		return Same
	case 2*same == of:
		return Doubtful
	default:
		return Copied
	}
}
