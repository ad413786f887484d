package kernel

import "bytes"

// UserHZ is how many ticks of /proc/stat make a second. It is part of the
// kernel's interface and 100 on every architecture that Go supports
// (include/asm-generic/param.h), whatever the kernel's own HZ.
const UserHZ = 100

// The columns of a cpu line, in the order of the file.
const (
	CPUUser = iota
	CPUNice
	CPUSystem
	CPUIdle
	CPUIOWait
	CPUIRQ
	CPUSoftIRQ
	CPUSteal
	CPUGuest     // contained in CPUUser
	CPUGuestNice // contained in CPUNice
	CPUModes
)

// CPUTimes is what one processor has done since boot, in ticks of 1/UserHZ s.
type CPUTimes struct {
	CPU   uint32
	Ticks [CPUModes]uint64
}

// Stat is the content of /proc/stat.
type Stat struct {
	CPUs            []CPUTimes // those online, in the order of the file
	Interrupts      uint64     // since boot
	ContextSwitches uint64     // since boot
	Forks           uint64     // since boot
	BootTime        uint64     // seconds since the Unix epoch
	Running         uint64     // processes
	Blocked         uint64     // processes waiting for I/O
}

// maxCPU bounds processor numbers; the largest NR_CPUS is 8192.
const maxCPU = 1 << 20

// ParseStat reads /proc/stat (fs/proc/stat.c, show_stat) into s, whose CPUs
// slice is used again. Columns that an old kernel does not print are 0.
func ParseStat(b []byte, s *Stat) error {
	*s = Stat{CPUs: s.CPUs[:0]}
	known := 0
	for number := 1; len(b) > 0; number++ {
		var line []byte
		line, b = cutLine(b)
		key, rest := cutField(line)
		var into *uint64
		switch string(key) {
		case "intr":
			into = &s.Interrupts // the first number; those of single interrupts follow
		case "ctxt":
			into = &s.ContextSwitches
		case "btime":
			into = &s.BootTime
		case "processes":
			into = &s.Forks
		case "procs_running":
			into = &s.Running
		case "procs_blocked":
			into = &s.Blocked
		default:
			digits, isCPU := bytes.CutPrefix(key, []byte("cpu"))
			if !isCPU || len(digits) == 0 {
				continue // the sum over all processors, softirq, or something new
			}
			times, ok := parseCPU(digits, rest)
			if !ok {
				return formatError("stat", number, "cpu<number> and up to 10 numbers", line)
			}
			s.CPUs = append(s.CPUs, times)
			known++
			continue
		}
		value, _, ok := cutUint(rest)
		if !ok {
			return formatError("stat", number, "a number", line)
		}
		*into = value
		known++
	}
	if known == 0 {
		return &FormatError{Format: "stat", Want: "at least one known line"}
	}
	return nil
}

func parseCPU(digits, rest []byte) (times CPUTimes, ok bool) {
	cpu, ok := parseUint(digits)
	if !ok || cpu > maxCPU {
		return times, false
	}
	times.CPU = uint32(cpu)
	for i := range times.Ticks {
		var field []byte
		if field, rest = cutField(rest); len(field) == 0 {
			return times, i > 0
		}
		if times.Ticks[i], ok = parseUint(field); !ok {
			return times, false
		}
	}
	return times, true
}
