// Command workerd measures its host and streams what it finds to the collector of its fleet.
package main

import (
	"os"

	"github.com/cloudless-fleet/cloudless/pkg/daemon"
	"github.com/cloudless-fleet/cloudless/pkg/worker"
)

func main() { os.Exit(daemon.Main(worker.Spec())) }
