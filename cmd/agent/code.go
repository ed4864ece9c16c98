package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"fieldmedic/internal/diagnose"
	"fieldmedic/internal/mqtt"
	"fieldmedic/internal/rules"
)

func newCode() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "code CODE...",
		Short: "Say what a code means and what to do",
		Long: `Say what a code means, what may be the cause, and what to do; offline, from the
rules in this program.

A CODE is a number as it is typed or found in a log: -4013, 4013, 0xfff9 and 65529
all work. A positive number that is no known code is looked up as its negative.
The vendor's names (ENDPOINT_UNREACHABLE) and the names of conditions
(dns-resolution-failed) work too.`,
		Example: `  fieldmedic code -4013
  fieldmedic code 4013 0xfff9 --for technician
  fieldmedic code -7 --lang zh-Hans
  fieldmedic code ENDPOINT_UNREACHABLE -o json`,
		Args: cobra.MinimumNArgs(1),
	}
	audiences := make([]string, 0, len(diagnose.Audiences()))
	for _, a := range diagnose.Audiences() {
		audiences = append(audiences, string(a))
	}
	reader := addChoice(cmd, "for", "", "", "whose steps to show (default: those of the reader it addresses)", audiences...)
	output := addOutput(cmd, formatText)
	lang := cmd.Flags().String("lang", "en", "`language` of the texts: "+strings.Join(rules.ShippedLanguages(), ", "))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		set, spoken, err := rulesIn(*lang)
		if err != nil {
			return usage(err)
		}
		answers, err := lookUpAll(set, args)
		if err != nil {
			return usage(err)
		}
		for i := range answers {
			answers[i].only(diagnose.Audience(reader.word))
			if slices.Contains(set.Missing(spoken), answers[i].pack()) {
				fmt.Fprintf(cmd.ErrOrStderr(), "fieldmedic: %s has no texts in %s yet, they are in English\n", answers[i].Condition, spoken)
			}
		}
		if output.word == formatJSON {
			return printJSON(cmd.OutOrStdout(), answers)
		}
		t := codeText{labels: labelsIn(spoken), width: textWidth(cmd.OutOrStdout()), reader: diagnose.Audience(reader.word)}
		_, err = fmt.Fprint(cmd.OutOrStdout(), t.all(answers))
		return err
	}
	return cmd
}

// rulesIn loads the shipped rules with the texts of one language, and answers
// with the language's canonical name.
func rulesIn(tag string) (*rules.Set, string, error) {
	shipped := rules.ShippedLanguages()
	lang, ok := rules.Canonical(tag)
	for ok && !slices.Contains(shipped, lang) {
		// de-AT is served by de (RFC 4647, 3.4).
		cut := strings.LastIndexByte(lang, '-')
		ok = cut > 0
		lang = lang[:max(0, cut)]
	}
	if !ok {
		return nil, "", fmt.Errorf("--lang: there are no texts in %q (%s)", tag, strings.Join(shipped, ", "))
	}
	set, err := rules.Load(rules.Options{Languages: []string{lang}})
	return set, lang, err
}

// codeAnswer is what is known of one code. Its first six fields are those of
// contract section 6, with the meaning they have in a diagnosis.
type codeAnswer struct {
	Code      *int32                     `json:"code"`
	Family    diagnose.Family            `json:"family"`
	Condition string                     `json:"condition"`
	Severity  diagnose.Severity          `json:"severity"`
	Causes    []diagnose.RankedCause     `json:"causes"`
	Advice    map[string]diagnose.Advice `json:"advice"`

	// CodeRaw is the argument.
	CodeRaw string `json:"code_raw"`
	// Known is false for a code that no rule knows.
	Known    bool              `json:"known"`
	Title    string            `json:"title"`
	Action   diagnose.Action   `json:"action"`
	Kind     diagnose.Kind     `json:"kind"`
	Audience diagnose.Audience `json:"audience"`
	// Deprecated: the vendor says that the code is not in use.
	Deprecated bool   `json:"deprecated"`
	Rule       string `json:"rule"`
	// Codes are all that have this meaning.
	Codes []int32 `json:"codes"`
}

// pack is the rule pack that the answer comes from.
func (a *codeAnswer) pack() string {
	pack, _, _ := strings.Cut(a.Rule, "/")
	return pack
}

// only leaves one reader's steps; all when there is no reader.
func (a *codeAnswer) only(reader diagnose.Audience) {
	if reader == "" {
		return
	}
	for lang, advice := range a.Advice {
		none := []diagnose.Step{}
		if reader != diagnose.User {
			advice.User = none
		}
		if reader != diagnose.Technician {
			advice.Technician = none
		}
		if reader != diagnose.Developer {
			advice.Developer = none
		}
		a.Advice[lang] = advice
	}
}

// lookUpAll answers for every argument; the error names all that are no codes.
func lookUpAll(set *rules.Set, args []string) ([]codeAnswer, error) {
	answers := make([]codeAnswer, 0, len(args))
	var wrong []error
	for _, arg := range args {
		// A minus sign of a text processor is one, too.
		arg = strings.ReplaceAll(strings.TrimSpace(strings.TrimPrefix(arg, numberMark)), "\u2212", "-")
		if a, ok := lookUp(set, arg); ok {
			answers = append(answers, a)
			continue
		}
		wrong = append(wrong, fmt.Errorf("%q is no code (a number as -4013, 4013 or 0xfff9, a name as ENDPOINT_UNREACHABLE, or a condition as dns-resolution-failed)", arg))
	}
	return answers, errors.Join(wrong...)
}

