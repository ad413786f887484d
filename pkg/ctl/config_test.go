package ctl

import (
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/daemon/configtest"
)

func TestReferenceEqualsDefaults(t *testing.T) {
	configtest.CheckReference(t, "../../configs/cloudlessctl.toml", DefaultConfig())
}

func TestValidateListsEveryWrongKey(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Errorf("defaults: %v", err)
	}
	for _, address := range []string{"https://collector:9090", "https://192.0.2.1", "https://[2001:db8::1]:9090/behind/a/proxy"} {
		cfg := DefaultConfig()
		if cfg.Collector = address; cfg.Validate() != nil {
			t.Errorf("%s: %v", address, cfg.Validate())
		}
	}
	for _, address := range []string{"", "collector:9090", "http://collector:9090", "https://", "https://:9090", "https://[::1"} {
		cfg := DefaultConfig()
		cfg.Collector = address
		cfg.TLS.CA, cfg.TLS.Cert = "", ""
		want := `collector: "` + address + "\": want an address like https://collector:9090\n" +
			"tls.ca: want the path of a PEM file\ntls.cert: want the path of a PEM file"
		if err := cfg.Validate(); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
