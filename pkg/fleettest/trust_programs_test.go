package fleettest

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/trust/token"
)

// TestProgramsShowNoSecret looks at what every user of a host can see of our
// processes, and at what they leave behind, while a machine comes in by a token.
func TestProgramsShowNoSecret(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10.77.20.0/24", "w1")
	w1 := f.workers[0]
	const debug = "[log]\nlevel = \"debug\"\n"
	for h, names := range map[*host][]string{f.hq: {"coordinatord", "collectord"}, w1: {"workerd"}} {
		for _, name := range names {
			f.write(settings(h, name), f.read(settings(h, name))+debug)
		}
	}
	f.startServers()
	f.start(w1, "workerd")
	f.eventually(2*probeInterval+3*slack, "the fleet works", f.flowing("w1"))

	planted := &secrets{t: t}
	join := strings.TrimSpace(f.read(w1.name + ".token"))
	planted.coded("the join token", join, token.Prefix, ".token", 1+len("test")+32+8, 20)
	secret, err := os.ReadFile(f.state(f.hq, "coordinatord") + "/fleet/admin.secret")
	if err != nil {
		t.Fatal(err)
	}
	planted.text("the admin secret", strings.TrimSpace(string(secret)), "cloudless-admin-", "/admin.secret")
	planted.keysIn(f.dir)
	for key, d := range f.running {
		for _, file := range []string{"cmdline", "environ"} {
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", d.cmd.Process.Pid, file))
			if err != nil || file == "cmdline" && !strings.Contains(string(text), "--config") {
				t.Errorf("%s of %s: %q, %v", file, key, text, err)
			}
			planted.look(file+" of "+key, text)
		}
	}
	for path, text := range filesIn(t, f.dir) {
		planted.look(path, text)
	}
}
