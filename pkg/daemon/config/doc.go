// Package config loads the TOML configuration of a daemon so strictly that a
// typing error cannot go unnoticed, and says for everything wrong in which
// file and line it stands and what to do about it.
//
// A configuration is a plain struct that its owner composes of others. Every
// exported field carries a tag `toml:"snake_case"`; `secret:"true"` keeps a
// value out of everything that is printed. The value is made up in layers, the
// later one winning: the defaults in code, the main file, the drop-in files in
// the order of their names, and environment variables. Tables are merged key by
// key, everything else (arrays too) is replaced as a whole.
//
// Syntax is the business of github.com/BurntSushi/toml. Its decoder is loose
// (letter case, numbers for durations) and stops at the first mistake, so the
// parsed tables are put into the struct here, and all mistakes are listed. The
// lines of keys, which that package keeps to itself, come from a small scanner
// that only ever reads documents found well-formed before.
//
// Field types: bool, integers, floats, string, time.Duration ("1m30s"), any
// encoding.TextUnmarshaler (model.Bytes, netip.Addr, ...), arrays and slices of
// these, structs (tables), slices of structs (arrays of tables), maps from
// string to any of these, and pointers where "not set" differs from zero. A
// field of another type or without a tag is a bug of the program and panics.
package config
