package daemon

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// Unit is what is particular about a daemon's systemd service.
type Unit struct {
	// User (and group) the service runs as; "" means root. Creating it is the
	// business of the package or the operator; install only checks.
	User string
	// Capabilities that the service keeps although it is not root.
	Capabilities []string
	// ReadsHost marks an agent that measures the host as it is. Its service
	// keeps the host's view of processes, mounts and network: any option that
	// gives the service mounts of its own would be measured as if they were
	// the host's (read-only flags, phantom mounts, an empty /home), and
	// ProtectProc and ProcSubset would blind it.
	ReadsHost bool
	// After orders the start behind other units, if they are started at all.
	After []string
	// OpenFiles is the limit of open files; 0 leaves systemd's.
	OpenFiles int
	// Watchdog is how long the daemon may be without progress before systemd
	// restarts it; 0 means 60 s, negative never.
	Watchdog time.Duration
}

const defaultWatchdog = time.Minute

// UnitText is the service file of the daemon: executable is its absolute path,
// configPath is given to --config unless it is "". `install` writes it, and
// packages ship the same.
func (s Spec[C]) UnitText(executable, configPath string) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	setting := func(name, value string) {
		if value != "" {
			line("%s=%s", name, value)
		}
	}
	command := unitQuote(executable) + " run"
	if configPath != "" {
		command += " --config " + unitQuote(configPath)
	}
	stop := cmp.Or(s.StopTimeout, DefaultStopTimeout)
	u := s.Unit

	line("# %s: %s", s.DisplayName, s.Summary)
	line("[Unit]")
	line("Description=%s", s.DisplayName)
	line("Documentation=https://github.com/cloudless-fleet/cloudless")
	line("# Not network-online: the daemon starts without a network and follows it.")
	line("After=%s", strings.Join(append([]string{"network.target"}, u.After...), " "))
	line("")
	line("[Service]")
	line("Type=notify")
	line("NotifyAccess=main")
	line("ExecStart=%s", command)
	line("ExecReload=/bin/kill -HUP $MAINPID")
	line("Restart=on-failure")
	line("RestartSec=5s")
	line("# Wrong usage and wrong configuration do not heal by themselves.")
	line("RestartPreventExitStatus=%d %d", ExitUsage, ExitConfigError)
	line("# The daemon's own limit and some more, before it is killed.")
	line("TimeoutStopSec=%ds", int((stop + 10*time.Second).Seconds()))
	if u.Watchdog >= 0 {
		line("WatchdogSec=%ds", int(cmp.Or(u.Watchdog, defaultWatchdog).Seconds()))
	}
	if u.OpenFiles > 0 {
		line("LimitNOFILE=%d", u.OpenFiles)
	}
	setting("User", u.User)
	setting("Group", u.User)
	line("StateDirectory=cloudless/%s", s.Name)
	line("StateDirectoryMode=0700")
	line("RuntimeDirectory=cloudless/%s", s.Name)
	line("UMask=0077")
	line("")
	if u.User != "" {
		line("CapabilityBoundingSet=%s", strings.Join(u.Capabilities, " "))
		setting("AmbientCapabilities", strings.Join(u.Capabilities, " "))
	}
	b.WriteString(hardening)
	if u.ReadsHost {
		b.WriteString(hardeningAgent)
	} else {
		b.WriteString(hardeningServer)
	}
	line("")
	line("[Install]")
	line("WantedBy=multi-user.target")
	return b.String()
}

// hardening is what every daemon can live with: nothing here gives the service
// mounts of its own.
const hardening = `NoNewPrivileges=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
`

const hardeningAgent = `# No Protect* and Private* options: they give the service mounts, a /proc or a
# network of its own, which it would measure instead of the host's.
`

const hardeningServer = `ProtectSystem=strict
ProtectHome=yes
ProtectProc=invisible
ProtectClock=yes
ProtectHostname=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
PrivateTmp=yes
PrivateDevices=yes
RemoveIPC=yes
`

// unitQuote spells one word of a command line in a unit file: no specifier and
// no variable is expanded in it (systemd.service(5), "Command lines").
func unitQuote(word string) string {
	word = strings.NewReplacer("%", "%%", "$", "$$", `\`, `\\`, `"`, `\"`).Replace(word)
	if strings.ContainsAny(word, " \t'\"\\;") || word == "" {
		return `"` + word + `"`
	}
	return word
}
