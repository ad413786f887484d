package ctl

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/ctl/demo"
	"github.com/cloudless-fleet/cloudless/pkg/trust/local"
)

func (c *command) demo(ctx context.Context, args []string) error {
	set := c.flags("demo")
	bin := set.String("bin", "", "`folder` of the three daemons (default: that of cloudlessctl)")
	interval := set.Duration("interval", time.Second, "time between two rounds of measurements")
	if err := c.parseAll(set, args); err != nil {
		return err
	}
	if *bin == "" {
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("find the daemons beside cloudlessctl: %w", err)
		}
		*bin = filepath.Dir(self)
	}
	return demo.Run(ctx, demo.Options{Bin: *bin, Interval: *interval, Out: c.Out, Width: terminalWidth(c.Out),
		Connect: func(coordinator, collector string) (*api.AdminClient, *api.Client, error) {
			admin, err := api.NewAdminClient(localBase, api.PrefixAdminCoordinator, local.Client(coordinator))
			if err != nil {
				return nil, nil, err
			}
			client, err := api.NewClient(localBase, local.Client(collector))
			return admin, client, err
		}})
}

// terminalWidth returns what gives the columns of a terminal, or nil when out is
// none.
func terminalWidth(out io.Writer) func() int {
	file, isFile := out.(*os.File)
	if !isFile {
		return nil
	}
	if _, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS); err != nil {
		return nil
	}
	return func() int {
		const usual = 80
		size, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ)
		if err != nil || size.Col == 0 {
			return usual
		}
		return int(size.Col)
	}
}
