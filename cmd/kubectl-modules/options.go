package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"module-controller/internal/fleet"
)

// options are what all commands share.
type options struct {
	genericiooptions.IOStreams
	kube *genericclioptions.ConfigFlags
	// controllers is the namespace of the installation, account its service account.
	controllers, account string
	output, colour       string
	clock                clock
	// connect gives a client of the API server.
	connect func() (kubernetes.Interface, error)
}

// outputs are the formats that -o takes; the empty one is a table.
var outputs = []string{"", "wide", "json", "yaml"}

// colours are what --color takes.
var colours = []string{"auto", "always", "never"}

// newRoot makes the command with all that is below it.
func newRoot(streams genericiooptions.IOStreams) *cobra.Command {
	o := &options{IOStreams: streams, kube: genericclioptions.NewConfigFlags(true)}
	o.connect = o.client
	return o.root()
}

func (o *options) root() *cobra.Command {
	root := &cobra.Command{
		Use: "kubectl-modules", Short: "See a fleet of bases and modules, and why something is not ready", Version: version,
		SilenceUsage: true, SilenceErrors: true,
		Annotations:       map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl modules"},
		PersistentPreRunE: func(*cobra.Command, []string) error { return o.check() },
	}
	flags := root.PersistentFlags()
	o.kube.AddFlags(flags)
	flags.StringVar(&o.controllers, "controller-namespace", "module-controller", "Namespace of the controller's installation")
	flags.StringVar(&o.account, "controller-account", "module-controller", "Service account of the controller")
	flags.StringVarP(&o.output, "output", "o", "", "Output format: wide, json or yaml; default a table")
	flags.StringVar(&o.colour, "color", "auto", "Colours: auto (on a terminal only), always or never")
	complete(root, "output", outputs[1:])
	complete(root, "color", colours)
	root.AddGroup(&cobra.Group{ID: "look", Title: "See:"}, &cobra.Group{ID: "diagnose", Title: "Find out:"}, &cobra.Group{ID: "ask", Title: "Ask of members:"})
	for _, c := range []struct {
		group string
		of    *cobra.Command
	}{
		{"diagnose", newStatus(o)}, {"diagnose", newWhy(o)}, {"diagnose", newCheck(o)}, {"diagnose", newSysdump(o)}, {"diagnose", newClearRetained(o)},
		{"look", newBases(o)}, {"look", newBase(o)}, {"look", newMembers(o)}, {"look", newTop(o)}, {"look", newRebalance(o)},
		{"ask", newDrain(o)}, {"ask", newMove(o)},
	} {
		c.of.GroupID = c.group
		root.AddCommand(c.of)
	}
	root.SetUsageTemplate(strings.Replace(root.UsageTemplate(), inherited, "Flags of all commands: kubectl modules --help", 1))
	root.SetOut(o.Out)
	root.SetErr(o.ErrOut)
	return root
}

// inherited is the part of a command's help that names the flags of all commands, which are many.
const inherited = "Global Flags:\n{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}"

// complete has a flag completed by words.
func complete(c *cobra.Command, flag string, words []string) {
	if err := c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // there is no such flag
	}
}

// check checks what all commands share.
func (o *options) check() error {
	switch {
	case !slices.Contains(outputs, o.output):
		return fmt.Errorf("--output %q is none of %s", o.output, strings.Join(outputs[1:], ", "))
	case !slices.Contains(colours, o.colour):
		return fmt.Errorf("--color %q is none of %s", o.colour, strings.Join(colours, ", "))
	}
	return nil
}

// config is how the API server is reached.
func (o *options) config() (*rest.Config, error) {
	config, err := o.kube.ToRESTConfig()
	if err != nil {
		return nil, err
	}
	config = rest.CopyConfig(config)
	config.QPS = -1 // one command asks once for each thing
	config.UserAgent = "kubectl-modules/" + version
	config.AcceptContentTypes, config.ContentType = "application/vnd.kubernetes.protobuf,application/json", "application/vnd.kubernetes.protobuf"
	config.Wrap(o.clock.watch)
	return config, nil
}

// client is one of the API server that the flags name.
func (o *options) client() (kubernetes.Interface, error) {
	config, err := o.config()
	if err != nil {
		return nil, err
	}
	return kubernetes.NewForConfig(config)
}

// reader is how the fleet is read.
func (o *options) reader() (fleet.Reader, error) {
	client, err := o.connect()
	if err != nil {
		return fleet.Reader{}, err
	}
	return fleet.Reader{Client: client, Namespace: o.controllers, Now: func() time.Time { return o.clock.now() }}, nil
}

// namespace is that of pods.
func (o *options) namespace() (string, error) {
	namespace, _, err := o.kube.ToRawKubeConfigLoader().Namespace()
	return namespace, err
}