// lookUp reads one argument as a number, a vendor's name, or a condition.
func lookUp(set *rules.Set, arg string) (codeAnswer, bool) {
	// The condition of an unknown code holds its digits.
	digits, _ := strings.CutPrefix(arg, "unknown-code-")
	if code, _, ok := mqtt.ParseCode(digits); ok {
		if code == 0 {
			return success(set, arg), true
		}
		return answer(set, matchNumber(set, code, digits), arg), true
	}
	if m := set.Match(diagnose.Key{Producer: diagnose.ProducerDNA, Name: arg}); m.Known {
		return answer(set, m, arg), true
	}
	rule := set.Rule(strings.ToLower(arg))
	if rule == nil {
		return codeAnswer{}, false
	}
	m := diagnose.Match{Rule: rule, Family: rule.Family, Known: true}
	if codes := codesOf(set, rule); len(codes) > 0 {
		m = set.Match(diagnose.Key{Code: codes[0]})
	}
	return answer(set, m, arg), true
}

// matchNumber finds the rule of a number that a person typed. People leave the
// minus out; 49010 is rather meant as -49010 than as an unsigned word.
func matchNumber(set *rules.Set, code int32, typed string) diagnose.Match {
	m := set.Match(diagnose.Key{Code: code})
	if m.Known {
		return m
	}
	if positive, err := strconv.ParseInt(typed, 10, 32); err == nil && positive > 0 {
		if negative := set.Match(diagnose.Key{Code: int32(-positive)}); negative.Known || code > 0 {
			return negative
		}
	}
	return m
}

// codesOf are all codes that a rule names, sorted.
func codesOf(set *rules.Set, rule *diagnose.Rule) []int32 {
	codes := []int32{}
	for _, code := range set.Codes() {
		if set.Match(diagnose.Key{Code: code}).Rule == rule {
			codes = append(codes, code)
		}
	}
	return codes
}

// answer is the diagnosis that a first report of the code would make.
func answer(set *rules.Set, m diagnose.Match, arg string) codeAnswer {
	noun := labelsIn(set.Languages()[0]).device
	d := diagnose.Presumed(m, "", arg)
	d.Device = diagnose.DeviceID(noun)
	d = d.Describe(set)
	for i := range d.Causes {
		d.Causes[i].Because = begin(d.Causes[i].Because, noun)
	}
	advice := set.Advice(&d)
	for lang, a := range advice {
		a.Title, a.Summary = begin(a.Title, noun), begin(a.Summary, noun)
		a.Because = beginAll(a.Because, noun)
		a.User, a.Technician, a.Developer = beginSteps(a.User, noun), beginSteps(a.Technician, noun), beginSteps(a.Developer, noun)
		advice[lang] = a
	}
	return codeAnswer{
		Code: d.Code, Family: d.Family, Condition: d.Condition, Severity: d.Severity, Causes: d.Causes,
		Advice: advice, CodeRaw: arg, Known: m.Known, Title: begin(d.Title, noun), Action: d.Action, Kind: d.Kind,
		Audience: d.Audience, Deprecated: m.Rule.Deprecated, Rule: d.Rule, Codes: codesOf(set, m.Rule),
	}
}

// begin makes a sentence that begins with the noun begin with a capital: the
// noun stands where otherwise a device's id would.
func begin(sentence, noun string) string {
	if rest, ok := strings.CutPrefix(sentence, noun); ok {
		first, size := utf8.DecodeRuneInString(noun)
		return string(unicode.ToUpper(first)) + noun[size:] + rest
	}
	return sentence
}

func beginAll(sentences []string, noun string) []string {
	all := make([]string, len(sentences)) // the rules share theirs
	for i, s := range sentences {
		all[i] = begin(s, noun)
	}
	return all
}

func beginSteps(steps []diagnose.Step, noun string) []diagnose.Step {
	all := make([]diagnose.Step, len(steps))
	for i, s := range steps {
		s.Title, s.WorkedIf, s.Details = begin(s.Title, noun), begin(s.WorkedIf, noun), beginAll(s.Details, noun)
		all[i] = s
	}
	return all
}

// success answers for 0, which is no fault, and which no rule matches.
func success(set *rules.Set, arg string) codeAnswer {
	lang := set.Languages()[0]
	l := labelsIn(lang)
	none := []diagnose.Step{}
	return codeAnswer{
		Code: new(int32), Family: diagnose.FamilyUnknown, Condition: "success", Severity: diagnose.Info,
		Causes: []diagnose.RankedCause{}, CodeRaw: arg, Known: true, Title: l.success, Action: diagnose.ActNone,
		Kind: diagnose.Transient, Audience: diagnose.User, Codes: []int32{0},
		Advice: map[string]diagnose.Advice{lang: {
			Title: l.success, Summary: l.successSummary, Because: []string{},
			User: none, Technician: none, Developer: none,
		}},
	}
}
