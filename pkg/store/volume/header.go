package volume

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

const (
	magic      = "CLDLSVOL"
	endMagic   = "CLDLSEND"
	version    = 1
	headerSize = 40
	footerSize = 92
	// prelude is the beginning of the header, and the end of the footer, that is the
	// same in every version: magic, version, and their checksum. A version is
	// believed only if that fits, so damage never looks like a newer release.
	prelude = 16
)

// identity is what header and footer both say.
type identity struct {
	number  uint64
	tier    Tier
	created time.Time
}

// appendHeader appends the beginning of a file.
func appendHeader(dst []byte, id identity) []byte {
	start := len(dst)
	dst = append(dst, magic...)
	dst = binary.LittleEndian.AppendUint32(dst, version)
	dst = binary.LittleEndian.AppendUint32(dst, checksum(dst[start:]))
	dst = binary.LittleEndian.AppendUint64(dst, id.number)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(id.created.UnixNano()))
	dst = append(dst, byte(id.tier), 0, 0, 0)
	return binary.LittleEndian.AppendUint32(dst, checksum(dst[start:]))
}

// parseHeader reads what appendHeader wrote. The error wraps ErrNewerFormat, or
// says what is wrong.
func parseHeader(b []byte) (identity, error) {
	if len(b) < prelude || string(b[:8]) != magic {
		return identity{}, fmt.Errorf("does not begin like a volume")
	}
	if err := checkVersion(b[8:16], checksum(b[:12])); err != nil {
		return identity{}, fmt.Errorf("header: %w", err)
	}
	if len(b) < headerSize || binary.LittleEndian.Uint32(b[headerSize-4:]) != checksum(b[:headerSize-4]) {
		return identity{}, fmt.Errorf("header: checksum does not match")
	}
	id := identity{
		number:  binary.LittleEndian.Uint64(b[16:]),
		created: time.Unix(0, int64(binary.LittleEndian.Uint64(b[24:]))),
		tier:    Tier(b[32]),
	}
	return id, checkIdentity(id, b[33:36])
}

// checkVersion reads version and checksum.
func checkVersion(b []byte, sum uint32) error {
	if binary.LittleEndian.Uint32(b[4:]) != sum {
		return fmt.Errorf("checksum of the version does not match")
	}
	if v := binary.LittleEndian.Uint32(b); v > version {
		return fmt.Errorf("format %d, known is %d: %w", v, version, ErrNewerFormat)
	} else if v != version {
		return fmt.Errorf("format %d has never been", v)
	}
	return nil
}

func checkIdentity(id identity, zeros []byte) error {
	if id.number == 0 || int(id.tier) >= Tiers || zeros[0]|zeros[1]|zeros[2] != 0 {
		return fmt.Errorf("volume %d of tier %d", id.number, uint8(id.tier))
	}
	return nil
}

// footer is the end of the file.
type footer struct {
	identity
	first, last model.Millis // of all entries
	rows        uint64
	entries     uint32
	chunks      uint32 // items of definitions
	index       int64  // where it begins: the items end there
	table       uint32 // checksum of the table
}

const (
	perPage   = 64 // heads of a page of the index
	pageSize  = perPage * headSize
	pageEntry = keySize + 8 + 4 // of the table
	chunkHead = 12              // of the table
)

func (f *footer) pages() int { return (int(f.entries) + perPage - 1) / perPage }

// tableAt and tableEnd are where the table is.
func (f *footer) tableAt() int64 { return f.index + headSize*int64(f.entries) }
func (f *footer) tableEnd() int64 {
	return f.tableAt() + pageEntry*int64(f.pages()) + chunkHead*int64(f.chunks)
}

// size is that of the file.
func (f *footer) size() int64 { return f.tableEnd() + footerSize }

func (f *footer) append(dst []byte) []byte {
	start := len(dst)
	dst = binary.LittleEndian.AppendUint64(dst, f.number)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(f.created.UnixNano()))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(f.first))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(f.last))
	dst = binary.LittleEndian.AppendUint64(dst, f.rows)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(f.index))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(f.size()))
	dst = binary.LittleEndian.AppendUint32(dst, f.entries)
	dst = binary.LittleEndian.AppendUint32(dst, f.chunks)
	dst = append(dst, byte(f.tier), 0, 0, 0)
	dst = binary.LittleEndian.AppendUint32(dst, f.table)
	dst = binary.LittleEndian.AppendUint32(dst, checksum(dst[start:]))
	var closing [12]byte
	copy(closing[:], endMagic)
	binary.LittleEndian.PutUint32(closing[8:], version)
	dst = append(dst, closing[8:]...)
	dst = binary.LittleEndian.AppendUint32(dst, checksum(closing[:]))
	return append(dst, endMagic...)
}

// parseFooter reads the end of a file of len(b) bytes. The error wraps
// ErrNewerFormat, or says what is wrong.
func parseFooter(b []byte) (footer, error) {
	size := len(b)
	if size < prelude || string(b[size-8:]) != endMagic {
		return footer{}, fmt.Errorf("does not end like a volume")
	}
	var closing [12]byte
	copy(closing[:], endMagic)
	copy(closing[8:], b[size-prelude:])
	if err := checkVersion(b[size-prelude:], checksum(closing[:])); err != nil {
		return footer{}, fmt.Errorf("footer: %w", err)
	}
	if size < footerSize {
		return footer{}, fmt.Errorf("footer: cut off")
	}
	b = b[size-footerSize:]
	if binary.LittleEndian.Uint32(b[72:]) != checksum(b[:72]) {
		return footer{}, fmt.Errorf("footer: checksum does not match")
	}
	f := footer{
		identity: identity{
			number:  binary.LittleEndian.Uint64(b),
			created: time.Unix(0, int64(binary.LittleEndian.Uint64(b[8:]))),
			tier:    Tier(b[64]),
		},
		first:   model.Millis(binary.LittleEndian.Uint64(b[16:])),
		last:    model.Millis(binary.LittleEndian.Uint64(b[24:])),
		rows:    binary.LittleEndian.Uint64(b[32:]),
		index:   int64(binary.LittleEndian.Uint64(b[40:])),
		entries: binary.LittleEndian.Uint32(b[56:]),
		chunks:  binary.LittleEndian.Uint32(b[60:]),
		table:   binary.LittleEndian.Uint32(b[68:]),
	}
	if err := checkIdentity(f.identity, b[65:68]); err != nil {
		return footer{}, fmt.Errorf("footer: %w", err)
	}
	said := binary.LittleEndian.Uint64(b[48:])
	if f.index < headerSize+headSize || f.index > int64(size) || f.size() != int64(size) || said != uint64(size) || f.entries == 0 || f.first > f.last {
		return footer{}, fmt.Errorf("footer: %d entries from byte %d on, in a file of %d bytes, here are %d", f.entries, f.index, said, size)
	}
	return f, nil
}
