package ctl

import (
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/daemon/configtest"
)

func TestReferenceEqualsDefaults(t *testing.T) {
	configtest.CheckReference(t, "../../configs/cloudlessctl.toml", DefaultConfig())
}

func TestComplaints(t *testing.T) {
	address := func(text string) func(*Config) { return func(c *Config) { c.Collector = text } }
	cases := []configtest.Spoiled[Config]{
		{Spoil: func(c *Config) { c.CoordinatorSocket, c.CollectorSocket = "", "api.sock" }, Want: []string{
			`coordinator_socket: "": want the whole path of a unix socket`, `collector_socket: "api.sock": want the whole path of a unix socket`}},
		{Spoil: func(c *Config) { c.TLS = TLS{CA: "a", Cert: "b"} }, Want: []string{"tls.key: want cert and key, or neither"}},
		{Spoil: func(c *Config) { c.TLS = TLS{CA: "a", Key: "b"} }, Want: []string{"tls.cert: want cert and key, or neither"}},
		{Spoil: func(c *Config) { c.TLS = TLS{Cert: "a", Key: "b"} }, Want: []string{"tls.ca: want the certificate of the fleet's authority that goes with cert"}},
	}
	for _, bad := range []string{"collector:9090", "http://collector:9090", "https://", "https://:9090", "https://[::1", "https://a:b@c", "https://a/?x=1"} {
		cases = append(cases, configtest.Spoiled[Config]{Spoil: address(bad), Want: []string{
			`collector: "` + bad + `": want an address like https://collector:9090`}})
	}
	configtest.CheckComplaints(t, DefaultConfig, cases)
	for _, good := range []string{"https://collector:9090", "https://192.0.2.1", "https://[2001:db8::1]:9090/behind/a/proxy"} {
		cfg := DefaultConfig()
		if cfg.Collector = good; cfg.Validate() != nil {
			t.Errorf("%s: %v", good, cfg.Validate())
		}
	}
}

func TestAddressesAsPeopleTypeThem(t *testing.T) {
	for typed, want := range map[string]string{
		"collector": "https://collector:9090", "collector:443": "https://collector:443", "10.0.0.1": "https://10.0.0.1:9090",
		"10.0.0.1:9090": "https://10.0.0.1:9090", "[fd00::1]": "https://[fd00::1]:9090", "https://collector": "https://collector",
		"https://collector/behind/": "https://collector/behind", "collector.example/fleet": "https://collector.example:9090/fleet",
	} {
		if got, err := addressOf(typed); err != nil || got != want {
			t.Errorf("%q: got %q, %v; want %q", typed, got, err, want)
		}
	}
	for _, typed := range []string{"", "http://collector", "https://", "a b", "user@collector", "ftp://x"} {
		if got, err := addressOf(typed); err == nil {
			t.Errorf("%q: got %q, want an error", typed, got)
		}
	}
}
