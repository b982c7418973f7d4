//go:build peers

package peers

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"module-controller/e2e/process"
	"module-controller/e2e/world"
)

// bare is client-go alone (see command bare), whose time begins with its process. It may do
// what it likes and as much, as KWOK may.
var bare = side{name: "bare client-go", start: func(w *world.World, c *world.Cluster, nodes int) running {
	w.Helper()
	program := filepath.Join(w.Dir, "bare")
	_, err := process.Output(w.Context(), exec.Command("go", "build", "-o", program, "./bare"))
	w.Must(err)
	cmd := exec.Command(program, "-kubeconfig", c.Plane.Kubeconfig(), "-nodes", strconv.Itoa(nodes))
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + w.Dir}
	began := time.Now()
	p, err := process.Start(cmd, filepath.Join(w.Dir, "bare.log"))
	w.Must(err)
	w.Cleanup(func() { _ = p.Kill() })
	return running{began: began, pid: p.PID(), node: func(n int) string { return fmt.Sprintf("bare-%d", n) }, judge: func(int, int) {}}
}}
