package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"module-controller/internal/fleet"
	mqtttunnel "module-controller/tunnel/mqtt"
)

// clearing deletes commands that another controller left retained.
type clearing struct {
	*options
	at   broker
	envs []string
	yes  bool
}

func newClearRetained(o *options) *cobra.Command {
	r := &clearing{options: o}
	c := &cobra.Command{
		Use: "clear-retained --broker URL", Short: "Show retained commands on the broker, and with --yes delete them", Args: cobra.NoArgs,
		Long: `Show the commands that another controller left retained on the broker, which a base obeys
whenever it connects, however old they are. With --yes they are deleted: an empty retained message
is published to exactly the topics that are shown, and it is looked again whether any is left.
Nothing else is written. Stop the other controller before, or it leaves new ones.

Topics are looked for in the environments that members serve, or in those of --env. The broker's
user must be permitted to read and write the topics of commands.`,
		Example: "  kubectl modules clear-retained --broker mqtts://broker.example.com:8883 --env prod\n  kubectl modules clear-retained --broker mqtts://broker.example.com:8883 --env prod --yes",
		RunE:    func(c *cobra.Command, _ []string) error { return r.run(c.Context()) },
	}
	r.at.addFlags(c)
	c.Flags().StringSliceVar(&r.envs, "env", nil, "Environments whose bases are meant; default those that members serve")
	c.Flags().BoolVar(&r.yes, "yes", false, "Delete what is shown")
	return c
}

func (r *clearing) run(ctx context.Context) error {
	if r.at.url == "" {
		return errors.New("give --broker, such as mqtts://HOST:8883: commands are retained there")
	}
	envs, err := r.environments(ctx)
	if err != nil {
		return err
	}
	cfg, err := r.at.checked(envs)
	if err != nil {
		return err
	}
	found, err := r.look(ctx, cfg)
	if err != nil {
		return err
	}
	if len(found.Retained) == 0 {
		return r.tell("no command is retained for bases of "+strings.Join(envs, ", "), nil)
	}
	if !r.yes {
		return r.tell(fmt.Sprintf("%d are retained; nothing was changed. Give --yes to delete these", len(found.Retained)), found.Retained)
	}
	return r.clear(ctx, cfg, found.Retained)
}

// environments are those of the flag, or those that members serve.
func (r *clearing) environments(ctx context.Context) ([]string, error) {
	if len(r.envs) > 0 {
		return r.envs, nil
	}
	s, err := r.read(ctx, fleet.Scope{})
	if err != nil {
		return nil, err
	}
	envs, _ := s.Served()
	if len(envs) == 0 {
		return nil, errors.New("no member tells which environments it serves: give --env")
	}
	return envs, nil
}

// look looks what is retained. What the user may not read must not count as none.
func (r *clearing) look(ctx context.Context, cfg mqtttunnel.Config) (mqtttunnel.Look, error) {
	limited, cancel := context.WithTimeout(ctx, r.at.timeout)
	defer cancel()
	seen, err := mqtttunnel.LookAt(limited, cfg)
	switch {
	case err != nil:
		return seen, fmt.Errorf("look at the broker: %w", err)
	case len(seen.Refused) > 0:
		return seen, fmt.Errorf("the broker does not let this user read %s: give --broker-username of one that may", strings.Join(seen.Refused, ", "))
	}
	return seen, nil
}

// clear deletes what was shown, and looks again.
func (r *clearing) clear(ctx context.Context, cfg mqtttunnel.Config, topics []string) error {
	limited, cancel := context.WithTimeout(ctx, r.at.timeout)
	defer cancel()
	if err := mqtttunnel.ClearRetained(limited, cfg, topics); err != nil {
		return err
	}
	left, err := r.look(ctx, cfg)
	if err != nil {
		return err
	}
	if n := len(left.Retained); n > 0 {
		return fmt.Errorf("%d are retained still, such as %s: this user may not write there, or the other controller is not stopped", n, mqtttunnel.ShownTopic(left.Retained[0]))
	}
	return r.tell(fmt.Sprintf("%d deleted", len(topics)), topics)
}

// retained is what -o json and yaml have of what was found.
type retained struct {
	Topics  []string `json:"topics"`
	Deleted bool     `json:"deleted"`
}

// tell shows topics, and what is to be said of them.
func (r *clearing) tell(says string, topics []string) error {
	if printed, err := r.object(retained{append([]string{}, topics...), r.yes && len(topics) > 0}); printed || err != nil {
		return err
	}
	for _, topic := range topics {
		r.line("%s", mqtttunnel.ShownTopic(topic))
	}
	r.line("%s", says)
	return nil
}
