package api

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/audit"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// Where administration is served: by coordinatord itself, on its unix socket
// and to certificates of operators; and by collectord, which passes on what an
// administrator who has logged in asks for. What follows either is the same.
const (
	PrefixAdminCoordinator = "/v1/admin"
	PrefixAdminCollector   = "/api/admin"

	PathAdminFleet     = "/fleet"     // GET -> FleetStatus
	PathAdminTokens    = "/tokens"    // GET -> TokenList; POST TokenRequest -> TokenCreated; DELETE /tokens/{id}
	PathAdminPending   = "/pending"   // GET -> PendingList
	PathAdminApprove   = "/approve"   // POST Approval -> Member
	PathAdminReject    = "/reject"    // POST Rejection
	PathAdminMembers   = "/members"   // GET -> MemberList
	PathAdminRevoke    = "/revoke"    // POST Revocation -> Revoked
	PathAdminReadmit   = "/readmit"   // POST WorkerRef: takes a worker off the list again
	PathAdminForget    = "/forget"    // POST WorkerRef: forgets a revoked or expired worker
	PathAdminRevoked   = "/revoked"   // GET -> RevokedList
	PathAdminAudit     = "/audit"     // GET ?limit=N&since=RFC3339 -> AuditLog
	PathAdminAuthority = "/authority" // POST /authority/{prepare|switch|drop|abandon} -> FleetStatus
	PathAdminIssue     = "/issue"     // POST IssueRequest -> Enrolment
	PathAdminSecret    = "/secret"    // POST SecretCheck -> SecretResult (collectord and the unix socket)
	PathAdminWeb       = "/web"       // POST WebRequest -> WebCertificate (collectord only)

	PathAdminSecretReset = "/secret/reset" // POST (unix socket only)
)

// HeaderActor names the person for whom collectord passes a request on, as
// "alice from 192.0.2.7". It counts on the certificate of a collector only.
const HeaderActor = "Cloudless-Actor"

// BundleDigest tells one set of authorities from another: SHA-256 of their PEM,
// in hexadecimal.
func BundleDigest(bundle trust.Bundle) string {
	sum := sha256.Sum256(bundle.PEM())
	return hex.EncodeToString(sum[:])
}

// FleetStatus is what there is to say of the fleet's trust.
type FleetStatus struct {
	Fleet       string            `json:"fleet"`
	Created     time.Time         `json:"created"`
	Authorities []AuthorityStatus `json:"authorities"`
	// Bundle is their certificates, PEM.
	Bundle string `json:"bundle"`
	// Members are the workers that were let in; Updated of them have said that
	// they trust the present authorities.
	Members int `json:"members"`
	Updated int `json:"updated"`
	Pending int `json:"pending"`
	Revoked int `json:"revoked"`
	// Web is the certificate, PEM, of the authority that browsers are to trust;
	// its fingerprint is SHA-256 of it in DER.
	Web            string `json:"web"`
	WebFingerprint string `json:"web_fingerprint"`
	// AdminSecretFile is where the admin secret lies on the coordinator's host.
	AdminSecretFile string `json:"admin_secret_file"`
}

// AuthorityStatus is one authority of the fleet.
type AuthorityStatus struct {
	Fingerprint trust.Fingerprint `json:"fingerprint"`
	Phase       string            `json:"phase"` // next, issuing, former
	Since       time.Time         `json:"since"`
	NotAfter    time.Time         `json:"not_after"`
	DropAfter   time.Time         `json:"drop_after,omitzero"`
}

// TokenRequest asks for a join token.
type TokenRequest struct {
	TTL    int64             `json:"ttl_ms"` // 0: the coordinator's default
	Uses   int               `json:"uses"`   // 0: one
	Labels map[string]string `json:"labels,omitempty"`
	// Addresses of coordinators, host:port; none: those that the coordinator
	// has by itself.
	Addresses []string `json:"addresses,omitempty"`
}

// TokenCreated is a new join token. Token is a secret and is shown once.
type TokenCreated struct {
	Token string `json:"token"`
	TokenRow
}

// TokenRow is one join token, without its secret.
type TokenRow struct {
	ID       string            `json:"id"`
	Created  time.Time         `json:"created"`
	Expires  time.Time         `json:"expires"`
	UsesLeft int               `json:"uses_left"`
	Used     int               `json:"used"`
	Labels   map[string]string `json:"labels,omitempty"`
	// State is "valid", "expired", "used_up" or "revoked".
	State string `json:"state"`
}

// TokenList is all of them, newest first.
type TokenList struct {
	Tokens []TokenRow `json:"tokens"`
}

// PendingRow is a machine that waits for approval.
type PendingRow struct {
	ID       model.WorkerID    `json:"id"`
	Code     string            `json:"code"` // four words, as the machine shows them
	Hostname string            `json:"hostname"`
	Address  netip.Addr        `json:"address"`
	Labels   map[string]string `json:"labels,omitempty"` // its own claims
	Since    model.Millis      `json:"since_ms"`
	Seen     model.Millis      `json:"seen_ms"`
	// Rejected says that an operator has turned it away.
	Rejected bool `json:"rejected,omitempty"`
}

