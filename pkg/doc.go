// Package pkg holds the whole product in floors. A package imports packages of
// lower floors only; subpackages stand on their parent's floor and may import
// it. layout_test.go is the judge.
//
//	floor  package      in one line
//	0      model        vocabulary: ids, hosts, ports, series, states
//	0      crm          ProbeInit, ProbeAck, RegisterAck <-> JSON datagrams
//	0      frame        schemas, frames and records <-> bytes
//	0      event        what workers tell of themselves: gaps and their causes <-> JSON
//	1      kernel       /proc and /sys under an injected root
//	1      durable      segmented crash-safe record log
//	1      boltfile     a bbolt file that is versioned, checked and never repaired by deleting
//	1      audit        append-only log of who did what
//	1      trust        fleet CA, certificates, TLS configurations, peer -> identity
//	1      daemon       what every process needs: TOML, logs, signals, teardown, service
//	2      sampler      table of collectors and their clockwork -> frames
//	2      spool        bounded log of records until they are acknowledged
//	2      stream       both ends of the data conversation
//	2      discovery    both ends of probing
//	2      admission    who may join: tokens, approval, members' keys, one process for each identity
//	2      registry     leases, states, retry budgets, persistence
//	2      store        frames in, storage.Queryable out
//	3      api          HTTP: Prometheus API, fleet API, control API, typed client
//	3      selfmetrics  figures of the process and its ports -> metrics
//	4      worker       workerd: wiring only
//	4      collector    collectord: wiring only
//	4      coordinator  coordinatord: wiring only
//	4      ctl          cloudlessctl: verbs and their output
//	5      fleettest    the daemons together: in one process, and as a fleet of namespaces; tests only
//
// Every package may use model.
package pkg
