package main

import (
	"fmt"
	"strconv"
	"strings"

	"fieldmedic/internal/diagnose"
)

// This file is a code's answer as a person reads it on a terminal.

// labels are the words around the rules' texts, in one language.
type labels struct {
	sameAs, unused, unknown string
	causes                  string
	steps                   map[diagnose.Audience]string
	noSteps, others         string
	workedIf, within        string // within has a place for the seconds
	success, successSummary string
	// device stands for the id of a device.
	device string
	// gap stands behind the sentence before within.
	gap string
}

// labelsIn are the labels of a language, English where there are none.
func labelsIn(lang string) labels {
	if lang == "zh-Hans" {
		return labels{
			sameAs: "含义相同：", unused: "厂商注明此代码未使用。", unknown: "规则中没有此代码。",
			causes: "可能的原因，最可能的在前：",
			steps: map[diagnose.Audience]string{
				diagnose.User: "用户怎么做：", diagnose.Technician: "技术人员怎么做：", diagnose.Developer: "开发者怎么做：",
			},
			noSteps: "没有步骤。", others: "其他读者的步骤：",
			workedIf: "成功的标志：", within: "Fieldmedic 会在 %d 秒内看到。",
			device: "该设备", success: "成功", successSummary: "0 表示调用成功，不是故障。",
		}
	}
	return labels{
		sameAs: "the same as ", unused: "The vendor says that this code is not in use.", unknown: "No rule knows this code.",
		causes: "Causes, the likeliest first:",
		steps: map[diagnose.Audience]string{
			diagnose.User: "What the user does:", diagnose.Technician: "What the technician does:",
			diagnose.Developer: "What the developer does:",
		},
		noSteps: "There are no steps for this reader.", others: "Steps for other readers: ",
		workedIf: "It worked if: ", within: "Fieldmedic sees it within %d s.", gap: " ",
		device: "the device", success: "Success", successSummary: "0 means that the call worked. It is no fault.",
	}
}

// codeText prints answers.
type codeText struct {
	labels labels
	width  int
	// reader whose steps are shown; empty: the one whom the code addresses.
	reader diagnose.Audience
}

func (t codeText) all(answers []codeAnswer) string {
	texts := make([]string, len(answers))
	for i := range answers {
		texts[i] = t.one(&answers[i])
	}
	return strings.Join(texts, "\n"+strings.Repeat("-", t.width)+"\n")
}

// words is the advice in the one language that was asked for.
func (a *codeAnswer) words() diagnose.Advice {
	for _, advice := range a.Advice {
		return advice
	}
	return diagnose.Advice{}
}

func (t codeText) one(a *codeAnswer) string {
	advice := a.words()
	var b strings.Builder
	b.WriteString(paragraph("", "", a.Title, t.width))
	b.WriteString(paragraph("", "", t.head(a), t.width))
	b.WriteByte('\n')
	if !a.Known {
		b.WriteString(paragraph("", "", t.labels.unknown, t.width))
	}
	if a.Deprecated {
		b.WriteString(paragraph("", "", t.labels.unused, t.width))
	}
	b.WriteString(paragraph("", "", advice.Summary, t.width))
	if len(a.Causes) == 0 {
		return b.String()
	}
	b.WriteString("\n" + t.labels.causes + "\n")
	for i, c := range a.Causes {
		number, indent := numbered(i, len(a.Causes))
		b.WriteString(paragraph(number, indent, c.Cause+" -> "+string(c.Action), t.width))
		b.WriteString(paragraph(indent, indent, c.Because, t.width))
	}
	t.steps(&b, a, &advice)
	return b.String()
}

// head is the line of facts below the title.
func (t codeText) head(a *codeAnswer) string {
	code := a.CodeRaw
	if a.Code != nil {
		code = strconv.Itoa(int(*a.Code))
	}
	head := fmt.Sprintf("%s (%s), %s, %s", code, a.Family, a.Severity, a.Condition)
	var same []string
	for _, c := range a.Codes {
		if a.Code == nil || c != *a.Code {
			same = append(same, strconv.Itoa(int(c)))
		}
	}
	if len(same) > 0 {
		head += "; " + t.labels.sameAs + strings.Join(same, ", ")
	}
	return head
}

// steps are those of one reader, and where to find the others'.
func (t codeText) steps(b *strings.Builder, a *codeAnswer, advice *diagnose.Advice) {
	by := map[diagnose.Audience][]diagnose.Step{
		diagnose.User: advice.User, diagnose.Technician: advice.Technician, diagnose.Developer: advice.Developer,
	}
	reader := t.reader
	if reader == "" {
		reader = a.Audience
	}
	b.WriteString("\n" + t.labels.steps[reader] + "\n")
	if len(by[reader]) == 0 {
		b.WriteString(paragraph("", "", t.labels.noSteps, t.width))
	}
	for i, s := range by[reader] {
		number, indent := numbered(i, len(by[reader]))
		b.WriteString(paragraph(number, indent, s.Title, t.width))
		for _, detail := range s.Details {
			b.WriteString(paragraph(indent+"- ", indent+"  ", detail, t.width))
		}
		worked := t.labels.workedIf + s.WorkedIf
		if s.WithinS != nil {
			worked += t.labels.gap + fmt.Sprintf(t.labels.within, *s.WithinS)
		}
		b.WriteString(paragraph(indent, indent, worked, t.width))
	}
	var others []string
	for _, other := range diagnose.Audiences() {
		if other != reader && len(by[other]) > 0 {
			others = append(others, "--for "+string(other))
		}
	}
	if t.reader == "" && len(others) > 0 {
		b.WriteString("\n" + t.labels.others + strings.Join(others, ", ") + "\n")
	}
}

// numbered is the i-th number of n, and the room that it takes.
func numbered(i, n int) (number, indent string) {
	number = fmt.Sprintf("%*d. ", len(strconv.Itoa(n)), i+1)
	return number, strings.Repeat(" ", len(number))
}
