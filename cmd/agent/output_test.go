package main

import (
	"slices"
	"testing"
)

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		text  string
		width int
		want  []string
	}{
		{"", 10, []string{""}},
		{"one two three", 7, []string{"one two", "three"}},
		{"  spaces   are  one ", 40, []string{"spaces are one"}},
		{"a-word-that-is-too-long stays whole", 10, []string{"a-word-that-is-too-long", "stays", "whole"}},
		{"设备不在线。请检查电源。", 10, []string{"设备不在", "线。请检查", "电源。"}},
		{"用 nslookup 查询，再看。", 12, []string{"用 nslookup", "查询，再看。"}},
		{"域名查询DNS失败", 9, []string{"域名查询", "DNS失败"}},
	} {
		if got := wrap(c.text, c.width); !slices.Equal(got, c.want) {
			t.Errorf("wrap(%q, %d) = %q, want %q", c.text, c.width, got, c.want)
		}
	}
}

func TestParagraph(t *testing.T) {
	got := paragraph("1. ", "   ", "one two three", 10)
	if want := "1. one two\n   three\n"; got != want {
		t.Errorf("paragraph = %q, want %q", got, want)
	}
}

func TestChoice(t *testing.T) {
	c := choice{word: formatText, words: []string{formatText, formatJSON}}
	if err := c.Set("xml"); err == nil || err.Error() != `unknown word "xml" (text, json)` {
		t.Errorf("Set(xml): %v", err)
	}
	if err := c.Set(formatJSON); err != nil || c.word != formatJSON {
		t.Errorf("Set(json): %v, word %q", err, c.word)
	}
}
