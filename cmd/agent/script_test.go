package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// updateScripts names the variable that makes TestScript write what it got
// into the scripts, in place of comparing.
const updateScripts = "FIELDMEDIC_TEST_UPDATE_SCRIPTS"

// TestMain lets the test binary be the program: the scripts run it in a
// process of its own.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"fieldmedic": main})
}

// TestScript runs the transcripts of testdata/script. Beside the commands of
// testscript they know:
//
//	exits CODE COMMAND...  runs a command that must exit with CODE
//	json FILE              FILE (or stdout) is one JSON value
//	jsonlines FILE         every line of it is
//	narrow COLUMNS FILE    no line of it is wider
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(env *testscript.Env) error {
			// What the machine that tests has set must not show.
			env.Setenv("XDG_STATE_HOME", filepath.Join(env.WorkDir, "state"))
			env.Setenv("NO_COLOR", "1")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": scriptExits, "json": scriptJSON, "jsonlines": scriptJSONLines, "narrow": scriptNarrow,
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv(updateScripts) != "",
	})
}

func scriptExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("%s exited with %d, not %d", args[1], got, want)
	}
}

func scriptJSON(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: json FILE")
	}
	if valid := json.Valid([]byte(ts.ReadFile(args[0]))); valid == neg {
		ts.Fatalf("%s: valid JSON: %v", args[0], valid)
	}
}

func scriptJSONLines(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: jsonlines FILE")
	}
	lines := bufio.NewScanner(strings.NewReader(ts.ReadFile(args[0])))
	n := 0
	for lines.Scan() {
		if n++; !json.Valid(lines.Bytes()) {
			ts.Fatalf("%s:%d: no JSON: %s", args[0], n, lines.Text())
		}
	}
	if n == 0 {
		ts.Fatalf("%s is empty", args[0])
	}
}

func scriptNarrow(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: narrow COLUMNS FILE")
	}
	most, err := strconv.Atoi(args[0])
	ts.Check(err)
	for i, line := range strings.Split(ts.ReadFile(args[1]), "\n") {
		if n := columns(line); n > most {
			ts.Fatalf("%s:%d: %d columns: %s", args[1], i+1, n, line)
		}
	}
}
