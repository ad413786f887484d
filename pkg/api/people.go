package api

import (
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// Paths by which people and programs make themselves known to collectord.
const (
	PathIdentity   = "/api/fleet/identity" // GET, open to all -> FleetIdentity
	PathLogin      = "/api/auth/login"     // POST Login -> Principal, and a cookie
	PathLogout     = "/api/auth/logout"    // POST
	PathMe         = "/api/auth/me"        // GET -> Principal
	PathAPITokens  = "/api/auth/tokens"    // GET -> APITokenList; POST APITokenRequest -> APITokenCreated; DELETE /{id}
	PathUsers      = "/api/auth/users"     // GET -> UserList; POST UserRequest -> UserRow; DELETE /{name}; POST /{name}/password PasswordRequest
	PathWebAudit   = "/api/auth/audit"     // GET ?limit=N&since=RFC3339 -> AuditLog of collectord
	SessionCookie  = "__Host-cloudless"
	APITokenPrefix = "cloudless_api1_"
)

// FleetIdentity lets a client that knows nothing pin the fleet.
type FleetIdentity struct {
	Fleet       string              `json:"fleet"`
	Authorities []trust.Fingerprint `json:"authorities"`
}

// Scope is what somebody may do: an admin everything, a reader look.
type Scope string

// The scopes.
const (
	ScopeRead  Scope = "read"
	ScopeAdmin Scope = "admin"
)

// Login is a name and a password. The name "admin" with the admin secret always
// works.
type Login struct {
	Name     string `json:"name"`
	Password string `json:"password"`
}

// Principal is who asks.
type Principal struct {
	Name  string `json:"name"`
	Scope Scope  `json:"scope"`
	// By is how he has shown who he is: "session", "token", "certificate" or
	// "socket".
	By string `json:"by"`
	// Expires is when that ends; zero: not by itself.
	Expires time.Time `json:"expires,omitzero"`
	// Token is the id of the API token, if it is one that asks.
	Token string `json:"token,omitempty"`
}

// APITokenRequest asks for a token by which a program may ask.
type APITokenRequest struct {
	Name  string `json:"name"` // for people
	Scope Scope  `json:"scope"`
	TTL   int64  `json:"ttl_ms,omitempty"` // 0: never ends
}

// APITokenCreated is the new token. Token is a secret and is shown once.
type APITokenCreated struct {
	Token string `json:"token"`
	APITokenRow
}

// APITokenRow is one token without its secret.
type APITokenRow struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Owner   string    `json:"owner"`
	Scope   Scope     `json:"scope"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"`
	Used    time.Time `json:"used,omitzero"` // last; to the minute
}

// APITokenList is all of them that the asker may see.
type APITokenList struct {
	Tokens []APITokenRow `json:"tokens"`
}

// UserRequest makes a user. Without a password it gives one that is there
// another scope.
type UserRequest struct {
	Name     string `json:"name"`
	Password string `json:"password,omitempty"`
	Scope    Scope  `json:"scope"`
}

// PasswordRequest gives a user another password.
type PasswordRequest struct {
	Password string `json:"password"`
}

// UserRow is one user.
type UserRow struct {
	Name    string    `json:"name"`
	Scope   Scope     `json:"scope"`
	Created time.Time `json:"created"`
	Locked  time.Time `json:"locked_until,omitzero"`
}

// UserList is all of them, by name.
type UserList struct {
	Users []UserRow `json:"users"`
}
