package demo

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// fleet is what lies in the temporary folder: settings and state.
type fleet struct {
	Dir string
	// Sockets is the folder of the unix sockets, whose paths must be short.
	Sockets  string
	Interval time.Duration
	// Ports of the daemons: the usual ones where they are free.
	Collector, Coordinator, Worker int
}

// maxSocketFolder is the longest folder in which a unix socket can be: the path
// of one has 107 bytes.
const maxSocketFolder = 80

// socketFolder makes the folder of the sockets: in dir, unless that is too long.
func socketFolder(dir string) (string, error) {
	if folder := filepath.Join(dir, "run"); len(folder) <= maxSocketFolder {
		return folder, os.Mkdir(folder, 0o700)
	}
	return os.MkdirTemp("/tmp", "cloudless-demo-")
}

// prepare writes settings for a fleet of one into dir.
func prepare(dir, sockets string, interval time.Duration) (*fleet, error) {
	f := &fleet{Dir: dir, Sockets: sockets, Interval: interval}
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

// ctlName is the name under which the settings of cloudlessctl are written.
const ctlName = "cloudlessctl"

// settings gives the text of every settings file. The fleet stays on loopback,
// and probes more often than usual so that nobody has to wait.
func (f *fleet) settings() map[string]string {
	return map[string]string{
		model.DaemonCollector: fmt.Sprintf(`state_directory = %q
listen = "127.0.0.1:%d"
socket = %q
[coordinator]
url    = "https://127.0.0.1:%d"
port   = %d
socket = %q
[discovery]
interval        = "2s"
auto_interfaces = false
targets         = ["127.0.0.1:%d"]
[store]
min_free = "0B"
[self]
interval = "5s"
`, filepath.Join(f.Dir, model.DaemonCollector), f.Collector, f.socket(model.DaemonCollector), f.Coordinator, f.Coordinator,
			f.socket(model.DaemonCoordinator), f.Worker),

		model.DaemonCoordinator: fmt.Sprintf(`fleet = "demo"
state_directory = %q
[control]
listen = "127.0.0.1:%d"
socket = %q
[discovery]
listen = "127.0.0.1:%d"
`, filepath.Join(f.Dir, model.DaemonCoordinator), f.Coordinator, f.socket(model.DaemonCoordinator), f.Coordinator),

		model.DaemonWorker: fmt.Sprintf(`state_directory = %q
[enrol]
token_file = %q
[discovery]
listen = "127.0.0.1:%d"
[sampling]
interval = %q
`, filepath.Join(f.Dir, model.DaemonWorker), f.tokenFile(), f.Worker, f.Interval),

		ctlName: fmt.Sprintf(`coordinator_socket = %q
collector_socket   = %q
`, f.socket(model.DaemonCoordinator), f.socket(model.DaemonCollector)),
	}
}

// socket is the path of a daemon's unix socket.
func (f *fleet) socket(daemon string) string { return filepath.Join(f.Sockets, daemon+".sock") }

// tokenFile is where the join token waits for workerd.
func (f *fleet) tokenFile() string { return filepath.Join(f.Dir, "join.token") }

// curlConfig and webAuthority are what curl needs: a token, and by what to
// recognise the collector.
func (f *fleet) curlConfig() string   { return filepath.Join(f.Dir, "curl.conf") }
func (f *fleet) webAuthority() string { return filepath.Join(f.Dir, "web-authority.pem") }

// curlSettings is the text of a configuration file of curl.
func (f *fleet) curlSettings(token string) string {
	return fmt.Sprintf("header = \"Authorization: Bearer %s\"\ncacert = %q\n", token, f.webAuthority())
}

// coordinator is where workers find coordinatord.
func (f *fleet) coordinator() string { return fmt.Sprintf("127.0.0.1:%d", f.Coordinator) }

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
	ctl, settings := filepath.Join(bin, ctlName), f.config(ctlName)
	return []string{
		"Query it from another terminal:",
		fmt.Sprintf("  %s query --config %s 'rate(node_cpu_seconds_total[1m])'", ctl, settings),
		fmt.Sprintf("  %s workers --config %s", ctl, settings),
		fmt.Sprintf("  %s audit --config %s", ctl, settings),
		fmt.Sprintf("  curl --config %s '%s/api/v1/query?query=node_load1'", f.curlConfig(), f.url()),
		"",
		"Logs and state: " + f.Dir + " (removed at the end). Ctrl-C stops everything.",
	}
}
