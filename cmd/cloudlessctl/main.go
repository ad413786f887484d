// Command cloudlessctl works with a fleet from the command line.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/cloudless-fleet/cloudless/pkg/ctl"
	"github.com/cloudless-fleet/cloudless/pkg/daemon"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := ctl.Main(ctx, daemon.BuildOf().String(), os.Args[1:], ctl.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
	stop()
	os.Exit(code)
}
