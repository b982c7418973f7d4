package arklet

import (
	"encoding/json"
	"fmt"

	"module-controller/tunnel"
)

// path is a command's name: the last segment of its topic and its HTTP path.
type path string

const (
	pathInstall   path = "installBiz"
	pathUninstall path = "uninstallBiz"
	pathSwitch    path = "switchBiz"
	pathList      path = "queryAllBiz"
	pathHealth    path = "health"
	pathOps       path = "queryBizOps"
	pathHelp      path = "help"
	pathBaseline  path = "base/baseline" // over MQTT only
)

var paths = map[tunnel.Verb]path{
	tunnel.InstallModule: pathInstall, tunnel.UninstallModule: pathUninstall, tunnel.SwitchModule: pathSwitch,
	tunnel.ListModules: pathList, tunnel.ReadHealth: pathHealth, tunnel.AnswerBaseline: pathBaseline,
}

// HTTP paths of the commands that have no tunnel.Verb.
const (
	PathOps  = string(pathOps)
	PathHelp = string(pathHelp)
)

// Path gives a command's HTTP path, without a slash.
func Path(v tunnel.Verb) string { return string(paths[v]) }

// CommandTopic gives the topic on which a base receives a command.
func CommandTopic(b tunnel.BaseID, v tunnel.Verb) string {
	return topicPrefix + b.Env + "/" + b.Identity + "/" + string(paths[v])
}

// EmptyBaseline is the answer to a base that asks what to install, over MQTT and HTTP.
const EmptyBaseline = "[]"

const replace = "uninstallThenInstall"

type command struct {
	Name      string            `json:"bizName,omitempty"`
	Version   string            `json:"bizVersion,omitempty"`
	URL       string            `json:"bizUrl,omitempty"`
	Strategy  string            `json:"installStrategy,omitempty"`
	Args      []string          `json:"args,omitempty"`
	Env       map[string]string `json:"envs,omitempty"`
	Async     bool              `json:"async,omitempty"`
	RequestID string            `json:"requestId,omitempty"`
}

// EncodeCommand gives the body of a command. With async the base answers at once and
// goes on working; that needs a request id.
func EncodeCommand(c tunnel.Command, async bool) ([]byte, error) {
	if _, ok := paths[c.Verb]; !ok {
		return nil, fmt.Errorf("encode command %q: %w", c.Verb, tunnel.ErrUnsupported)
	}
	if c.Verb == tunnel.AnswerBaseline {
		return []byte(EmptyBaseline), nil
	}
	body := command{Name: c.Module.Name, Version: c.Module.Version}
	if c.Verb == tunnel.InstallModule {
		body.URL, body.Args, body.Env = c.URL, c.Args, c.Env
		if c.Replace {
			body.Strategy = replace
		}
	}
	body.Async, body.RequestID = async, c.RequestID // bases check it with async only, and log it always
	return encode(body)
}

// EncodeOps gives the body of a poll of an asynchronous command.
func EncodeOps(requestID string) ([]byte, error) { return encode(command{RequestID: requestID}) }

func encode(c command) ([]byte, error) {
	body, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode command: %w", err)
	}
	return body, nil
}
