package demo

import (
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// fleet is what lies in the temporary folder: certificates, settings, state.
type fleet struct {
	Dir      string
	Interval time.Duration
	// Ports of the daemons: the usual ones where they are free.
	Collector, Coordinator, Worker int
	operator                       trust.Files
}

// prepare makes certificates and settings for a fleet of one in dir.
func prepare(dir string, interval time.Duration) (*fleet, error) {
	f := &fleet{Dir: dir, Interval: interval}
	var err error
	if f.Collector, err = freePort(model.PortCollector, "tcp"); err != nil {
		return nil, err
	}
	if f.Coordinator, err = freePort(model.PortCoordinator, "udp", "tcp"); err != nil {
		return nil, err
	}
	if f.Worker, err = freePort(model.PortWorker, "udp"); err != nil {
		return nil, err
	}
	if err := f.issueCertificates(); err != nil {
		return nil, err
	}
	return f, f.writeSettings()
}

// freePort returns want where it is free on loopback for all the networks, and
// any free port otherwise. The daemon that is started next takes it.
func freePort(want int, networks ...string) (int, error) {
	const attempts = 20 // a port that is free for UDP may not be for TCP
	for range attempts {
		port, err := probe(want, networks)
		if err == nil {
			return port, nil
		}
		want = 0
	}
	return 0, fmt.Errorf("find a free port for %s on loopback", strings.Join(networks, " and "))
}

func probe(port int, networks []string) (int, error) {
	for _, network := range networks {
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		if network == "tcp" {
			listener, err := net.Listen(network, addr)
			if err != nil {
				return 0, err
			}
			defer listener.Close()
			port = listener.Addr().(*net.TCPAddr).Port
			continue
		}
		conn, err := net.ListenPacket(network, addr)
		if err != nil {
			return 0, err
		}
		defer conn.Close()
		port = conn.LocalAddr().(*net.UDPAddr).Port
	}
	return port, nil
}

func (f *fleet) issueCertificates() error {
	now := time.Now()
	ca, err := trust.InitCA(filepath.Join(f.Dir, "ca"), "demo", rand.Reader, now)
	if err != nil {
		return err
	}
	var id [16]byte
	rand.Read(id[:]) // never fails
	for _, request := range []trust.Request{
		{Role: trust.RoleCollector, Name: "demo", Hosts: []string{"localhost", "127.0.0.1"}},
		{Role: trust.RoleCoordinator, Name: "demo", Hosts: []string{"localhost", "127.0.0.1"}},
		{Role: trust.RoleWorker, Name: model.WorkerIDFrom(id).String()},
		{Role: trust.RoleOperator, Name: "demo"},
	} {
		issued, err := ca.Issue(request, rand.Reader, now)
		if err != nil {
			return err
		}
		if f.operator, err = trust.WriteCredentials(filepath.Join(f.Dir, "tls"), issued); err != nil {
			return err
		}
	}
	return nil
}

// ctlName is the name under which the settings of cloudlessctl are written.
const ctlName = "cloudlessctl"

// settings gives the text of every settings file. The fleet stays on loopback,
// and probes more often than usual so that nobody has to wait.
func (f *fleet) settings() map[string]string {
	return map[string]string{
		model.DaemonCollector: fmt.Sprintf(`listen = "127.0.0.1:%d"
[tls]
%s
[coordinator]
url  = "https://127.0.0.1:%d"
port = %d
[discovery]
interval        = "2s"
auto_interfaces = false
targets         = ["127.0.0.1:%d"]
[store]
dir      = %q
min_free = "0B"
[self]
interval = "5s"
`, f.Collector, f.tls(trust.RoleCollector), f.Coordinator, f.Coordinator, f.Worker, filepath.Join(f.Dir, "store")),

		model.DaemonCoordinator: fmt.Sprintf(`state_directory = %q
[tls]
%s
[control]
listen = "127.0.0.1:%d"
[discovery]
listen = "127.0.0.1:%d"
`, filepath.Join(f.Dir, "registry"), f.tls(trust.RoleCoordinator), f.Coordinator, f.Coordinator),

		model.DaemonWorker: fmt.Sprintf(`[tls]
%s
[discovery]
listen = "127.0.0.1:%d"
[sampling]
interval = %q
`, f.tls(trust.RoleWorker), f.Worker, f.Interval),

		ctlName: fmt.Sprintf(`collector = %q
[tls]
%s
`, f.url(), f.tls(trust.RoleOperator)),
	}
}

// tls gives the keys of the section of that name.
func (f *fleet) tls(role trust.Role) string {
	files := trust.FilesIn(filepath.Join(f.Dir, "tls"), role)
	return fmt.Sprintf("ca   = %q\ncert = %q\nkey  = %q", files.CA, files.Cert, files.Key)
}

func (f *fleet) writeSettings() error {
	for name, text := range f.settings() {
		if err := os.WriteFile(f.config(name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// config is the path of a program's settings.
func (f *fleet) config(program string) string { return filepath.Join(f.Dir, program+".toml") }

func (f *fleet) url() string { return fmt.Sprintf("https://127.0.0.1:%d", f.Collector) }

// hints say how to look at the fleet from another terminal.
func (f *fleet) hints(bin string) []string {
	ctl := filepath.Join(bin, ctlName)
	return []string{
		"Query it from another terminal:",
		fmt.Sprintf("  %s query --config %s 'rate(node_cpu_seconds_total[1m])'", ctl, f.config(ctlName)),
		fmt.Sprintf("  %s workers --config %s", ctl, f.config(ctlName)),
		fmt.Sprintf("  curl --cacert %s --cert %s --key %s '%s/api/v1/query?query=node_load1'",
			f.operator.CA, f.operator.Cert, f.operator.Key, f.url()),
		"",
		"Logs and state: " + f.Dir + " (removed at the end). Ctrl-C stops everything.",
	}
}
