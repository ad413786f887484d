// Package pairing turns a machine's public key into four words that a person
// compares: those that the machine shows must be those that the fleet shows.
//
//	bamod-lusit-nopaz-tigol
//
// A word stands for 16 bits: consonant, vowel, consonant, vowel, consonant,
// of 16 consonants (4 bits each) and 4 vowels (2 bits each). All can be said
// aloud, and whatever five letters of that pattern are typed is a word.
//
// Four words are 64 bits. Who wants to pass for a machine needs a key with the
// very same code: 2^63 attempts on average, and each costs Iterations rounds of
// HMAC-SHA-512 (PBKDF2), about 10 ms of one core. There are no codes to collect
// in advance, since the attacker cannot choose the key he must match.
//
// A code says which machine it is, not which fleet: see docs/formats/trust.md.
package pairing

import (
	"crypto/ed25519"
	"crypto/pbkdf2"
	"crypto/sha512"
	"encoding/binary"
	"fmt"
	"strings"
)

// Iterations is the price of one code. It is part of the format: another number
// gives other codes.
const Iterations = 10_000

const (
	consonants = "bdfghjklmnprstvz"
	vowels     = "aiou"
	salt       = "cloudless pairing code v1"
	words      = 4
	letters    = 5 // of a word
	// longest bounds what Parse looks at, in bytes.
	longest = 128
)

// Code is a pairing code. Comparable; the zero value is "babab-babab-babab-babab".
type Code [words]uint16

// Of returns the code of a public key. It keeps one core busy for some
// milliseconds: remember it with the key, and do not compute it for whoever
// asks, unlimited.
func Of(public ed25519.PublicKey) Code {
	raw, err := pbkdf2.Key(sha512.New, string(public), []byte(salt), Iterations, 2*words)
	if err != nil {
		panic(fmt.Sprintf("pairing: pbkdf2 of constant sizes: %v", err)) // a bug: sizes are constants
	}
	var c Code
	for i := range c {
		c[i] = binary.BigEndian.Uint16(raw[2*i:])
	}
	return c
}

// String gives the words in lower case, with hyphens in between.
func (c Code) String() string {
	var out [words]string
	for i, w := range c {
		out[i] = Word(w)
	}
	return strings.Join(out[:], "-")
}

// Word spells 16 bits, the upper ones first.
func Word(bits uint16) string {
	return string([]byte{
		consonants[bits>>12], vowels[bits>>10&3], consonants[bits>>6&15], vowels[bits>>4&3], consonants[bits&15],
	})
}

// Parse reads a code as people type it: in either case, with hyphens, spaces
// or nothing between the words.
func Parse(text string) (Code, error) {
	var typed []byte
	for i := 0; i < len(text) && i < longest; i++ {
		switch c := text[i]; {
		case c == '-' || c == ' ' || c == '\t' || c == '\n' || c == '\r':
		case 'A' <= c && c <= 'Z':
			typed = append(typed, c-'A'+'a')
		default:
			typed = append(typed, c)
		}
	}
	if len(text) > longest || len(typed) != words*letters {
		return Code{}, fmt.Errorf("pairing code: got %d letters, want four words of five", len(typed))
	}
	var c Code
	for i := range c {
		word := typed[i*letters:][:letters]
		for j, letter := range word {
			alphabet, bits := consonants, 4
			if j%2 == 1 {
				alphabet, bits = vowels, 2
			}
			at := strings.IndexByte(alphabet, letter)
			if at < 0 {
				return Code{}, fmt.Errorf("pairing code: word %d: letter %d cannot be %q", i+1, j+1, letter)
			}
			c[i] = c[i]<<bits | uint16(at)
		}
	}
	return c, nil
}

// MarshalText implements encoding.TextMarshaler.
func (c Code) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (c *Code) UnmarshalText(text []byte) (err error) {
	*c, err = Parse(string(text))
	return err
}
