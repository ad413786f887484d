package worker

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/daemon"
	"github.com/cloudless-fleet/cloudless/pkg/trust/disk"
	"github.com/cloudless-fleet/cloudless/pkg/trust/home"
	"github.com/cloudless-fleet/cloudless/pkg/trust/token"
)

// verbs are workerd's own commands.
func verbs(env environment) []daemon.Verb[Config] {
	var file string
	return []daemon.Verb[Config]{
		{Name: "join", Args: "TOKEN | - | --token-file FILE", Summary: "come into a fleet by a join token; - reads it from standard input, where nobody sees it",
			Flags: func(flags *flag.FlagSet) { flags.StringVar(&file, "token-file", "", "") },
			Run: func(ctx context.Context, call daemon.Call[Config]) error {
				join, err := givenToken(call.Args, file, env.stdin)
				if err != nil {
					return err
				}
				return env.join(ctx, call, join)
			}},
		{Name: "prepare-image", Summary: "forget who this machine is, so that every machine made from its image is somebody of its own",
			Run: func(_ context.Context, call daemon.Call[Config]) error { return env.prepareImage(call) }},
	}
}

// givenToken is the token of the command line. Errors hold nothing of it.
func givenToken(args []string, file string, stdin io.Reader) (token.Token, error) {
	usage := &daemon.UsageError{Message: "join: want one of TOKEN, - and --token-file FILE"}
	if len(args) > 1 || (len(args) == 1) == (file != "") {
		return token.Token{}, usage
	}
	var text []byte
	var err error
	switch {
	case file != "":
		text, err = disk.Read(file, token.MaxText+16)
	case args[0] == "-":
		text, err = io.ReadAll(io.LimitReader(stdin, token.MaxText+16))
	default:
		text = []byte(args[0])
	}
	if err != nil {
		return token.Token{}, fmt.Errorf("join: read token: %w", err)
	}
	join, err := token.Parse(string(text))
	if err != nil {
		return token.Token{}, fmt.Errorf("join: %w", err)
	}
	return join, nil
}

const (
	// joinTimeout is for how long `join` asks, or waits for the daemon to ask.
	joinTimeout = 30 * time.Second
	joinGlance  = 200 * time.Millisecond
)

