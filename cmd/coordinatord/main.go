// Command coordinatord keeps the register of a fleet's workers.
package main

import (
	"os"

	"github.com/cloudless-fleet/cloudless/pkg/coordinator"
	"github.com/cloudless-fleet/cloudless/pkg/daemon"
)

func main() { os.Exit(daemon.Main(coordinator.Spec())) }
