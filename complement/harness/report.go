package main

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"sort"
	"strings"
)

// report writes docs/conformance.md: per area what passes and fails, the suite's commit, and why
// each failure stands.
func report(out io.Writer, expectedFile, reasonsFile, goModFile string) error {
	expected, err := readExpected(expectedFile)
	if err != nil {
		return err
	}
	reasons, err := readReasons(reasonsFile)
	if err != nil {
		return err
	}
	goMod, err := os.ReadFile(goModFile)
	if err != nil {
		return err
	}
	commit := regexp.MustCompile(`(?i)commit ([0-9a-f]{40})`).FindSubmatch(goMod)
	if commit == nil {
		return fmt.Errorf("%s names no commit of the suite; keep the comment above its version", goModFile)
	}
	for name := range reasons {
		if result, known := expected[name]; known && result == passed {
			return fmt.Errorf("%s gives a reason for %s, which passes; delete the line", reasonsFile, name.Test)
		}
	}
	fmt.Fprintf(out, heading, commit[1])
	writeAreas(out, expected)
	writeFailures(out, expected, reasons)
	return nil
}

const heading = `# Conformance

Made by ` + "`make complement`" + ` from [complement/expected.jsonl](../complement/expected.jsonl) and
[complement/reasons.tsv](../complement/reasons.tsv): do not edit.

The suite is [Complement](https://github.com/matrix-org/complement) at commit
` + "`%s`" + `, run against the program as it is shipped, with a
configuration file and no special mode. No test is skipped, retried or treated specially to pass.
A test counts once, however many steps it has, and passes if all of them do.

`

func writeAreas(out io.Writer, expected results) {
	areas := map[string]results{}
	for t, result := range expected {
		if areas[t.Package] == nil {
			areas[t.Package] = results{}
		}
		areas[t.Package][t] = result
	}
	names := make([]string, 0, len(areas))
	for name := range areas {
		names = append(names, name)
	}
	sort.Strings(names)
	fmt.Fprintln(out, "| area | passed | failed | not run |\n|---|---:|---:|---:|")
	for _, name := range names {
		count := areas[name].tally()
		fmt.Fprintf(out, "| `%s` | %d | %d | %d |\n", name, count.passed, count.failed, count.skipped)
	}
	all := expected.tally()
	fmt.Fprintf(out, "| all | %d | %d | %d |\n", all.passed, all.failed, all.skipped)
	if all.passed+all.failed == 0 {
		fmt.Fprint(out, "\nThe suite has not been run against this program yet: the numbers say nothing about it.\n")
	}
}

func writeFailures(out io.Writer, expected results, reasons map[test]string) {
	var lines []string
	for _, t := range expected.sorted() {
		if !t.top() || expected[t] != failed {
			continue
		}
		reason := reasons[t]
		if reason == "" {
			reason = "not looked into yet"
		}
		lines = append(lines, fmt.Sprintf("| `%s` | `%s` | %s |\n", t.Package, t.Test, reason))
	}
	if len(lines) == 0 {
		return
	}
	fmt.Fprint(out, "\n## Failures that stand\n\n| area | test | why |\n|---|---|---|\n")
	fmt.Fprint(out, strings.Join(lines, ""))
}

// readReasons reads lines of package, test and reason, between tabs; # begins a comment.
func readReasons(file string) (map[test]string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	reasons := map[test]string{}
	for number, line := range strings.Split(string(text), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		parts := strings.Split(line, "\t")
		if len(parts) != 3 || parts[2] == "" {
			return nil, fmt.Errorf("%s, line %d: write package, test and reason between tabs", file, number+1)
		}
		reasons[test{parts[0], parts[1]}] = parts[2]
	}
	return reasons, nil
}
