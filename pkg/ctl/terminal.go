package ctl

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Terminal is somebody who can be asked.
type Terminal interface {
	// Ask asks a question and returns the line that was typed.
	Ask(ctx context.Context, question string) (string, error)
	// Secret is Ask for what nobody shall read over a shoulder.
	Secret(ctx context.Context, question string) (string, error)
}

// maxLine bounds a line that is read, in bytes.
const maxLine = 4096

var errLongLine = errors.New("line too long")

// terminal returns who sits there, or nil when nobody does.
func (c *command) terminal() Terminal {
	if c.Terminal != nil {
		return c.Terminal
	}
	file, isFile := c.In.(*os.File)
	if !isFile || !isTerminal(file) {
		return nil
	}
	return tty{in: file, out: c.Err}
}

func isTerminal(file *os.File) bool {
	_, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return err == nil
}

// tty is a real terminal. Prompts go to standard error, so that what a verb finds
// stays alone on standard output.
type tty struct {
	in  *os.File
	out io.Writer
}

func (t tty) Ask(ctx context.Context, question string) (string, error) {
	fmt.Fprint(t.out, question)
	return readLine(ctx, t.in)
}

func (t tty) Secret(ctx context.Context, question string) (string, error) {
	fd := int(t.in.Fd())
	was, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return "", fmt.Errorf("turn off the echo of the terminal: %w", err)
	}
	silent := *was
	silent.Lflag &^= unix.ECHO
	silent.Lflag |= unix.ICANON | unix.ISIG
	silent.Iflag |= unix.ICRNL
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &silent); err != nil {
		return "", fmt.Errorf("turn off the echo of the terminal: %w", err)
	}
	defer func() {
		_ = unix.IoctlSetTermios(fd, unix.TCSETS, was)
		fmt.Fprintln(t.out) // the line's end was not echoed either
	}()
	fmt.Fprint(t.out, question)
	return readLine(ctx, t.in)
}

// readLine reads one line, without its end. When ctx is done first, the read goes
// on in the background: the process is about to end.
func readLine(ctx context.Context, in io.Reader) (string, error) {
	type line struct {
		text string
		err  error
	}
	read := make(chan line, 1)
	go func() {
		text, err := bufio.NewReaderSize(io.LimitReader(in, maxLine+1), maxLine+1).ReadString('\n')
		if len(text) > maxLine {
			text, err = "", errLongLine
		}
		if errors.Is(err, io.EOF) && text != "" {
			err = nil
		}
		read <- line{strings.TrimRight(text, "\r\n"), err}
	}()
	select {
	case got := <-read:
		return got.text, got.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// password asks whoever sits at the terminal, without echo, or takes the first
// line of standard input. A new one is asked for twice.
func (c *command) password(ctx context.Context, question string, isNew bool) (string, error) {
	who := c.terminal()
	if who == nil {
		text, err := readLine(ctx, c.In)
		switch {
		case errors.Is(err, io.EOF) || err == nil && text == "":
			return "", errors.New("no password on standard input, and no terminal to ask at")
		case err != nil:
			return "", fmt.Errorf("read password from standard input: %w", err)
		}
		return text, nil
	}
	text, err := who.Secret(ctx, question+": ")
	switch {
	case errors.Is(err, io.EOF) || err == nil && text == "":
		return "", errors.New("no password given")
	case err != nil:
		return "", fmt.Errorf("read password: %w", err)
	case !isNew:
		return text, nil
	}
	again, err := who.Secret(ctx, question+", once more: ")
	if err != nil {
		return "", fmt.Errorf("read password: %w", err)
	}
	if again != text {
		return "", errors.New("the two passwords differ; nothing was changed")
	}
	return text, nil
}
