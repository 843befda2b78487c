package main

import (
	"fmt"
	"os"
	"strings"
)

// judge compares a run with what is committed. Everything that passed must pass: what got worse is
// an error, what got better is told and, on accept, written down.
func judge(logFile, expectedFile string, accept bool) (int, error) {
	log, err := os.Open(logFile)
	if err != nil {
		return 1, err
	}
	defer log.Close()
	found, err := readLog(log)
	if err != nil {
		return 1, err
	}
	expected, err := readExpected(expectedFile)
	if err != nil {
		return 1, err
	}
	for t, result := range found.results {
		if result == failed && t.top() {
			fmt.Printf("FAILED %s %s: %s\n", t.Package, t.Test, found.reason(t))
		}
	}
	worse, better := compare(found.results, expected)
	for _, line := range append(better, worse...) {
		fmt.Println(line)
	}
	for _, name := range found.broken {
		worse = append(worse, name)
		fmt.Printf("WORSE %s does not build\n", name)
	}
	if len(found.results) == 0 {
		worse = append(worse, "nothing ran")
		fmt.Println("WORSE no test ran; read the log above")
	}
	if accept && len(worse) == 0 {
		if err := writeExpected(expectedFile, merge(found.results, expected)); err != nil {
			return 1, err
		}
		fmt.Println("what got better is written down: commit it")
	}
	fmt.Println(found.results.tally())
	if len(worse) > 0 {
		return exitWorse, nil
	}
	return 0, nil
}

// compare gives a line for each test that is worse, and each that is better, than expected.
// A test that is gone is worse only in a package that ran.
func compare(found, expected results) (worse, better []string) {
	ran := map[string]bool{}
	for t := range found {
		ran[t.Package] = true
	}
	for _, t := range expected.sorted() {
		was, is := expected[t], found[t]
		switch {
		case was != passed || is == passed || is == "" && !ran[t.Package]:
		case is == "":
			worse = append(worse, fmt.Sprintf("WORSE %s %s passed and is gone", t.Package, t.Test))
		default:
			worse = append(worse, fmt.Sprintf("WORSE %s %s passed: %s", t.Package, t.Test, is))
		}
	}
	for _, t := range found.sorted() {
		if was := expected[t]; found[t] == passed && was != passed {
			better = append(better, fmt.Sprintf("BETTER %s %s", t.Package, t.Test))
		}
	}
	return worse, better
}

// merge takes a run's results over those before, in the packages that ran.
func merge(found, expected results) results {
	merged := results{}
	ran := map[string]bool{}
	for t, result := range found {
		ran[t.Package] = true
		merged[t] = result
	}
	for t, result := range expected {
		if !ran[t.Package] {
			merged[t] = result
		}
	}
	return merged
}

// reason is the first line in which a failed test, or one of its steps, says what is wrong: Go
// prints those with the file and the line in front.
func (s *session) reason(t test) string {
	for _, named := range s.results.sorted() {
		mine := named == t || named.Package == t.Package && strings.HasPrefix(named.Test, t.Test+"/")
		if !mine || s.results[named] != failed {
			continue
		}
		for _, line := range s.output[named] {
			text := strings.TrimSpace(line)
			if strings.Contains(text, ".go:") && isComplaint(text) {
				return text
			}
		}
	}
	return "no line says why"
}

// isComplaint tells an error from what the suite logs of each request and deployment.
func isComplaint(line string) bool {
	lower := strings.ToLower(line)
	for _, word := range []string{"got", "want", "expected", "fail", "error", "timed out", "did not", "missing", "unable"} {
		if strings.Contains(lower, word) {
			return true
		}
	}
	return false
}

// skip counts every test that should have run as skipped, in words that nobody overlooks.
func skip(expectedFile, why string) (int, error) {
	expected, err := readExpected(expectedFile)
	if err != nil {
		return 1, err
	}
	all := expected.tally()
	count := tally{skipped: all.passed + all.failed + all.skipped}
	bar := strings.Repeat("!", 78)
	fmt.Printf("%s\n!! THE CONFORMANCE SUITE WAS NOT RUN: %s\n!! None of its %d tests says anything about this build.\n%s\n", bar, why, count.skipped, bar)
	fmt.Println(count)
	return exitSkipped, nil
}
