package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// holding is a module's folder with files.
func holding(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestCollect(t *testing.T) {
	for _, tt := range []struct{ has, want []string }{
		{[]string{"LICENSE", "README.md", "license.go"}, []string{"LICENSE"}},
		{[]string{"LICENCE.txt", "NOTICE"}, []string{"LICENCE.txt", "NOTICE"}},
		{[]string{"COPYING", "main.go"}, []string{"COPYING"}},
		{[]string{"LICENSE-APACHE", "LICENSE.MIT"}, []string{"LICENSE-APACHE", "LICENSE.MIT"}},
		{[]string{"README.md", "licensed"}, nil},
	} {
		to := t.TempDir()
		m := module{"example.com/a/b", "v1.2.3", holding(t, tt.has...)}
		err := m.collect(to)
		if (err != nil) != (tt.want == nil) {
			t.Errorf("%v: %v", tt.has, err)
		}
		got, _ := filepath.Glob(filepath.Join(to, "example.com/a/b@v1.2.3/*"))
		for i := range got {
			got[i] = filepath.Base(got[i])
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("of %v it took %v, want %v", tt.has, got, tt.want)
		}
	}
}

func TestParse(t *testing.T) {
	list := "\nexample.com/a v1.0.0 /a\nproduct  /product\nexample.com/a v1.0.0 /a\n"
	got, err := parse([]byte(list))
	want := []module{{"example.com/a", "v1.0.0", "/a"}, {"product", "", "/product"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("modules are %v (%v), want %v", got, err, want)
	}
	if _, err := parse([]byte("example.com/a v1.0.0 \n")); err == nil {
		t.Error("a module without a folder is taken")
	}
}

// The tool's own folder is a product, too.
func TestRun(t *testing.T) {
	to := filepath.Join(t.TempDir(), "licences")
	err := run(".", ".", to)
	if err == nil || !strings.Contains(err.Error(), "module-controller/tools") {
		t.Errorf("the tools' module has no licence of its own: %v", err)
	}
}