// PendingList is all of them, the newest first.
type PendingList struct {
	Pending []PendingRow `json:"pending"`
}

// Approval lets a pending machine in: Who is its pairing code or its id.
type Approval struct {
	Who    string            `json:"who"`
	Labels map[string]string `json:"labels,omitempty"`
}

// Rejection turns a pending machine away.
type Rejection struct {
	Who    string `json:"who"`
	Reason string `json:"reason,omitempty"`
}

// WorkerRef names a worker by its id or its instance name.
type WorkerRef struct {
	Worker string `json:"worker"`
}

// Member is a worker that was let in.
type Member struct {
	ID       model.WorkerID    `json:"id"`
	Instance string            `json:"instance,omitempty"`
	Hostname string            `json:"hostname"`
	Key      trust.Fingerprint `json:"key"`
	Labels   map[string]string `json:"labels,omitempty"`
	At       time.Time         `json:"at"`
	// By is "token ID", "operator NAME", "policy N" or "clone ID".
	By string `json:"by"`
	// CloneOf is the worker whose copied state folder it came with.
	CloneOf model.WorkerID `json:"clone_of,omitzero"`
	// CertificateEnds is when its present certificate ends.
	CertificateEnds time.Time `json:"certificate_ends"`
	Revoked         bool      `json:"revoked,omitempty"`
}

// MemberList is all of them, by id.
type MemberList struct {
	Members []Member `json:"members"`
}

// Revocation shuts a worker out: Worker is its id or its instance name.
type Revocation struct {
	Worker string `json:"worker"`
	Reason string `json:"reason,omitempty"`
	// Clones shuts those out, too, that came with copies of its state folder.
	Clones bool `json:"clones,omitempty"`
}

// Revoked says who was shut out, and who might have to be as well.
type Revoked struct {
	Revoked []model.WorkerID `json:"revoked"`
	// Clones are those left in that came with copies of its state folder.
	Clones []model.WorkerID `json:"clones,omitempty"`
}

// RevokedRow is one entry of the revocation list.
type RevokedRow struct {
	Subject string    `json:"subject"`
	Reason  string    `json:"reason"`
	At      time.Time `json:"at"`
}

// RevokedList is all of them, oldest first.
type RevokedList struct {
	Revoked []RevokedRow `json:"revoked"`
}

// AuditLog is a piece of the audit log, oldest first.
type AuditLog struct {
	Entries []audit.Entry `json:"entries"`
}

// IssueRequest asks for a certificate of a server or an operator, for a key that
// the asker keeps.
type IssueRequest struct {
	Role  trust.Role `json:"role"`
	Name  string     `json:"name"`
	Hosts []string   `json:"hosts,omitempty"`
	// PublicKey is PKIX in DER.
	PublicKey []byte `json:"public_key"`
	TTL       int64  `json:"ttl_ms,omitempty"` // 0: the coordinator's default
}

// SecretCheck asks whether somebody knows the admin secret.
type SecretCheck struct {
	Secret string `json:"secret"`
}

// SecretResult is the answer.
type SecretResult struct {
	OK bool `json:"ok"`
}

// WebRequest asks for a certificate that browsers understand.
type WebRequest struct {
	PublicKey []byte   `json:"public_key"` // PKIX in DER, ECDSA P-256
	Hosts     []string `json:"hosts"`
}

// WebCertificate is the answer: the certificate and its authority, PEM.
type WebCertificate struct {
	Certificate string    `json:"certificate"`
	Authority   string    `json:"authority"`
	NotAfter    time.Time `json:"not_after"`
}

// Collector's side of the control API.
const (
	// PathControlRevocations is GET ?since=REVISION&wait=10s: a long poll for the
	// revocation list. The body is revocation.List.Snapshot as it is; 204 means
	// that it has not changed.
	PathControlRevocations = "/v1/revocations"
	// PathControlCollector is POST CollectorHello -> CollectorWelcome.
	PathControlCollector = "/v1/collector"
)

// CollectorHello is what a collector tells of itself, once a minute and whenever
// it is news.
type CollectorHello struct {
	Hostname string `json:"hostname"`
	// Address is where workers are to find it, when that is not where the
	// coordinator hears it from.
	Address string `json:"address,omitempty"`
	Port    uint16 `json:"port"`
	// Beacon is the Ed25519 public key that its probes are signed with.
	Beacon []byte `json:"beacon"`
	Bundle string `json:"bundle"` // BundleDigest of what it trusts
}

// CollectorWelcome is the answer.
type CollectorWelcome struct {
	Now model.Millis `json:"now_ms"`
	// Voucher for the beacon key, in text, and the authority that has signed it.
	Voucher   string            `json:"voucher"`
	Authority trust.Fingerprint `json:"authority"`
	Until     time.Time         `json:"until"` // when the voucher ends
	// Bundle is the fleet's authorities, PEM, when they differ from the hello's.
	Bundle string `json:"bundle,omitempty"`
	Renew  bool   `json:"renew,omitempty"`
	// AdminGeneration changes with the admin secret: who logged in by the former
	// one is to be logged out.
	AdminGeneration string `json:"admin_generation,omitempty"`
}
