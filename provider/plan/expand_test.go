package plan

import "testing"

func TestArgumentsAreExpandedAsKubeletsDo(t *testing.T) {
	env := map[string]string{"A": "x", "B": "$(A)"}
	for text, want := range map[string]string{
		"": "", "plain": "plain", "$(A)": "x", "a$(A)b$(A)": "axbx", "$(B)": "$(A)", "$(C)": "$(C)", "$$(A)": "$(A)",
		"$": "$", "$$": "$", "$(A": "$(A", "$A": "$A", "$()": "$()", "é$(A)é": "éxé",
	} {
		if got := Expand(text, env, len("A")); got != want {
			t.Errorf("%q gives %q, want %q", text, got, want)
		}
	}
}
