package discovery

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func TestDefaultsAreValid(t *testing.T) {
	for _, err := range []error{DefaultProberConfig().Validate(), DefaultResponderConfig().Validate(), DefaultRegistrarConfig().Validate()} {
		if err != nil {
			t.Error(err)
		}
	}
}

// A wrong value is named by its field as the TOML spells it.
func TestValidateNamesTheField(t *testing.T) {
	prober := func(field string, change func(*ProberConfig)) {
		t.Helper()
		c := DefaultProberConfig()
		change(&c)
		wantField(t, field, c.Validate())
	}
	prober("interval", func(c *ProberConfig) { c.Interval = 99 * time.Millisecond })
	prober("interval", func(c *ProberConfig) { c.Interval = time.Hour + 1 })
	prober("interval", func(c *ProberConfig) { c.Interval = time.Second + 1 })
	prober("port", func(c *ProberConfig) { c.Port = 0 })
	prober("targets", func(c *ProberConfig) { c.Targets = []string{"ok", "a:b:c"} })
	prober("targets", func(c *ProberConfig) { c.Targets = make([]string, maxTargets+1) })
	prober("interfaces", func(c *ProberConfig) { c.Interfaces = []string{""} })
	prober("exclude_interfaces", func(c *ProberConfig) { c.ExcludeInterfaces = []string{strings.Repeat("x", 16)} })
	prober("advertise_address", func(c *ProberConfig) { c.AdvertiseAddress = netip.MustParseAddr("fe80::1%eth0") })
	prober("advertise_address", func(c *ProberConfig) { c.AdvertiseAddress = netip.MustParseAddr("0.0.0.0") })
	prober("advertise_address", func(c *ProberConfig) { c.AdvertiseAddress = netip.MustParseAddr("224.0.0.1") })
	for _, group := range []string{"2001:db8::1", "224.0.0.1", "ff05::1", "ff02::1%eth0", "::ffff:224.0.0.1"} {
		prober("group", func(c *ProberConfig) { c.Group = netip.MustParseAddr(group) })
	}

	responder := func(field string, change func(*ResponderConfig)) {
		t.Helper()
		c := DefaultResponderConfig()
		change(&c)
		wantField(t, field, c.Validate())
	}
	responder("listen", func(c *ResponderConfig) { c.Listen = "10300" })
	responder("max_delay", func(c *ResponderConfig) { c.MaxDelay = -1 })
	responder("max_delay", func(c *ResponderConfig) { c.MaxDelay = time.Hour + 1 })
	responder("answer_rate", func(c *ResponderConfig) { c.AnswerRate = 0 })
	responder("read_buffer", func(c *ResponderConfig) { c.ReadBuffer = 1 })
	responder("group", func(c *ResponderConfig) { c.Group = netip.Addr{} })

	registrar := func(field string, change func(*RegistrarConfig)) {
		t.Helper()
		c := DefaultRegistrarConfig()
		change(&c)
		wantField(t, field, c.Validate())
	}
	registrar("listen", func(c *RegistrarConfig) { c.Listen = ":99999" })
	registrar("reply_rate", func(c *RegistrarConfig) { c.ReplyRate = 0 })
	registrar("reply_rate_per_address", func(c *RegistrarConfig) { c.ReplyRatePerAddress = 1_000_001 })
	registrar("read_buffer", func(c *RegistrarConfig) { c.ReadBuffer = 2 * model.GiB })
}

func wantField(t *testing.T, field string, err error) {
	t.Helper()
	if err == nil || !strings.HasPrefix(err.Error(), field) {
		t.Errorf("got error %v, want one that begins with %s", err, field)
	}
}

// Every field has its TOML spelling, and survives being written and read.
func TestConfigAsTOML(t *testing.T) {
	text := `
interval = "2s"
auto_interfaces = false
interfaces = ["lo", "br0"]
exclude_interfaces = ["eth9"]
targets = ["worker1:10500"]
port = 10301
multicast = false
group = "ff02::1"
advertise_address = "192.0.2.1"
name_form = true
`
	got := DefaultProberConfig()
	meta, err := toml.Decode(text, &got)
	if err != nil || len(meta.Undecoded()) != 0 {
		t.Fatalf("decode: %v, undecoded %v", err, meta.Undecoded())
	}
	if got.Interval != 2*time.Second || got.AdvertiseAddress.String() != "192.0.2.1" || got.Group.String() != "ff02::1" || !got.NameForm {
		t.Errorf("decoded %+v", got)
	}
	for _, c := range []any{DefaultProberConfig(), DefaultResponderConfig(), DefaultRegistrarConfig()} {
		b, err := toml.Marshal(c)
		if err != nil {
			t.Errorf("marshal %T: %v", c, err)
		}
		var back map[string]any
		if err := toml.Unmarshal(b, &back); err != nil {
			t.Errorf("unmarshal %T: %v", c, err)
		}
		for name := range back {
			if name != strings.ToLower(name) {
				t.Errorf("%T: field %s has no TOML spelling", c, name)
			}
		}
	}
	again := DefaultProberConfig()
	b, _ := toml.Marshal(again)
	if err := toml.Unmarshal(b, &again); err != nil || again.AdvertiseAddress.IsValid() {
		t.Errorf("an absent advertise_address does not survive: %v, %v", again.AdvertiseAddress, err)
	}
}
