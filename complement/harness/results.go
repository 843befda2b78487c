package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"
)

// Results of a test. What was never run is written down too, so that it is counted.
const (
	passed  = "pass"
	failed  = "fail"
	skipped = "skip"
	unrun   = "unrun"
)

// modulePath is what every package of the suite begins with.
const modulePath = "github.com/matrix-org/complement/"

// test names one test, or one subtest behind slashes.
type test struct{ Package, Test string }

// top says whether it is a test of its own: the others are steps of one.
func (t test) top() bool { return !strings.Contains(t.Test, "/") }

// row is a line of expected.jsonl.
type row struct {
	Package string `json:"package"`
	Test    string `json:"test"`
	Result  string `json:"result"`
}

type results map[test]string

// sorted gives the tests in one order, whatever the run's was.
func (r results) sorted() []test {
	tests := make([]test, 0, len(r))
	for t := range r {
		tests = append(tests, t)
	}
	sort.Slice(tests, func(i, j int) bool {
		if tests[i].Package != tests[j].Package {
			return tests[i].Package < tests[j].Package
		}
		return tests[i].Test < tests[j].Test
	})
	return tests
}

// tally counts the tests themselves, not their steps.
type tally struct{ passed, failed, skipped int }

func (r results) tally() tally {
	var count tally
	for t, result := range r {
		switch {
		case !t.top():
		case result == passed:
			count.passed++
		case result == failed:
			count.failed++
		default:
			count.skipped++
		}
	}
	return count
}

func (c tally) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", c.passed, c.failed, c.skipped)
}

// session is what the log of `go test -json` says.
type session struct {
	results results
	// broken says which packages did not build, or ended before their tests did.
	broken []string
	// output holds the first lines that a failed test printed.
	output map[test][]string
}

// linesMax is how much is kept of what a test prints: enough to see what went wrong first.
const linesMax = 200

// event is a line of `go test -json`.
type event struct {
	Action, Package, ImportPath, Test, Output, FailedBuild string
}

func readLog(log io.Reader) (*session, error) {
	found := &session{results: results{}, output: map[test][]string{}}
	started := map[test]bool{}
	lines := bufio.NewReaderSize(log, 1<<20)
	for {
		line, err := lines.ReadBytes('\n')
		var e event
		if json.Unmarshal(line, &e) == nil {
			found.take(e, started)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	// A panic or the time limit ends a package in the middle of its tests.
	for t := range started {
		if _, ended := found.results[t]; !ended {
			found.results[t] = failed
		}
	}
	sort.Strings(found.broken)
	return found, nil
}

func (r *session) take(e event, started map[test]bool) {
	name := strings.TrimPrefix(e.Package, modulePath)
	if e.Test == "" {
		if e.Action == "build-fail" || e.FailedBuild != "" {
			r.broken = append(r.broken, name+strings.TrimPrefix(e.ImportPath, modulePath))
		}
		return
	}
	t := test{name, e.Test}
	switch e.Action {
	case "run":
		started[t] = true
	case "output":
		if len(r.output[t]) < linesMax {
			r.output[t] = append(r.output[t], e.Output)
		}
	case passed, failed, skipped:
		r.results[t] = e.Action
	}
}

func readExpected(file string) (results, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	expected := results{}
	for number, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		var r row
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", file, number+1, err)
		}
		expected[test{r.Package, r.Test}] = r.Result
	}
	return expected, nil
}

func writeExpected(file string, r results) error {
	var text strings.Builder
	for _, t := range r.sorted() {
		line, err := json.Marshal(row{t.Package, t.Test, r[t]})
		if err != nil {
			return err
		}
		text.Write(line)
		text.WriteByte('\n')
	}
	return os.WriteFile(file, []byte(text.String()), 0o644)
}
