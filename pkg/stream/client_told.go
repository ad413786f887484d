package stream

import "time"

// remindEvery is how often the log is reminded of a connection that fails again
// and again for the same reason.
const remindEvery = 10 * time.Minute

// failure is what the log was told of last; zero while all is well.
type failure struct {
	addr string
	end  End
	at   time.Time
}

// isNews reports whether the log is to be told of a failure, and remembers it.
func (f *failure) isNews(addr string, end End, now time.Time) bool {
	if f.addr == addr && f.end == end && now.Sub(f.at) < remindEvery {
		return false
	}
	*f = failure{addr, end, now}
	return true
}
