package snapshot

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ManifestName is the manifest's file in the folder of a snapshot.
const ManifestName = "snapshot.json"

// version is that of the manifest.
const version = 1

// maxManifest is how large a manifest may be, in bytes: some 500,000 files.
const maxManifest = 64 << 20

// ErrNewerFormat says that a newer release made the snapshot.
var ErrNewerFormat = errors.New("made by a newer release")

// Folders are those of a store, of which a snapshot consists.
func Folders() []string { return []string{"gaps", "journal", "schemas", "volumes"} }

// Manifest says what is in a snapshot.
type Manifest struct {
	// Created is when the store was as the snapshot has it, by its clock.
	Created time.Time
	// Files are sorted by path.
	Files []File
}

// File is one file of a snapshot.
type File struct {
	Path  string // in the snapshot, with slashes: folder/name
	Bytes int64
	CRC   uint32 // CRC-32C of all bytes
}

// Bytes is how large all files are together.
func (m Manifest) Bytes() (sum int64) {
	for _, f := range m.Files {
		sum += f.Bytes
	}
	return sum
}

// The forms in JSON.
type (
	sealedJSON struct {
		Manifest json.RawMessage `json:"manifest"`
		CRC      string          `json:"crc32c"`
	}
	versionJSON struct {
		Version int `json:"version"`
	}
	fileJSON struct {
		Path  string `json:"path"`
		Bytes int64  `json:"bytes"`
		CRC   string `json:"crc32c"`
	}
	manifestJSON struct {
		Version int        `json:"version"`
		Created string     `json:"created"`
		Files   []fileJSON `json:"files"`
	}
)

// timeFormat has always the same length.
const timeFormat = "2006-01-02T15:04:05.000000000Z"

// Append appends the manifest as it is written: the inverse of Parse.
func (m Manifest) Append(dst []byte) []byte {
	start := len(dst) + len(opening)
	dst = append(dst, opening...)
	dst = fmt.Appendf(dst, `{"version":%d,"created":%q,"files":[`, version, m.Created.UTC().Format(timeFormat))
	for i, f := range m.Files {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = fmt.Appendf(dst, "\n"+`{"path":%q,"bytes":%d,"crc32c":"%08x"}`, f.Path, f.Bytes, f.CRC)
	}
	dst = append(dst, "]}"...)
	return fmt.Appendf(dst, `,"crc32c":"%08x"}`+"\n", checksum(dst[start:]))
}

const opening = `{"manifest":`

// Parse reads a manifest. The error wraps ErrNewerFormat, or says what is wrong.
func Parse(b []byte) (Manifest, error) {
	var sealed sealedJSON
	if err := strict(b, &sealed); err != nil {
		return Manifest{}, fmt.Errorf("is no manifest: %w", err)
	}
	if sum := fmt.Sprintf("%08x", checksum(sealed.Manifest)); sum != sealed.CRC {
		return Manifest{}, fmt.Errorf("checksum does not match")
	}
	var v versionJSON
	if err := json.Unmarshal(sealed.Manifest, &v); err != nil {
		return Manifest{}, fmt.Errorf("version: %w", err)
	}
	switch {
	case v.Version > version:
		return Manifest{}, fmt.Errorf("format %d, known is %d: %w", v.Version, version, ErrNewerFormat)
	case v.Version != version:
		return Manifest{}, fmt.Errorf("format %d has never been", v.Version)
	}
	var said manifestJSON
	if err := strict(sealed.Manifest, &said); err != nil {
		return Manifest{}, err
	}
	m, err := said.manifest()
	if err != nil {
		return Manifest{}, err
	}
	if !bytes.Equal(m.Append(nil), b) {
		return Manifest{}, fmt.Errorf("is written otherwise than manifests are")
	}
	return m, nil
}

// strict decodes one value, of which every member is known.
func strict(b []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

func (said manifestJSON) manifest() (m Manifest, err error) {
	if m.Created, err = time.Parse(timeFormat, said.Created); err != nil {
		return m, fmt.Errorf("created: %w", err)
	}
	for i, f := range said.Files {
		sum, err := strconv.ParseUint(f.CRC, 16, 32)
		switch {
		case err != nil:
			return m, fmt.Errorf("file %d: crc32c: %w", i+1, err)
		case !validPath(f.Path):
			return m, fmt.Errorf("file %d: path %.80q: no file of a store", i+1, f.Path)
		case f.Bytes < 0:
			return m, fmt.Errorf("file %d: %d bytes", i+1, f.Bytes)
		case i > 0 && f.Path <= said.Files[i-1].Path:
			return m, fmt.Errorf("file %d: path %.80q: paths do not rise", i+1, f.Path)
		}
		m.Files = append(m.Files, File{Path: f.Path, Bytes: f.Bytes, CRC: uint32(sum)})
	}
	return m, nil
}

// validPath says whether it is that of a file in one of the folders, which no other reading
// of it leads out of.
func validPath(p string) bool {
	folder, name := path.Split(p)
	if !slices.Contains(Folders(), strings.TrimSuffix(folder, "/")) || len(name) > 255 {
		return false
	}
	return ValidName(name)
}

// ValidName says whether a snapshot, or a file in one, may have that name: letters, digits
// and "._-" of ASCII, not beginning with a dot.
func ValidName(name string) bool {
	if name == "" || len(name) > 255 || name[0] == '.' {
		return false
	}
	for _, c := range []byte(name) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

func (f File) order(other File) int { return cmp.Compare(f.Path, other.Path) }

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }
