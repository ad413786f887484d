package fleettest

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/stream"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// controlPaths are all of coordinatord's.
func controlPaths() []string {
	paths := []string{api.PathEnrol, api.PathRenewal, api.PathRenew, api.PathRegister, api.PathKeepAlive, api.PathSession, api.PathLeave,
		api.PathControlWorkers, api.PathControlContacts, api.PathControlStats, api.PathControlRevocations, api.PathControlCollector}
	for _, path := range adminPaths() {
		paths = append(paths, api.PrefixAdminCoordinator+path)
	}
	return paths
}

func adminPaths() []string {
	return []string{api.PathAdminFleet, api.PathAdminTokens, api.PathAdminPending, api.PathAdminApprove, api.PathAdminReject,
		api.PathAdminMembers, api.PathAdminRevoke, api.PathAdminReadmit, api.PathAdminForget, api.PathAdminRevoked, api.PathAdminAudit,
		api.PathAdminAuthority + "/prepare", api.PathAdminIssue, api.PathAdminSecret, api.PathAdminSecretReset, api.PathAdminWeb}
}

// peoplePaths are collectord's that need somebody who has shown who he is.
func peoplePaths() []string {
	paths := []string{api.PathFleetWorkers, api.PathMe, api.PathAPITokens, api.PathUsers, api.PathWebAudit, api.PathLogout,
		api.PathQuery + "?query=up", api.PathQueryRange, api.PathLabels, "/api/v1/label/job/values", api.PathSeries, api.PathMetadata, api.PathBuildInfo}
	for _, path := range adminPaths() {
		paths = append(paths, api.PrefixAdminCollector+path)
	}
	return paths
}

// ask sends a request and returns the status of the answer.
func ask(t *testing.T, client *http.Client, method, url, body string, headers ...string) (int, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	return response.StatusCode, nil
}

// greet begins a stream with a certificate, and reports what comes of it.
func greet(t *testing.T, addr string, config *tls.Config) error {
	t.Helper()
	config.NextProtos = []string{stream.ALPN}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	_, err = conn.Read(make([]byte, 1)) // of TLS 1.3, the server's no comes after the handshake
	return err
}

// armed is how somebody connects who trusts the fleet, and shows a certificate
// whatever the server wants to see.
func (f *inProcess) armed(server trust.Role, own trust.Issued) *tls.Config {
	f.t.Helper()
	pair, err := tls.X509KeyPair(own.Cert, own.Key)
	if err != nil {
		f.t.Fatal(err)
	}
	config := f.bundle().Client(server, time.Now)
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	return config
}

// turnedAway is how many connections the collector has refused for a reason.
func (f *inProcess) turnedAway(reason string) (float64, error) {
	return f.value(fmt.Sprintf(`cloudless_port_failed_total{job="collectord",reason=%q}`, reason))
}

// TestCertificatesOfOthersOpenNothing: those of another fleet of the same name, and
// those of this one that have run out. Whoever shows one hears not a word on any
// path of any port.
func TestCertificatesOfOthersOpenNothing(t *testing.T) {
	t.Parallel()
	f := newInProcess(t, "w1")
	f.startServers()
	f.machines["w1"].work()
	w1 := f.machines["w1"].id().String()
	other, err := trust.NewCA("test", rand.Reader, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		ca      *trust.CA
		issued  time.Time
		life    time.Duration
		counted string
	}{
		{"of another fleet with this name", other, time.Now(), time.Hour, "untrusted"},
		{"that has run out", f.authority(), time.Now().Add(-5 * time.Minute), time.Minute, "expired"},
	} {
		names := map[trust.Role]string{trust.RoleWorker: w1, trust.RoleOperator: "root", trust.RoleCollector: "hq", trust.RoleCoordinator: "hq"}
		for role, name := range names {
			own, err := c.ca.Issue(trust.Request{Role: role, Name: name, TTL: c.life}, rand.Reader, c.issued)
			if err != nil {
				t.Fatal(err)
			}
			nothing := func(server trust.Role, port int, paths []string) {
				t.Helper()
				// A connection of its own for each path.
				client := f.keep(&http.Transport{DisableKeepAlives: true, TLSClientConfig: f.armed(server, own)})
				for _, path := range paths {
					status, err := ask(t, client, http.MethodPost, "https://"+loopback(port)+path, "{}")
					if err == nil || errors.Is(err, syscall.ECONNREFUSED) { // the reason is counted at the other end
						t.Errorf("the certificate of a %s %s: %s was answered with %d, %v; want an end in the handshake", role, c.name, path, status, err)
					}
				}
			}
			nothing(trust.RoleCoordinator, f.control, controlPaths())
			nothing(trust.RoleCollector, f.data, peoplePaths())
			if err := greet(t, loopback(f.data), f.armed(trust.RoleCollector, own)); err == nil || errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("a stream with the certificate of a %s %s: %v, want an end in the handshake", role, c.name, err)
			}
		}
		f.eventually("the collector counts them as "+c.counted, func() error {
			got, err := f.turnedAway(c.counted)
			if want := float64(len(names) * (len(peoplePaths()) + 1)); err == nil && got != want {
				err = fmt.Errorf("%v, want %v", got, want)
			}
			return err
		})
	}
	f.eventually("the worker whose name was used works", f.machines["w1"].working)
	if entries := f.entries(model.DaemonCoordinator, "enrol", ""); len(entries) != 1 || len(f.members()) != 1 {
		t.Errorf("somebody was let in: %+v", entries)
	}
}
