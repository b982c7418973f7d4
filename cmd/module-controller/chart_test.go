package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// chartSchema is what the chart's schema says of a value.
type chartSchema struct {
	Description string                 `json:"description"`
	Properties  map[string]chartSchema `json:"properties"`
}

// readAs reads a file of YAML or JSON.
func readAs[T any](t *testing.T, path string) (into T) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if text, err = yaml.ToJSON(text); err == nil {
		err = json.Unmarshal(text, &into)
	}
	if err != nil {
		t.Fatalf("read %s: %v", path, err)
	}
	return into
}

// valueRows are the rows of the page's table: a value each, and a group of values that
// has a description.
func valueRows(t *testing.T, prefix string, values map[string]any, schema chartSchema) (rows []string) {
	t.Helper()
	checkNames(t, prefix, values, schema)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		s := schema.Properties[name]
		group, isMap := values[name].(map[string]any)
		isGroup := isMap && len(s.Properties) > 0 && name != "resources"
		if s.Description == "" && !isGroup {
			t.Errorf("the schema does not say what %s%s is", prefix, name)
		}
		if s.Description != "" {
			rows = append(rows, fmt.Sprintf("| `%s%s` | %s | %s |", prefix, name, shownDefault(t, values[name], isGroup), s.Description))
		}
		if isGroup {
			rows = append(rows, valueRows(t, prefix+name+".", group, s)...)
		}
	}
	return rows
}

// checkNames checks that values and their schema have the same names.
func checkNames(t *testing.T, prefix string, values map[string]any, schema chartSchema) {
	t.Helper()
	for name := range values {
		if _, known := schema.Properties[name]; !known {
			t.Errorf("the schema does not know %s%s", prefix, name)
		}
	}
	for name := range schema.Properties {
		if _, there := values[name]; !there && name != "global" {
			t.Errorf("%s%s has no default", prefix, name)
		}
	}
}

func shownDefault(t *testing.T, value any, isGroup bool) string {
	t.Helper()
	if isGroup {
		return "see below"
	}
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return "`" + string(text) + "`"
}

// The page's table is what the chart has: every value, its default and what the schema
// says of it.
func TestTheValuesOfTheChartAreDocumented(t *testing.T) {
	values := readAs[map[string]any](t, "../../manifests/chart/values.yaml")
	schema := readAs[chartSchema](t, "../../manifests/chart/values.schema.json")
	want := strings.Join(valueRows(t, "", values, schema), "\n")
	page, err := os.ReadFile("../../docs/installation.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "| value | default | meaning |\n|---|---|---|\n")
	if table, _, _ = strings.Cut(table, "\n\n"); table != want {
		t.Errorf("docs/installation.md has another table of values than this:\n%s", want)
	}
}

// Each setting that the chart sets or describes is one of the program's.
func TestTheChartKnowsSettings(t *testing.T) {
	known := map[string]bool{}
	for _, s := range settings(newConfig()) {
		known[s.env] = true
	}
	schema := readAs[chartSchema](t, "../../manifests/chart/values.schema.json")
	for name := range schema.Properties["settings"].Properties {
		if !known[name] {
			t.Errorf("%s is no setting", name)
		}
	}
}

// The number of replicas is the operator's: what says it sets it again whenever it is
// applied.
func TestTheManifestsSayNoNumberOfReplicas(t *testing.T) {
	if n := statefulSet(t).Spec.Replicas; n != nil {
		t.Errorf("the StatefulSet asks for %d replicas", *n)
	}
}

// What is bound in namespaces by hand is bound to the account and the role that there are.
func TestTheBindingOfANamespaceNamesWhatThereIs(t *testing.T) {
	set := statefulSet(t)
	binding := manifests[rbacv1.RoleBinding](t, "namespace-access/rolebinding.yaml")[0]
	if s := binding.Subjects[0]; s.Name != set.Spec.Template.Spec.ServiceAccountName || s.Namespace != set.Namespace {
		t.Errorf("the subject is %+v", s)
	}
	for _, role := range manifests[rbacv1.ClusterRole](t, "rbac.yaml") {
		if role.Kind == "ClusterRole" && role.Name == binding.RoleRef.Name {
			return
		}
	}
	t.Errorf("there is no ClusterRole %s", binding.RoleRef.Name)
}
