// Command program is what an image has in tests. It says so when it is not alone.
package main

import "os"

func main() {
	if _, err := os.Stat("/etc"); err == nil && os.Getenv("PATH") != "" {
		_, _ = os.Stdout.WriteString("not alone\n")
		return
	}
	_, _ = os.Stdout.WriteString("v1\n")
}
