// Package docs reads the commands of the project's pages, for the tests that compare them
// with the code. It knows as much of the shell as the pages use: words, quotes,
// continued lines, comments, assignments before a command, pipes and lists, redirections
// and here-documents. It runs nothing.
package docs

import (
	"path"
	"regexp"
	"strings"
)

// Pages are those with commands for operators, below the repository's root.
var Pages = []string{"docs/quickstart.md", "docs/operations.md", "docs/runbooks.md", "docs/troubleshooting.md", "docs/upgrading.md"}

// Command is one simple command of a page.
type Command struct {
	Line int // of the page, from 1
	// Set are the names of variables that stand before it.
	Set []string
	// Words are the program and its arguments, without quotes; never empty.
	Words []string
}

func (c Command) String() string { return strings.Join(c.Words, " ") }

// Flags gives the names of flags among the words, as "-n" and "--replicas", and the word
// behind each or its value after "="; and the words that are neither.
func (c Command) Flags(takesValue func(flag string) bool) (flags map[string][]string, rest []string) {
	flags = map[string][]string{}
	for i := 1; i < len(c.Words); i++ {
		word := c.Words[i]
		if !strings.HasPrefix(word, "-") || word == "-" {
			rest = append(rest, word)
			continue
		}
		name, value, has := strings.Cut(word, "=")
		if !has && takesValue(name) && i+1 < len(c.Words) {
			i++
			value = c.Words[i]
		}
		flags[name] = append(flags[name], value)
	}
	return flags, rest
}

// Commands gives the commands of a page's blocks that are marked as sh.
func Commands(page string) (all []Command) {
	p := reader{}
	for n, line := range strings.Split(page, "\n") {
		p.line(n+1, line)
	}
	return p.found
}

// reader goes through a page line by line.
type reader struct {
	inside bool   // a block of sh
	here   string // ends the here-document that is read; empty while none is
	begun  string // what came before a line that is continued
	found  []Command
}

var hereDocument = regexp.MustCompile(`<<-?\s*'?(\w+)'?`)

func (p *reader) line(n int, line string) {
	switch text := strings.TrimSpace(line); {
	case strings.HasPrefix(text, "```"):
		*p = reader{inside: text == "```sh" && !p.inside, found: p.found}
	case !p.inside:
	case p.here != "":
		if text == p.here {
			p.here = ""
		}
	case strings.HasSuffix(text, `\`):
		p.begun += strings.TrimSuffix(text, `\`)
	default:
		text, p.begun = p.begun+text, ""
		if m := hereDocument.FindStringSubmatch(text); m != nil {
			p.here = m[1]
		}
		for _, simple := range split(text) {
			p.add(n, simple)
		}
	}
}

// prefixes are programs that run what stands behind them.
var prefixes = map[string]bool{"sudo": true, "exec": true}

var assignment = regexp.MustCompile(`^([A-Za-z_]\w*)=`)

func (p *reader) add(n int, words []string) {
	c := Command{Line: n}
	for len(words) > 0 {
		m := assignment.FindStringSubmatch(words[0])
		if m == nil && !prefixes[words[0]] {
			break
		}
		if m != nil {
			c.Set = append(c.Set, m[1])
		}
		words = words[1:]
	}
	for i := 0; i < len(words); i++ {
		switch {
		case strings.HasPrefix(words[i], "<<"): // its end is a part of it
		case words[i] == ">", words[i] == ">>", words[i] == "<":
			i++
		default:
			c.Words = append(c.Words, words[i])
		}
	}
	if len(c.Words) > 0 {
		c.Words[0] = path.Base(c.Words[0])
		p.found = append(p.found, c)
	}
}

// piece is a quoted text, an operator, the beginning of a comment, or a part of a word.
var piece = regexp.MustCompile(`'[^']*'|"[^"]*"|&&|\|\||[|;()]|\s+|[^'"&|;()\s]+|&`)

// split gives the simple commands of a line, each as its words.
func split(line string) (commands [][]string) {
	var words []string
	word, open := "", false
	endWord := func() {
		if open {
			words = append(words, word)
		}
		word, open = "", false
	}
	endCommand := func() {
		endWord()
		if len(words) > 0 {
			commands = append(commands, words)
		}
		words = nil
	}
	for _, t := range piece.FindAllString(line, -1) {
		switch {
		case strings.TrimSpace(t) == "":
			endWord()
		case !open && strings.HasPrefix(t, "#"):
			endCommand()
			return commands
		case strings.ContainsAny(t[:1], "&|;()"):
			endCommand()
		default:
			word, open = word+strings.Trim(t, `'"`), true
		}
	}
	endCommand()
	return commands
}
