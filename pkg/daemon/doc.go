// Package daemon is what every process of the product needs around its own
// work: configuration, logging, signals, an ordered end, the conversation with
// systemd, installing as a service, and a command line with these verbs. A
// daemon's main is one statement:
//
//	func main() { os.Exit(daemon.Main(worker.Spec())) }
//
// # The life of a process
//
// Main installs its signal handlers first, so that no early SIGHUP can kill,
// then loads the configuration, then calls Spec.Run. Run acquires what it
// needs, registering the release of each thing on the line after with
// Process.Teardown, starts its parts with Process.Go, calls Process.Ready, and
// returns Process.Wait:
//
//	func run(ctx context.Context, cfg Config, p *daemon.Process[Config]) error {
//		spool, err := spool.Open(cfg.Spool)
//		if err != nil {
//			return err
//		}
//		p.Teardown.AddClose("spool", spool.Close)
//		p.Go("uplink", stream.New(cfg.Stream, spool).Run)
//		p.Ready()
//		return p.Wait(ctx)
//	}
//
// SIGTERM and SIGINT end the process: the context of Run is cancelled, and then
// everything registered is stopped and released, last in, first out, within
// Spec.StopTimeout. A second of these signals ends it at once. The first part
// that fails ends the process in the same order.
//
// SIGHUP reloads: the new configuration is read and checked, every Reloader
// prepares what it will change, and only when all of them could is the change
// made. Otherwise everything stays as it was and the log tells file and line.
//
// # Exit codes
//
//	0   done; for run: ended in order, on request
//	1   failed, or ended by a second signal
//	2   wrong usage of the command line
//	3   status: the service is not active
//	78  the configuration is wrong (EX_CONFIG); restarting will not help
package daemon

// The exit codes of a daemon's program.
const (
	ExitOK          = 0
	ExitFailed      = 1
	ExitUsage       = 2
	ExitNotActive   = 3
	ExitConfigError = 78
)
