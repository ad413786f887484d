// Command collectord calls for the workers of a fleet, stores what they measure and answers queries.
package main

import (
	"os"

	"github.com/cloudless-fleet/cloudless/pkg/collector"
	"github.com/cloudless-fleet/cloudless/pkg/daemon"
)

func main() { os.Exit(daemon.Main(collector.Spec())) }
