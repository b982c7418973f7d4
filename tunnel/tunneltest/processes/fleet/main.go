// Command fleet plays bases that run processes, for tests that see only programs. What it did
// is served at /counts: for each base how often it installed and uninstalled each module.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"module-controller/tunnel"
	"module-controller/tunnel/tunneltest"
	"module-controller/tunnel/tunneltest/processes"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "fleet:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("fleet", flag.ContinueOnError)
	bases := f.Int("bases", 1, "how many bases: process-1, process-2, …")
	env := f.String("env", "default", "their environment")
	key := f.String("key", "", "the key of the fleet")
	replicas := f.String("replicas", "", "addresses of the replicas' tunnels, separated by commas")
	control := f.String("control", "", "where /counts is served, host:port")
	if err := f.Parse(args); err != nil {
		return err
	}
	fleet := processes.Fleet{Addresses: strings.Split(*replicas, ","), Heartbeat: time.Second}
	for n := range *bases {
		fleet.Bases = append(fleet.Bases, processes.NewBase([]byte(*key), *env, tunneltest.Options{Identity: fmt.Sprint("process-", n+1), Name: "tasks", Version: "1"}))
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", *control)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: counts(fleet.Bases), ReadHeaderTimeout: time.Second}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	fleet.Run(ctx)
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// did is what one base did, by name:version.
type did struct {
	Installs   map[string]int `json:"installs"`
	Uninstalls map[string]int `json:"uninstalls"`
}

func counts(bases []*processes.Base) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		all := map[string]did{}
		for _, b := range bases {
			seen := b.Seen()
			all[b.ID().Identity] = did{byText(seen.Installs), byText(seen.Uninstalls)}
		}
		_ = json.NewEncoder(w).Encode(all) // who asks may be gone
	})
}

func byText(counts map[tunnel.ModuleKey]int) map[string]int {
	texts := map[string]int{}
	for key, n := range counts {
		texts[key.String()] = n
	}
	return texts
}
