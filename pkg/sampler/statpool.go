package sampler

import (
	"sync"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/kernel"
)

// statPool asks filesystems how full they are. A call may hang for as long as
// a file server is away, and the thread that made it with it, so:
//
//   - a mount whose call is under way gets no second one: what hangs holds one
//     goroutine, however many rounds pass;
//   - all calls together are bounded; when every one of them hangs, the other
//     mounts wait and are not sampled;
//   - usually one goroutine does all the work of a round, because handing over
//     costs more than a call; another is added when the first does not get on.
type statPool struct {
	statfs func(path string) (kernel.Statfs, error)
	limit  int // of goroutines

	timer *time.Timer   // of wait; belongs to its caller
	done  chan struct{} // a signal: nothing of this round is left
	wake  chan struct{} // a signal for idle workers; closed by close
	group sync.WaitGroup

	mu      sync.Mutex
	queue   []*mountCall // not started yet
	round   uint64
	pending int // of this round: queued or under way
	workers int // goroutines, those that hang included
	idle    int
	ended   uint64 // calls, ever: tells whether the pool gets on
	closed  bool
}

// mountCall is the calls for one mount, one at a time. The pool's mutex guards
// what follows path.
type mountCall struct {
	path string

	busy    bool // queued or under way
	started time.Time
	round   uint64 // in which the newest call started
	result  kernel.Statfs
	err     error
}

// stallAfter is how long the workers may take for one call before another
// worker helps.
const stallAfter = 10 * time.Millisecond

func newStatPool(statfs func(string) (kernel.Statfs, error), limit int) *statPool {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	return &statPool{
		statfs: statfs,
		limit:  limit,
		timer:  timer,
		done:   make(chan struct{}, 1),
		wake:   make(chan struct{}, 1),
	}
}

// start begins a round: it queues a call for every mount that has none.
func (p *statPool) start(round uint64, calls []*mountCall) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	select {
	case <-p.done:
	default:
	}
	p.round = round
	for _, call := range calls {
		if !call.busy {
			call.busy = true
			call.started = time.Time{}
			p.queue = append(p.queue, call)
		}
	}
	p.pending = len(p.queue) // what the last round left in the queue too
	if p.pending == 0 {
		p.signal(p.done)
		return
	}
	p.helpLocked()
}

// wait returns when every call of the round has ended, or after grace.
func (p *statPool) wait(grace time.Duration) {
	deadline := time.Now().Add(grace)
	p.mu.Lock()
	seen := p.ended
	p.mu.Unlock()
	for {
		p.timer.Reset(min(stallAfter, time.Until(deadline)))
		select {
		case <-p.done:
			p.timer.Stop()
			return
		case now := <-p.timer.C:
			if !now.Before(deadline) {
				return
			}
		}
		p.mu.Lock()
		if p.ended == seen && len(p.queue) > 0 {
			p.helpLocked()
		}
		seen = p.ended
		p.mu.Unlock()
	}
}

// helpLocked wakes or adds one worker.
func (p *statPool) helpLocked() {
	if p.idle > 0 {
		p.signal(p.wake)
		return
	}
	if p.workers < p.limit {
		p.workers++
		p.group.Add(1)
		go p.work()
	}
}

func (p *statPool) signal(channel chan struct{}) {
	select {
	case channel <- struct{}{}:
	default:
	}
}

// work makes calls until the pool is closed or others are idle enough.
func (p *statPool) work() {
	defer p.group.Done()
	p.mu.Lock()
	defer p.mu.Unlock()
	defer func() { p.workers-- }()
	for {
		for len(p.queue) > 0 && !p.closed {
			p.callLocked()
		}
		if p.closed || p.idle > 0 {
			return // one idle worker is enough
		}
		p.idle++
		p.mu.Unlock()
		<-p.wake
		p.mu.Lock()
		p.idle--
	}
}

// callLocked takes the first call of the queue and makes it, without the lock.
func (p *statPool) callLocked() {
	call := p.queue[0]
	copy(p.queue, p.queue[1:])
	p.queue[len(p.queue)-1] = nil
	p.queue = p.queue[:len(p.queue)-1]
	call.started, call.round = time.Now(), p.round
	path := call.path
	p.mu.Unlock()
	result, err := p.statfs(path)
	p.mu.Lock()
	call.result, call.err = result, err
	call.busy = false
	p.ended++
	if call.round != p.round {
		return // it hung for so long that nobody waits for it
	}
	if p.pending--; p.pending == 0 {
		p.signal(p.done)
	}
}

// mountAnswer is what is known of a mount at the end of a round.
type mountAnswer struct {
	answered bool // in this round
	hangs    time.Duration
	statfs   kernel.Statfs
	err      error
}

// answer returns the outcome of a call in this round; hangs is for how long it
// has been under way.
func (p *statPool) answer(call *mountCall) (a mountAnswer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !call.busy && call.round == p.round:
		return mountAnswer{answered: true, statfs: call.result, err: call.err}
	case call.busy && !call.started.IsZero():
		a.hangs = time.Since(call.started)
	}
	return a
}

// under returns the number of goroutines, those that hang included.
func (p *statPool) under() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.workers
}

// close ends the workers and waits for them, except for those that hang: they
// end when their call does, and nothing can end that.
func (p *statPool) close() {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		close(p.wake)
	}
	for _, call := range p.queue {
		call.busy = false
	}
	p.queue = nil
	p.mu.Unlock()

	ended := make(chan struct{})
	go func() {
		p.group.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(stallAfter):
	}
}