// join comes into the fleet of a token: by itself while no daemon runs, or else
// by the daemon.
func (env environment) join(ctx context.Context, call daemon.Call[Config], join token.Token) error {
	cfg, err := call.Load()
	if err != nil {
		return err
	}
	if cfg.Enrol.Fleet != "" && cfg.Enrol.Fleet != join.Fleet {
		return fmt.Errorf("join: the token is of fleet %q, and enrol.fleet is %q", join.Fleet, cfg.Enrol.Fleet)
	}
	dir := stateDir(cfg.StateDirectory)
	if err := dir.make(); err != nil {
		return fmt.Errorf("join: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	unlock, err := dir.lock()
	if errors.Is(err, errInUse) {
		return env.joinByDaemon(ctx, call.Stdout, dir, join)
	}
	if err != nil {
		return fmt.Errorf("join: %w", err)
	}
	defer unlock()
	return env.joinHere(ctx, call.Stdout, cfg, join)
}

// alreadyIn refuses whoever is in a fleet already.
func alreadyIn(h *home.Home, join token.Token) (already bool, err error) {
	fleet, enrolled := h.Enrolled()
	if !enrolled {
		return false, nil
	}
	if fleet != join.Fleet {
		return true, fmt.Errorf("join: this machine is a member of fleet %q; `workerd prepare-image` makes it forget that", fleet)
	}
	return true, nil
}

func (env environment) joinHere(ctx context.Context, out io.Writer, cfg Config, join token.Token) error {
	dir := stateDir(cfg.StateDirectory)
	w := &worker{cfg: cfg, env: env, log: slog.New(slog.DiscardHandler), build: daemon.BuildOf(), tell: func(string) {}, state: dir}
	err := w.open()
	if err == nil {
		err = w.handOver()
	}
	if err != nil {
		return fmt.Errorf("join: %w", err)
	}
	if _, err := alreadyIn(w.home, join); err != nil {
		return err
	}
	if credentials, err := w.load(); err == nil && credentials != nil {
		fmt.Fprintf(out, "this machine is in fleet %s already, as worker %s\n", join.Fleet, w.home.Worker())
		return nil
	}
	addresses := len(join.Addresses) + len(cfg.Enrol.Coordinators)
	if addresses == 0 {
		return env.storeToken(out, dir, join, "the token names no coordinator: workerd joins when it hears the call of fleet "+join.Fleet)
	}
	j := &joining{w: w}
	bundle, err := w.bundle()
	if err != nil {
		return fmt.Errorf("join: %w", err)
	}
	s := situation{token: &join, bundle: bundle, forgotten: true, configured: cfg.Enrol.addresses()}
	a := s.approach()
	answer, from, err := j.ask(ctx, s, a)
	if err != nil {
		// The daemon goes on trying; the operator hears what is wrong.
		return errors.Join(fmt.Errorf("join: %w", err), env.storeToken(out, dir, join, "workerd will go on trying"))
	}
	if answer.Outcome != api.Admitted {
		return refusedJoin(answer)
	}
	if err := j.install(s, a, from, answer); err != nil {
		return fmt.Errorf("join: %w", err)
	}
	w.stand(standingMember, func(st *Status) { st.Fleet, st.Authority = join.Fleet, join.Authority.String() })
	if err := errors.Join(w.status.write(), w.handOver()); err != nil {
		return fmt.Errorf("join: %w", err)
	}
	fmt.Fprintf(out, "joined fleet %s as worker %s\n", join.Fleet, w.home.Worker())
	return nil
}

// handOver gives the identity's files to the daemon when root has written them.
func (w *worker) handOver() error {
	files := w.home.Files()
	return w.state.handOver(files.Key, files.Cert, files.CA)
}

func refusedJoin(answer api.Enrolment) error {
	text := printable(clipped(answer.Reason))
	if answer.Text != "" {
		text += ": " + printable(clipped(answer.Text))
	}
	return fmt.Errorf("join: the coordinator refuses this machine: %s", text)
}

func (env environment) storeToken(out io.Writer, dir stateDir, join token.Token, then string) error {
	if err := dir.write(tokenFile, []byte(join.Reveal()+"\n"), true); err != nil {
		return fmt.Errorf("join: store the token: %w", err)
	}
	fmt.Fprintf(out, "the token is stored in %s; %s\n", dir.path(tokenFile), then)
	return nil
}

// joinByDaemon gives the token to the running daemon and watches what it makes
// of it.
func (env environment) joinByDaemon(ctx context.Context, out io.Writer, dir stateDir, join token.Token) error {
	h, err := home.Look(string(dir))
	if err != nil {
		return fmt.Errorf("join: %w", err)
	}
	before, err := readStatus(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("join: %w", err)
	}
	if already, err := alreadyIn(h, join); err != nil {
		return err
	} else if already && before.Standing == standingMember {
		fmt.Fprintf(out, "this machine is in fleet %s already, as worker %s\n", join.Fleet, h.Worker())
		return nil
	}
	if err := env.storeToken(out, dir, join, "the running workerd has been told"); err != nil {
		return err
	}
	for ctx.Err() == nil {
		rest(ctx, joinGlance)
		s, err := readStatus(dir)
		if err != nil || !s.At.After(before.At) {
			continue
		}
		switch {
		case s.Standing == standingMember && s.Fleet == join.Fleet:
			fmt.Fprintf(out, "joined fleet %s as worker %s\n", s.Fleet, s.Worker)
			return nil
		case (s.Standing == standingRefused || s.Standing == standingRevoked) && (before.Standing != s.Standing || before.Text != s.Text):
			_ = os.Remove(dir.path(tokenFile))
			return fmt.Errorf("join: the coordinator refuses this machine: %s", printable(s.Text))
		}
	}
	return errors.New("join: workerd has not joined yet and goes on trying; see `workerd status`")
}

// prepareImage wipes what makes this machine somebody. The configuration stays.
func (env environment) prepareImage(call daemon.Call[Config]) error {
	cfg, err := call.Load()
	if err != nil {
		return err
	}
	dir := stateDir(cfg.StateDirectory)
	unlock, err := dir.lock()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		fmt.Fprintf(call.Stdout, "nothing to forget: %s does not exist\n", cfg.StateDirectory)
		return nil
	case errors.Is(err, errInUse):
		return fmt.Errorf("prepare-image: workerd is running and would make a new identity at once; stop it first, as with 'workerd stop'")
	case err != nil:
		return fmt.Errorf("prepare-image: %w", err)
	}
	defer unlock()
	if err := home.Wipe(string(dir)); err != nil {
		return fmt.Errorf("prepare-image: %w", err)
	}
	if err := dir.wipe(); err != nil {
		return fmt.Errorf("prepare-image: %w", err)
	}
	fmt.Fprintf(call.Stdout, "this machine has forgotten who it was; do not start workerd before the image is made\n")
	for _, path := range tokenFiles(cfg.Enrol, dir, "") {
		if _, err := os.Stat(path); err == nil {
			fmt.Fprintf(call.Stdout, "every machine of the image will join by the token in %s\n", path)
		}
	}
	return nil
}
