package ctl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// openTerminal makes a pseudo terminal: what is written to keyboard is typed.
func openTerminal(t *testing.T) (keyboard, line *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo terminals: %v", err)
	}
	t.Cleanup(func() { keyboard.Close() })
	if err := unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	line, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo terminals: %v", err)
	}
	t.Cleanup(func() { line.Close() })
	return keyboard, line
}

func TestSecretsAreNotEchoed(t *testing.T) {
	keyboard, line := openTerminal(t)
	c := &command{Streams: Streams{In: line, Err: io.Discard}}
	who := c.terminal()
	if who == nil {
		t.Fatal("a terminal is not taken for one")
	}
	echo := func() bool {
		state, err := unix.IoctlGetTermios(int(line.Fd()), unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		return state.Lflag&unix.ECHO != 0
	}
	prompted := &watcher{seen: make(chan string, 1)}
	secret := make(chan string, 1)
	go func() {
		text, err := tty{in: line, out: prompted}.Secret(t.Context(), "Password: ")
		secret <- fmt.Sprint(text, err)
	}()
	<-prompted.seen // by now the echo is off
	if echo() {
		t.Error("the echo is on while a secret is typed")
	}
	if _, err := keyboard.WriteString(password + "\n"); err != nil {
		t.Fatal(err)
	}
	if got := <-secret; got != password+"<nil>" {
		t.Errorf("got %q", got)
	}
	if !echo() {
		t.Error("the echo stays off")
	}
	if _, err := keyboard.WriteString("yes\n"); err != nil {
		t.Fatal(err)
	}
	if got, err := who.Ask(t.Context(), "? "); got != "yes" || err != nil {
		t.Errorf("got %q, %v; want yes", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := who.Secret(ctx, ""); !errors.Is(err, context.Canceled) || !echo() {
		t.Errorf("interrupted: got %v, echo %v", err, echo())
	}
	keyboard.WriteString("\n") // ends the read that was left behind
}

// watcher tells what is written to it first.
type watcher struct{ seen chan string }

func (w *watcher) Write(p []byte) (int, error) {
	select {
	case w.seen <- string(p):
	default:
	}
	return len(p), nil
}

func TestPasswordsFromStandardInput(t *testing.T) {
	for input, want := range map[string]string{
		"secret\n": "secret", "secret": "secret", "secret\r\nmore\n": "secret", " two words \n": " two words ",
		"": "!no password on standard input, and no terminal to ask at", "\n": "!no password on standard input, and no terminal to ask at",
		strings.Repeat("x", maxLine+1): "!read password from standard input: line too long",
	} {
		c := &command{Streams: Streams{In: strings.NewReader(input), Err: &bytes.Buffer{}}}
		got, err := c.password(t.Context(), "Password", true)
		if err != nil {
			got = "!" + err.Error()
		}
		if got != want {
			t.Errorf("%.20q: got %q, want %q", input, got, want)
		}
	}
}
