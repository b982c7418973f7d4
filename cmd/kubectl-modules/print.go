package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
	"k8s.io/cli-runtime/pkg/printers"
	"sigs.k8s.io/yaml"

	"module-controller/internal/diagnose"
)

// object prints a value as -o says; false where a table is asked for.
func (o *options) object(value any) (printed bool, err error) {
	switch o.output {
	case "json":
		text, err := json.MarshalIndent(value, "", "  ")
		if err == nil {
			_, err = fmt.Fprintln(o.Out, string(text))
		}
		return true, err
	case "yaml":
		text, err := yaml.Marshal(value)
		if err == nil {
			_, err = o.Out.Write(text)
		}
		return true, err
	}
	return false, nil
}

// wide says that more columns are asked for.
func (o *options) wide() bool { return o.output == "wide" }

// row is the cells of a table's line.
type row []string

// table prints a table. Of its columns those after the first narrow ones are for wide.
func (o *options) table(narrow int, rows ...row) error {
	w := printers.GetNewTabWriter(o.Out)
	for _, r := range rows {
		if !o.wide() {
			r = r[:min(narrow, len(r))]
		}
		if _, err := fmt.Fprintln(w, strings.Join(r, "\t")); err != nil {
			return err
		}
	}
	return w.Flush()
}

// paint is a colour of a terminal.
type paint string

const (
	plain  paint = ""
	green  paint = "32"
	yellow paint = "33"
	red    paint = "31"
	bold   paint = "1"
	faint  paint = "2"
)

// in gives a text in a colour, where there are any.
func (o *options) in(p paint, text string) string {
	if p == plain || !o.coloured() {
		return text
	}
	return "\x1b[" + string(p) + "m" + text + "\x1b[0m"
}

func (o *options) coloured() bool {
	switch o.colour {
	case "always":
		return true
	case "never":
		return false
	}
	return os.Getenv("NO_COLOR") == "" && terminal(o.Out)
}

// terminal says whether somebody looks.
func terminal(w io.Writer) bool {
	f, is := w.(*os.File)
	return is && term.IsTerminal(int(f.Fd()))
}

// marks are how severities are shown, by their colour and by a sign.
var marks = map[diagnose.Severity]struct {
	sign  string
	paint paint
}{
	diagnose.Note: {"·", faint}, diagnose.Warning: {"!", yellow}, diagnose.Fault: {"✗", red},
}

// findings prints what is wrong.
func (o *options) findings(all []diagnose.Finding, indent string) {
	for _, f := range all {
		m := marks[f.Severity]
		o.line("%s%s %s %s", indent, o.in(m.paint, m.sign), o.in(bold, f.Cause), o.in(faint, "["+f.Object.String()+"]"))
		o.line("%s  do:  %s", indent, f.Remedy)
		for _, e := range f.Evidence {
			o.line("%s  see: %s", indent, e)
		}
		o.line("%s  doc: %s", indent, o.in(faint, f.Doc))
	}
}

// line prints a line. That it cannot be printed is nobody's to tell.
func (o *options) line(format string, args ...any) {
	_, _ = fmt.Fprintf(o.Out, format+"\n", args...)
}

// verdict is the error of what was found: that something does not work.
func verdict(all []diagnose.Finding) error {
	if worst, some := diagnose.Worst(all); some && worst == diagnose.Fault {
		return errWrong
	}
	return nil
}
