package demo

import (
	"bytes"
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// view is one state of the screen.
type view struct {
	// Steps are those of the fleet's coming together.
	Steps   []stepRow
	Workers []workerRow
	Values  []valueRow
	// Waiting says what is missing while there is nothing to show yet.
	Waiting string
	Elapsed time.Duration
}

type stepRow struct{ Name, State string }

type workerRow struct {
	Name, State, Address string
	// FrameAge is the time since the newest stored frame; negative: none yet.
	FrameAge  time.Duration
	LeaseLeft time.Duration
}

type valueRow struct {
	Name, Value string
}

// render gives the screen as lines of plain text, the last one ended too.
func render(v view) []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "Cloudless: a fleet of one, running for %s\n\n", v.Elapsed.Truncate(time.Second))
	if len(v.Steps) > 0 {
		columns(&out, func(w io.Writer) {
			for _, row := range v.Steps {
				fmt.Fprintf(w, "  %s\t%s\n", row.Name, row.State)
			}
		})
		fmt.Fprintln(&out)
	}
	if len(v.Workers) == 0 {
		fmt.Fprintf(&out, "  %s\n", v.Waiting)
	} else {
		columns(&out, func(w io.Writer) {
			fmt.Fprintln(w, "  WORKER\tSTATE\tADDRESS\tLAST FRAME\tLEASE LEFT")
			for _, row := range v.Workers {
				fmt.Fprintf(w, "  %s\t%s\t%s\t%s\t%s\n", row.Name, row.State, row.Address,
					frameAge(row.FrameAge), row.LeaseLeft.Truncate(time.Second))
			}
		})
	}
	if len(v.Values) > 0 {
		fmt.Fprintln(&out)
		columns(&out, func(w io.Writer) {
			for _, row := range v.Values {
				fmt.Fprintf(w, "  %s\t%s\n", row.Name, row.Value)
			}
		})
	}
	return out.Bytes()
}

func columns(out io.Writer, write func(io.Writer)) {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	write(w)
	w.Flush()
}

func frameAge(age time.Duration) string {
	if age < 0 {
		return "none yet"
	}
	return fmt.Sprintf("%.1f s ago", age.Seconds())
}

// screen draws views one over the other on a terminal, and now and then one
// below the other where the output is a file or a pipe.
type screen struct {
	out      io.Writer
	terminal bool
	width    func() int // of the terminal, in columns
	drawn    int        // lines of the last view still on the terminal
	printed  time.Time
	shown    int // workers in the last printed view
}

// plainEvery is how often a view is printed where it cannot be drawn over.
const plainEvery = 10 * time.Second

func (s *screen) draw(v view, now time.Time) {
	text := render(v)
	if !s.terminal {
		news := len(v.Workers) != s.shown
		if !s.printed.IsZero() && !news && now.Sub(s.printed) < plainEvery {
			return
		}
		s.printed, s.shown = now, len(v.Workers)
		fmt.Fprintf(s.out, "%s\n", text)
		return
	}
	if s.drawn > 0 {
		fmt.Fprintf(s.out, "\x1b[%dA\x1b[J", s.drawn) // up, then clear to the end
	}
	text = clip(text, s.width())
	s.out.Write(text)
	s.drawn = bytes.Count(text, []byte("\n"))
}

// clip cuts every line to the width of the terminal: a line that wraps would
// take two, and the next view would not begin where this one did. All text is
// ASCII.
func clip(text []byte, width int) []byte {
	var out []byte
	for line := range bytes.Lines(text) {
		if line = bytes.TrimSuffix(line, []byte("\n")); len(line) > width {
			line = line[:width]
		}
		out = append(append(out, line...), '\n')
	}
	return out
}
