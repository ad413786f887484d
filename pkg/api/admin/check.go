package admin

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/pairing"
	"github.com/cloudless-fleet/cloudless/pkg/trust/token"
)

// Bounds of what an administrator may ask for.
const (
	maxTTL       = 10 * 365 * 24 * time.Hour
	maxUses      = token.MaxUses
	maxAddresses = 8
	maxHosts     = 32
	maxHostPort  = 259 // bytes
	maxReason    = 200 // bytes
	maxInstance  = 253 // bytes
	maxSecret    = 256 // bytes
	maxKey       = 512 // bytes, of a public key in DER
)

func checkTokenRequest(r *api.TokenRequest) error {
	if r.Uses < 0 || r.Uses > maxUses {
		return fmt.Errorf("uses: want 1 to %d", maxUses)
	}
	if len(r.Addresses) > maxAddresses {
		return fmt.Errorf("addresses: at most %d", maxAddresses)
	}
	for _, address := range r.Addresses {
		if !isHostPort(address) {
			return errors.New("addresses: want host:port")
		}
	}
	return errors.Join(checkTTL(r.TTL), token.CheckLabels(r.Labels))
}

func checkTTL(millis int64) error {
	if millis < 0 || millis > maxTTL.Milliseconds() {
		return fmt.Errorf("ttl_ms: want 0 to %d", maxTTL.Milliseconds())
	}
	return nil
}

func checkApproval(a *api.Approval) error {
	return errors.Join(checkWho(a.Who), token.CheckLabels(a.Labels))
}

func checkRejection(r *api.Rejection) error {
	return errors.Join(checkWho(r.Who), api.CheckLine("reason", r.Reason, maxReason))
}

// checkWho wants a pairing code or a worker id.
func checkWho(who string) error {
	if _, err := model.ParseWorkerID(who); err == nil {
		return nil
	}
	if _, err := pairing.Parse(who); err != nil {
		return errors.New("who: want a pairing code of four words, or a worker id")
	}
	return nil
}

func checkRevocation(r *api.Revocation) error {
	return errors.Join(checkWorker(r.Worker), api.CheckLine("reason", r.Reason, maxReason))
}

func checkWorkerRef(w *api.WorkerRef) error { return checkWorker(w.Worker) }

func checkWorker(worker string) error {
	if worker == "" {
		return errors.New("worker: want an id or an instance name")
	}
	return api.CheckLine("worker", worker, maxInstance)
}

func checkIssueRequest(r *api.IssueRequest) error {
	if r.Role != trust.RoleCollector && r.Role != trust.RoleOperator {
		return errors.New("role: want collectord or operator; workers enrol")
	}
	if r.Role == trust.RoleOperator && len(r.Hosts) > 0 {
		return errors.New("hosts: an operator accepts no connections")
	}
	if err := (trust.Identity{Fleet: "x", Role: r.Role, Name: r.Name}).Validate(); err != nil {
		return err
	}
	public, err := publicKey(r.PublicKey)
	if err != nil {
		return err
	}
	if _, ok := public.(ed25519.PublicKey); !ok {
		return errors.New("public_key: want Ed25519")
	}
	return errors.Join(checkHosts(r.Hosts), checkTTL(r.TTL))
}

func checkWebRequest(r *api.WebRequest) error {
	public, err := publicKey(r.PublicKey)
	if err != nil {
		return err
	}
	if key, ok := public.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
		return errors.New("public_key: want ECDSA P-256")
	}
	if len(r.Hosts) == 0 {
		return errors.New("hosts: want at least one")
	}
	return checkHosts(r.Hosts)
}

func publicKey(der []byte) (any, error) {
	if len(der) > maxKey {
		return nil, errors.New("public_key: too long")
	}
	public, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, errors.New("public_key: want PKIX in DER")
	}
	return public, nil
}

func checkSecret(s *api.SecretCheck) error {
	if s.Secret == "" || len(s.Secret) > maxSecret {
		return fmt.Errorf("secret: want 1 to %d bytes", maxSecret)
	}
	return nil
}

func checkHosts(hosts []string) error {
	if len(hosts) > maxHosts {
		return fmt.Errorf("hosts: at most %d", maxHosts)
	}
	for _, host := range hosts {
		if !api.IsHost(host) {
			return errors.New("hosts: want host names and IP addresses")
		}
	}
	return nil
}

func isHostPort(text string) bool {
	host, port, err := net.SplitHostPort(text)
	if err != nil || len(text) > maxHostPort {
		return false
	}
	number, err := strconv.ParseUint(port, 10, 16)
	return err == nil && number > 0 && api.IsHost(host)
}
