package fleettest

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"testing/fstest"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/home"
	"github.com/cloudless-fleet/cloudless/pkg/worker"
)

// machine is one that workerd runs on, as far as workerd can tell: with facts,
// a state folder and a port of its own, though it is in this process. Values
// that it measures are those of the host under all of them.
type machine struct {
	f     *inProcess
	name  string
	facts fstest.MapFS
	// worker are the settings, which a test may change before start. They hold no
	// address of the fleet.
	worker worker.Config
}

// plug adds a machine that collectord, unless it runs already, will call.
func (f *inProcess) plug(name string) *machine {
	f.t.Helper()
	port := freePort(f.t)
	m := &machine{f: f, name: name, worker: worker.DefaultConfig(),
		facts: fstest.MapFS{"etc/machine-id": {Data: []byte(machineID(name) + "\n")}}}
	m.worker.Hostname, m.worker.StateDirectory, m.worker.Enrol.TokenFile = name, f.path("state-"+name), f.path(name+".token")
	m.worker.Discovery.Listen, m.worker.Discovery.Multicast, m.worker.Discovery.MaxDelay = loopback(port), false, 0
	m.worker.Sampling.Interval = 100 * time.Millisecond
	f.collector.Discovery.Targets = append(f.collector.Discovery.Targets, loopback(port))
	f.machines[name] = m
	return m
}

// machineID is what /etc/machine-id holds on a machine of that name.
func machineID(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:16])
}

// start runs workerd; f.stop(name) ends it.
func (m *machine) start() {
	m.f.t.Helper()
	start(m.f, m.name, worker.SpecOn(m.facts), m.worker)
}

// join puts a new token for one machine where workerd looks for it.
func (m *machine) join() {
	m.f.t.Helper()
	m.hold(m.f.token(api.TokenRequest{}))
}

// hold puts a token where workerd looks for it.
func (m *machine) hold(token string) {
	m.f.t.Helper()
	if err := os.WriteFile(m.worker.Enrol.TokenFile, []byte(token+"\n"), 0o600); err != nil {
		m.f.t.Fatal(err)
	}
}

// token makes a join token, as `cloudlessctl token create` does.
func (f *inProcess) token(request api.TokenRequest) string {
	f.t.Helper()
	made, err := f.admin.CreateToken(f.t.Context(), request)
	if err != nil {
		f.t.Fatal(err)
	}
	return made.Token
}

// home is the identity in the state folder; there is one after the first start.
func (m *machine) home() *home.Home {
	m.f.t.Helper()
	h, err := home.Look(m.worker.StateDirectory)
	if err != nil {
		m.f.t.Fatal(err)
	}
	return h
}

// id is who the machine is at present.
func (m *machine) id() model.WorkerID { return m.home().Worker() }

// credentials are what workerd proves itself with: whoever reads its state folder
// has them.
func (m *machine) credentials() *trust.Credentials {
	m.f.t.Helper()
	credentials, err := trust.Load(m.home().Files(), time.Now)
	if err != nil {
		m.f.t.Fatal(err)
	}
	return credentials
}

// copyState copies the state folder of a machine, key and certificate included, to
// another one.
func (m *machine) copyState(to *machine) {
	m.f.t.Helper()
	copyFolder(m.f.t, m.worker.StateDirectory, to.worker.StateDirectory)
}

// work are all the steps from nothing to a machine that sends: join, start, and
// wait until its frames arrive.
func (m *machine) work() {
	m.f.t.Helper()
	m.join()
	m.start()
	m.f.eventually(m.name+" is registered and its frames arrive", m.working)
}

// working is a check that the machine is registered and its frames arrive.
func (m *machine) working() error {
	row, err := m.f.client.Worker(m.f.t.Context(), m.id())
	if err != nil {
		return err
	}
	return isWorking(row)
}
