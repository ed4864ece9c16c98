package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The document has a part for each kind of run, so that one run does not take
// away what another one found: an hour of load and a thousand trials are not
// done together.
const (
	partRuns   = "runs"
	partFaults = "faults"
	partTrials = "trials"
	partLoad   = "load"
	partNot    = "not-run"
)

// marks are what a part of the document stands between.
func marks(part string) (begin, end string) {
	return "<!-- chaos " + part + ": begin -->", "<!-- chaos " + part + ": end -->"
}

// readPart answers what stands in a part.
func readPart(file, part string) (string, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	begin, end := marks(part)
	_, rest, ok := strings.Cut(string(content), begin+"\n")
	inside, _, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return "", fmt.Errorf("%s has no marks %s and %s", file, begin, end)
	}
	return inside, nil
}

// writePart replaces what stands in a part.
func writePart(file, part, text string) error {
	if _, err := readPart(file, part); err != nil {
		return err
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	begin, end := marks(part)
	before, rest, _ := strings.Cut(string(content), begin+"\n")
	_, after, _ := strings.Cut(rest, end)
	return os.WriteFile(file, []byte(before+begin+"\n"+text+end+after), 0o644) //nolint:gosec // a document
}

// line is one fault of the document's table.
type line struct {
	matrix, mode, fault, injection, promise, figure string
	held                                            bool
	date                                            string
}

const (
	faultHead = "| row | mode | fault | injection | promise | figure | kept | date |\n|---|---|---|---|---|---|---|---|\n"
	faultCols = 8
)

func (l line) String() string {
	held := "yes"
	if !l.held {
		held = "**no**"
	}
	cells := []string{l.matrix, l.mode, l.fault, l.injection, l.promise, l.figure, held, l.date}
	for i := range cells {
		cells[i] = strings.ReplaceAll(firstLine(cells[i]), "|", "/")
	}
	return "| " + strings.Join(cells, " | ") + " |"
}

// mergeFaults puts new lines into the table: a fault has one line, its newest.
func mergeFaults(table string, fresh []line) string {
	rows := map[string]string{}
	for row := range strings.SplitSeq(table, "\n") {
		if cells := strings.Split(row, " | "); len(cells) == faultCols && !strings.HasPrefix(row, "| row ") {
			rows[cells[2]] = row
		}
	}
	for _, l := range fresh {
		row := l.String()
		rows[strings.Split(row, " | ")[2]] = row
	}
	var list []string
	for _, row := range rows {
		list = append(list, row)
	}
	slices.SortFunc(list, func(a, b string) int {
		return cmp.Or(cmp.Compare(rowNumber(a), rowNumber(b)), cmp.Compare(a, b))
	})
	return faultHead + strings.Join(list, "\n") + "\n"
}

// rowNumber is the first number of a line: its row of the fault matrix.
func rowNumber(row string) int {
	cell := strings.TrimPrefix(row, "| ")
	n, err := strconv.Atoi(cell[:len(cell)-len(strings.TrimLeft(cell, "0123456789"))])
	if err != nil {
		return 1 << 20
	}
	return n
}

// found is everything that a call of the program found.
type found struct {
	results []result
	lines   []line
	trials  []tally
	load    string // its table, or empty
	broken  []error
}

// write puts what was found into the document.
func (f *found) write(file string) error {
	lines := slices.Concat(faultLines(f.results), f.lines)
	var errs []error
	if len(f.results) > 1 { // the short form
		errs = append(errs, writePart(file, partRuns, runTable(f.results)))
	}
	if len(lines) > 0 {
		table, err := readPart(file, partFaults)
		errs = append(errs, err, writePart(file, partFaults, mergeFaults(table, lines)))
	}
	if len(f.trials) > 0 {
		errs = append(errs, writePart(file, partTrials, trialTable(f.trials)))
	}
	if f.load != "" {
		errs = append(errs, writePart(file, partLoad, f.load))
	}
	return errors.Join(append(errs, writePart(file, partNot, notRun()))...)
}

// print shows what was found.
func (f *found) print() {
	fmt.Println()
	if len(f.results) > 0 {
		fmt.Println(runTable(f.results))
	}
	if lines := slices.Concat(faultLines(f.results), f.lines); len(lines) > 0 {
		fmt.Println(mergeFaults("", lines))
	}
	if len(f.trials) > 0 {
		fmt.Println(trialTable(f.trials))
	}
	fmt.Print(f.load)
}

func today() string { return time.Now().Format(time.DateOnly) }

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
