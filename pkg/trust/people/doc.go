// Package people knows the users of the web page and of the API: it promises that
// whoever it returns as a Principal has just shown a password, a session or an
// API token that this directory stands for, and that whoever reads its files
// cannot.
//
// Passwords are stored as argon2id, each with its own parameters, and hashed anew
// at the next login when the parameters were raised. Sessions live in memory only,
// under the hash of their id, and end with the process. API tokens are stored as
// SHA-256: they have 256 random bits, so that slowness would protect nothing more.
//
// Guessing is slowed down per user and per source. A lock never shuts an
// administrator out for good: it ends by itself, an address that the user has come
// from before is judged by its own failures only, the admin secret is not subject
// to the lock of a name, and the unix socket (package local) knows no login.
//
// Files, all 0600 and replaced as a whole: docs/formats/people.md.
package people
