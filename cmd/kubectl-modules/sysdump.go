package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"module-controller/internal/diagnose"
	"module-controller/internal/fleet"
)

func newSysdump(o *options) *cobra.Command {
	var path string
	var logs bool
	c := &cobra.Command{
		Use: "sysdump", Short: "Write what a bug report needs to a tar.gz", Args: cobra.NoArgs,
		Long: `Write Leases, Nodes, pods, Events, what is wrong, and the logs of the replicas to a file. No
Secret and no ConfigMap is read. The values of environments, arguments, and what URLs of images
keep secret are left out; read the logs before you send them on.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if path == "" {
				path = "kubectl-modules-" + o.clock.now().UTC().Format("20060102-150405") + ".tar.gz"
			}
			return o.sysdump(c.Context(), path, logs)
		},
	}
	c.Flags().StringVarP(&path, "file", "f", "", "File to write; default kubectl-modules-TIME.tar.gz")
	c.Flags().BoolVar(&logs, "logs", true, "Take the logs of the replicas")
	return c
}

// dump is an archive in the making.
type dump struct {
	tar *tar.Writer
	at  time.Time
}

func (d dump) add(name string, text []byte) error {
	head := tar.Header{Name: "kubectl-modules/" + name, Mode: 0o600, Size: int64(len(text)), ModTime: d.at}
	if err := d.tar.WriteHeader(&head); err != nil {
		return err
	}
	_, err := d.tar.Write(text)
	return err
}

func (d dump) yaml(name string, value any) error {
	text, err := yaml.Marshal(value)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return d.add(name, text)
}

func (o *options) sysdump(ctx context.Context, path string, logs bool) (err error) {
	r, err := o.reader()
	if err != nil {
		return err
	}
	s, err := r.Read(ctx, fleet.Everything)
	if err != nil {
		return err
	}
	cluster, err := r.ReadCluster(ctx, o.account, false)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	zip := gzip.NewWriter(file)
	d := dump{tar.NewWriter(zip), s.At}
	err = d.fleet(s, cluster)
	if err == nil && logs {
		err = d.logs(ctx, r.Client, s)
	}
	if err = errors.Join(err, d.tar.Close(), zip.Close(), file.Close()); err != nil {
		return err
	}
	o.line("%s", path)
	return nil
}

// fleet writes what was read, without what must not leave.
func (d dump) fleet(s *fleet.Snapshot, cluster fleet.Cluster) error {
	st := statusOf(s)
	return errors.Join(
		d.yaml("status.yaml", st),
		d.yaml("check.yaml", diagnose.Check(s, cluster)),
		d.yaml("version.yaml", map[string]string{"plugin": version, "server": s.Server, "at": s.At.UTC().Format(time.RFC3339), "namespace": s.Namespace}),
		d.yaml("leases-members.yaml", s.MemberLeases), d.yaml("leases-bases.yaml", s.BaseLeases),
		d.yaml("nodes.yaml", s.Nodes), d.yaml("events.yaml", s.Events),
		d.yaml("pods-modules.yaml", redacted(s.Modules)), d.yaml("pods-strangers.yaml", redacted(s.Strangers)),
		d.yaml("pods-bases.yaml", redacted(s.BasePods)), d.yaml("pods-replicas.yaml", redacted(s.Replicas)),
		d.yaml("unread.yaml", s.Unread))
}

// mostLog bounds what is taken of one log, in bytes.
const mostLog = 16 << 20

// logs writes the logs of the replicas, of those before a restart too. What cannot be read
// says why in its place.
func (d dump) logs(ctx context.Context, client kubernetes.Interface, s *fleet.Snapshot) error {
	var errs []error
	for _, p := range s.Replicas {
		for name, previous := range map[string]bool{p.Name + ".log": false, p.Name + ".previous.log": true} {
			limit := int64(mostLog)
			stream, err := client.CoreV1().Pods(p.Namespace).GetLogs(p.Name, &corev1.PodLogOptions{Previous: previous, LimitBytes: &limit}).Stream(ctx)
			if err != nil {
				errs = append(errs, d.add("logs/"+name, []byte(err.Error()+"\n")))
				continue
			}
			text, err := io.ReadAll(stream)
			errs = append(errs, stream.Close(), err, d.add("logs/"+name, text))
		}
	}
	return errors.Join(errs...)
}
