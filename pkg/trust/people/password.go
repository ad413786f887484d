package people

import (
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// cost is what one hashing takes.
type cost struct {
	memory  uint32 // KiB
	passes  uint32
	threads uint8
}

// present is what new hashes take: the second recommendation of RFC 9106 with one
// thread instead of four, so that a login takes one core and not all of them from
// those who take the samples. About 0.15 s.
func present() cost { return cost{memory: 64 << 10, passes: 3, threads: 1} }

// Bounds of what is read from a file: a hash that takes more is not ours, and
// would take the process's memory.
const (
	maxMemory  = 256 << 10 // KiB
	maxPasses  = 16
	maxThreads = 16
	saltSize   = 16
	keySize    = 32
)

// below reports whether a hash of cost c is to be made anew at cost now.
func (c cost) below(now cost) bool { return c.memory < now.memory || c.passes < now.passes }

func (c cost) check() error {
	if c.passes < 1 || c.passes > maxPasses || c.threads < 1 || c.threads > maxThreads ||
		c.memory < 8*uint32(c.threads) || c.memory > maxMemory {
		return errors.New("password hash: cost out of bounds")
	}
	return nil
}

// hashed is what is stored of a password. Immutable.
type hashed struct {
	cost
	salt [saltSize]byte
	key  [keySize]byte
}

func newHashed(password string, c cost, random io.Reader) (*hashed, error) {
	h := &hashed{cost: c}
	if _, err := io.ReadFull(random, h.salt[:]); err != nil {
		return nil, fmt.Errorf("make salt: %w", err)
	}
	h.key = h.of(password)
	return h, nil
}

// decoy matches no password and costs as much as one that does.
func decoy(c cost, random io.Reader) (*hashed, error) {
	h := &hashed{cost: c}
	for _, part := range [][]byte{h.salt[:], h.key[:]} {
		if _, err := io.ReadFull(random, part); err != nil {
			return nil, fmt.Errorf("make decoy: %w", err)
		}
	}
	return h, nil
}

func (h *hashed) of(password string) [keySize]byte {
	return [keySize]byte(argon2.IDKey([]byte(password), h.salt[:], h.passes, h.memory, h.threads, keySize))
}

// matches takes the hash's cost in time and memory.
func (h *hashed) matches(password string) bool {
	key := h.of(password)
	return subtle.ConstantTimeCompare(key[:], h.key[:]) == 1
}

const phcPrefix = "$argon2id$v=19$"

// phc is the text form (PHC string format).
func (h *hashed) phc() string {
	return fmt.Sprintf("%sm=%d,t=%d,p=%d$%s$%s", phcPrefix, h.memory, h.passes, h.threads,
		base64.RawStdEncoding.EncodeToString(h.salt[:]), base64.RawStdEncoding.EncodeToString(h.key[:]))
}

// parsePHC reads the text form, and only as phc writes it. Errors hold none of it.
func parsePHC(text string) (*hashed, error) {
	if len(text) > 200 {
		return nil, errors.New("password hash: too long")
	}
	rest, found := strings.CutPrefix(text, phcPrefix)
	if !found {
		return nil, errors.New("password hash: not argon2id of version 19")
	}
	parts := strings.Split(rest, "$")
	if len(parts) != 3 {
		return nil, errors.New("password hash: want parameters, salt and hash")
	}
	h := &hashed{}
	numbers := strings.Split(parts[0], ",")
	if len(numbers) != 3 {
		return nil, errors.New("password hash: want m, t and p")
	}
	for i, name := range []string{"m=", "t=", "p="} {
		digits, found := strings.CutPrefix(numbers[i], name)
		n, err := strconv.ParseUint(digits, 10, []int{32, 32, 8}[i])
		if !found || err != nil {
			return nil, errors.New("password hash: want m, t and p")
		}
		switch i {
		case 0:
			h.memory = uint32(n)
		case 1:
			h.passes = uint32(n)
		case 2:
			h.threads = uint8(n)
		}
	}
	if err := h.check(); err != nil {
		return nil, err
	}
	if !decode(h.salt[:], parts[1]) || !decode(h.key[:], parts[2]) || h.phc() != text {
		return nil, errors.New("password hash: damaged")
	}
	return h, nil
}

// decode fills dst with exactly the bytes of text.
func decode(dst []byte, text string) bool {
	raw, err := base64.RawStdEncoding.Strict().DecodeString(text)
	return err == nil && copy(dst, raw) == len(raw) && len(raw) == len(dst)
}
