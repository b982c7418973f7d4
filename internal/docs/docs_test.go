package docs

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCommandsOfAPage(t *testing.T) {
	page := "text: `kubectl in a sentence`\n" +
		"```sh\nmake build # not this\nA=1 B=2 make test && sudo install bin/x /usr/bin; (cd e2e && kubectl get pods -l 'app=a b' | grep x)\n```\n" +
		"```yaml\nkubectl: no\n```\n" +
		"```sh\nkubectl create x \\\n  --from=file\ncat > f <<'END'\nmake nothing\nEND\nbin/module-controller config check -\n```\n"
	want := []Command{
		{Line: 3, Words: []string{"make", "build"}},
		{Line: 4, Set: []string{"A", "B"}, Words: []string{"make", "test"}},
		{Line: 4, Words: []string{"install", "bin/x", "/usr/bin"}},
		{Line: 4, Words: []string{"cd", "e2e"}},
		{Line: 4, Words: []string{"kubectl", "get", "pods", "-l", "app=a b"}},
		{Line: 4, Words: []string{"grep", "x"}},
		{Line: 11, Words: []string{"kubectl", "create", "x", "--from=file"}},
		{Line: 12, Words: []string{"cat"}},
		{Line: 15, Words: []string{"module-controller", "config", "check", "-"}},
	}
	if diff := cmp.Diff(want, Commands(page)); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}

func TestFlagsOfACommand(t *testing.T) {
	c := Command{Words: []string{"kubectl", "get", "-n", "here", "--replicas=3", "-A", "-f", "-", "pods"}}
	flags, rest := c.Flags(func(flag string) bool { return flag == "-n" || flag == "-f" })
	if diff := cmp.Diff(map[string][]string{"-n": {"here"}, "--replicas": {"3"}, "-A": {""}, "-f": {"-"}}, flags); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"get", "pods"}, rest); diff != "" {
		t.Error(diff)
	}
}
