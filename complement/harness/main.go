// Command harness is what the conformance runs need besides the suite and a shell: the image's
// first process, the judge of a run's results, and the writer of the report.
//
//	harness enter                               in a container: certificate, configuration, server
//	harness judge LOG EXPECTED [accept]         compare a run with what is committed
//	harness report EXPECTED REASONS GOMOD       docs/conformance.md, on standard output
//	harness skip EXPECTED WHY                   the last line of a run that could not be made
//	harness authority FOLDER                    an authority as the suite makes one, to try an image
//	harness probe URL                           whether a server answers there
//
// It uses nothing but Go's own library, so that it builds where the suite cannot be fetched.
package main

import (
	"fmt"
	"os"
)

// Exit codes of judge and skip; 1 is also any error.
const (
	exitWorse   = 1
	exitSkipped = 77
)

func main() {
	code, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "harness:", err)
		code = 1
	}
	os.Exit(code)
}

func run(args []string) (int, error) {
	verb := ""
	if len(args) > 0 {
		verb = args[0]
	}
	switch {
	case verb == "enter" && len(args) == 1:
		return 0, enter()
	case verb == "judge" && (len(args) == 3 || len(args) == 4 && args[3] == "accept"):
		return judge(args[1], args[2], len(args) == 4)
	case verb == "report" && len(args) == 4:
		return 0, report(os.Stdout, args[1], args[2], args[3])
	case verb == "skip" && len(args) == 3:
		return skip(args[1], args[2])
	case verb == "authority" && len(args) == 2:
		return 0, writeAuthority(args[1])
	case verb == "probe" && len(args) == 2:
		return 0, probe(args[1])
	}
	return 1, fmt.Errorf("there is no command %q; the head of main.go lists them", args)
}
