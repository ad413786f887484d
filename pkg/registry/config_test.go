package registry

import (
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"
)

func TestConfigValidate(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Errorf("default: %v", err)
	}
	tests := []struct {
		field string
		spoil func(*Config)
	}{
		{"keep_alive_min", func(c *Config) { c.KeepAliveMin = time.Millisecond }},
		{"keep_alive_max", func(c *Config) { c.KeepAliveMax = time.Millisecond }},
		{"keep_alive_max", func(c *Config) { c.KeepAliveMax = 25 * time.Hour }},
		{"keep_alive", func(c *Config) { c.KeepAlive = 0 }},
		{"keep_alive", func(c *Config) { c.KeepAlive = 2 * time.Hour }},
		{"retry_limit", func(c *Config) { c.RetryLimit = 0 }},
		{"retry_limit", func(c *Config) { c.RetryLimit = 1001 }},
		{"cool_down", func(c *Config) { c.CoolDown = -1 }},
		{"forget_after", func(c *Config) { c.ForgetAfter = time.Second }},
		{"forget_after", func(c *Config) { c.ForgetAfter = -1 }},
		{"max_workers", func(c *Config) { c.MaxWorkers = 0 }},
		{"max_workers", func(c *Config) { c.MaxWorkers = 1_000_001 }},
		{"max_candidates", func(c *Config) { c.MaxCandidates = 0 }},
		{"persist_interval", func(c *Config) { c.PersistInterval = 0 }},
		{"lock_timeout", func(c *Config) { c.LockTimeout = 0 }},
	}
	for _, test := range tests {
		cfg := DefaultConfig()
		test.spoil(&cfg)
		err := cfg.Validate()
		if err == nil || !strings.HasPrefix(err.Error(), test.field+": ") {
			t.Errorf("spoilt %s: %v", test.field, err)
		}
		if _, err := Open(t.TempDir(), cfg, Deps{}); err == nil {
			t.Errorf("spoilt %s: opened", test.field)
		}
	}
}

func TestConfigTOML(t *testing.T) {
	want := DefaultConfig()
	want.KeepAlive, want.RetryLimit, want.ForgetAfter = 45*time.Second, 5, 720*time.Hour
	got := DefaultConfig()
	meta, err := toml.Decode("keep_alive = \"45s\"\nretry_limit = 5\nforget_after = \"720h\"\n", &got)
	if err != nil || len(meta.Undecoded()) > 0 {
		t.Fatal(err, meta.Undecoded())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("decoded (-want +got):\n%s", diff)
	}
}
