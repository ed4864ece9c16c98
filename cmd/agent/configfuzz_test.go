package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// loadText loads a file's content without the way over a disk.
func loadText(content []byte) (*Config, error) {
	var found collector
	tree := readYAML("file.yaml", content, &found)
	return decodeConfig(tree, pflag.NewFlagSet("", pflag.ContinueOnError), &found)
}

// TestConfigCutShort: a file that was cut short, at whatever byte, is taken or
// its mistakes are told with their lines.
func TestConfigCutShort(t *testing.T) {
	bareEnvironment(t)
	sample, err := os.ReadFile(sampleConfig)
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for n := range sample {
		_, err := loadText(sample[:n])
		if err == nil {
			continue
		}
		refused++
		checkMistakes(t, err)
		var mistakes configMistakes
		if errors.As(err, &mistakes) && mistakes[0].line == 0 {
			t.Fatalf("cut at byte %d: %v names no line", n, err)
		}
	}
	if refused == 0 {
		t.Error("nothing was refused")
	}
}

// TestConfigBombs: a small file costs little, however it is nested or repeated.
func TestConfigBombs(t *testing.T) {
	bareEnvironment(t)
	for name, content := range map[string]string{
		"deep":    strings.Repeat("[", 200_000),
		"deeper":  "sources: " + strings.Repeat("{a: ", 100_000),
		"aliases": "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nlanguages: [*c, *c]\n",
		"unknown": strings.Repeat("a: 1\n", 50_000),
		"objects": "site:\n  devices:\n" + strings.Repeat("    - {id: x, nmae: y}\n", 20_000),
		"long":    "gateway: " + strings.Repeat("g", 500_000),
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			_, err := loadText([]byte(content))
			checkMistakes(t, err)
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

// checkMistakes holds an error of the loader to its form: a place, a text, one
// line a mistake.
func checkMistakes(t *testing.T, err error) {
	t.Helper()
	var mistakes configMistakes
	if !errors.As(err, &mistakes) || len(mistakes) == 0 {
		t.Fatalf("%v: not a list of mistakes", err)
	}
	for _, m := range mistakes {
		if m.where == "" || m.text == "" || strings.ContainsAny(m.String(), "\n\r") || len(m.String()) > 1000 {
			t.Fatalf("%q", m.String())
		}
	}
}

func FuzzConfig(f *testing.F) {
	bareEnvironment(f)
	files, err := filepath.Glob("testdata/config/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range append(files, sampleConfig) {
		content, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		if len(content) > 16<<10 {
			return
		}
		cfg, err := loadText(content)
		_, again := loadText(content)
		if err == nil {
			if cfg == nil || again != nil {
				t.Fatalf("loads as %v, and then: %v", cfg, again)
			}
			if _, err := cfg.sources(); err != nil {
				t.Fatalf("loads, and then: %v", err)
			}
			return
		}
		checkMistakes(t, err)
		if again == nil || again.Error() != err.Error() {
			t.Fatalf("twice the same, two answers:\n%v\n%v", err, again)
		}
	})
}
