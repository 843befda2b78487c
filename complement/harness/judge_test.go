package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const log = `{"Action":"start","Package":"github.com/matrix-org/complement/tests"}
not JSON
{"Action":"run","Package":"github.com/matrix-org/complement/tests","Test":"TestA"}
{"Action":"output","Package":"github.com/matrix-org/complement/tests","Test":"TestA","Output":"    a_test.go:1: created @ada\n"}
{"Action":"run","Package":"github.com/matrix-org/complement/tests","Test":"TestA/Step"}
{"Action":"output","Package":"github.com/matrix-org/complement/tests","Test":"TestA/Step","Output":"        a_test.go:9: got 404 want 200\n"}
{"Action":"fail","Package":"github.com/matrix-org/complement/tests","Test":"TestA/Step"}
{"Action":"fail","Package":"github.com/matrix-org/complement/tests","Test":"TestA"}
{"Action":"run","Package":"github.com/matrix-org/complement/tests","Test":"TestB"}
{"Action":"pass","Package":"github.com/matrix-org/complement/tests","Test":"TestB"}
{"Action":"run","Package":"github.com/matrix-org/complement/tests","Test":"TestHung"}
`

func read(t *testing.T, text string) *session {
	t.Helper()
	found, err := readLog(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestLogBecomesResultsAndATestThatNeverEndedFailed(t *testing.T) {
	found := read(t, log)
	want := results{
		{"tests", "TestA"}: failed, {"tests", "TestA/Step"}: failed,
		{"tests", "TestB"}: passed, {"tests", "TestHung"}: failed,
	}
	if len(found.results) != len(want) {
		t.Fatalf("got %v", found.results)
	}
	for name, result := range want {
		if found.results[name] != result {
			t.Errorf("%v: got %q, want %q", name, found.results[name], result)
		}
	}
	if count := found.results.tally().String(); count != "1 passed, 2 failed, 0 skipped" {
		t.Errorf("got %q: steps must not count", count)
	}
	if reason := found.reason(test{"tests", "TestA"}); reason != "a_test.go:9: got 404 want 200" {
		t.Errorf("got %q: the failing step says why", reason)
	}
}

func TestWhatPassedMustPass(t *testing.T) {
	expected := results{
		{"tests", "TestA"}: passed, {"tests", "TestB"}: failed,
		{"tests", "TestGone"}: passed, {"other", "TestC"}: passed,
	}
	worse, better := compare(read(t, log).results, expected)
	if len(worse) != 2 || !strings.Contains(worse[0], "TestA passed: fail") ||
		!strings.Contains(worse[1], "TestGone passed and is gone") {
		t.Errorf("got %q; a package that did not run is not worse", worse)
	}
	if len(better) != 1 || !strings.Contains(better[0], "TestB") {
		t.Errorf("got %q", better)
	}
}

func files(t *testing.T, texts ...string) []string {
	t.Helper()
	folder, names := t.TempDir(), []string{}
	for index, text := range texts {
		name := filepath.Join(folder, string(rune('a'+index)))
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	return names
}

func TestAcceptWritesWhatGotBetterAndNeverWhatGotWorse(t *testing.T) {
	line := func(name, result string) string {
		return `{"package":"tests","test":"` + name + `","result":"` + result + `"}` + "\n"
	}
	worse := files(t, log, line("TestA", passed))
	if code, err := judge(worse[0], worse[1], true); code != exitWorse || err != nil {
		t.Errorf("got %d, %v", code, err)
	}
	kept, _ := os.ReadFile(worse[1])
	if string(kept) != line("TestA", passed) {
		t.Errorf("got %s", kept)
	}
	better := files(t, log, line("TestB", unrun))
	if code, err := judge(better[0], better[1], true); code != 0 || err != nil {
		t.Errorf("got %d, %v", code, err)
	}
	expected, err := readExpected(better[1])
	if err != nil || len(expected) != 4 || expected[test{"tests", "TestB"}] != passed {
		t.Errorf("got %v, %v", expected, err)
	}
}

func TestARunOfNothingAndABuildThatFailsAreWorse(t *testing.T) {
	broken := `{"ImportPath":"github.com/matrix-org/complement/tests","Action":"build-fail"}` + "\n"
	for _, text := range []string{"", broken} {
		names := files(t, text, `{"package":"tests","test":"TestA","result":"fail"}`)
		if code, err := judge(names[0], names[1], true); code != exitWorse || err != nil {
			t.Errorf("%q: got %d, %v", text, code, err)
		}
	}
}

func TestReportNamesTheCommitAndWhyFailuresStand(t *testing.T) {
	commit := strings.Repeat("5a", 20)
	expected := `{"package":"tests","test":"TestA","result":"fail"}
{"package":"tests","test":"TestB","result":"pass"}
{"package":"tests","test":"TestC","result":"fail"}`
	names := files(t, expected, "# why\ntests\tTestA\tnobody needs it\n", "// Commit "+commit)
	var out bytes.Buffer
	if err := report(&out, names[0], names[1], names[2]); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{commit, "| `tests` | 1 | 2 | 0 |", "nobody needs it", "not looked into yet"} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("%q is missing in %s", part, out.String())
		}
	}
	stale := files(t, expected, "tests\tTestB\told\n", "// Commit "+commit)
	if err := report(&out, stale[0], stale[1], stale[2]); err == nil {
		t.Error("a reason for a test that passes must be refused")
	}
}
