package basetest

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/mochi-mqtt/server/v2/hooks/auth"
)

// Users are who may speak to a broker: their passwords, by name. A base's name is its
// identity.
type Users map[string]string

// ControllerUser is the name of the controller's replicas.
const ControllerUser = "module-controller"

// ReadUsers reads lines "name:password".
func ReadUsers(r io.Reader) (Users, error) {
	u, lines := Users{}, bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		name, password, ok := strings.Cut(lines.Text(), ":")
		if !ok || name == "" || password == "" {
			return nil, fmt.Errorf("read users: line %d is not name:password", n)
		}
		if _, known := u[name]; known {
			return nil, fmt.Errorf("read users: line %d names %s again", n, name)
		}
		u[name] = password
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read users: %w", err)
	}
	return u, nil
}

// Ledger gives what the users may do in an environment, as the samples for brokers in
// manifests/broker have it: a base hears its commands and says who it is, the controller
// hears all bases and commands them. Neither connects with a client id of the other.
func (u Users) Ledger(env string) *auth.Ledger {
	l := &auth.Ledger{}
	for name, password := range u {
		// NB: a rule's value ends at a *, so a password with one would fit others too.
		rule := auth.AuthRule{Client: auth.RString(simClient(name) + "*"), Username: auth.RString(name), Password: auth.RString(password), Allow: true}
		filters := baseFilters(env, name)
		if name == ControllerUser {
			rule.Client, filters = ControllerUser+"-*", controllerFilters(env)
		}
		l.Auth = append(l.Auth, rule)
		l.ACL = append(l.ACL, auth.ACLRule{Username: auth.RString(name), Filters: filters})
	}
	l.ACL = append(l.ACL, auth.ACLRule{Filters: auth.Filters{"#": auth.Deny}}) // what no rule permits is permitted otherwise
	return l
}

func baseFilters(env, identity string) auth.Filters {
	root := "koupleless_" + env + "/" + identity + "/"
	return auth.Filters{auth.RString(root + "+"): auth.ReadOnly, auth.RString(root + "base/baseline"): auth.ReadOnly, auth.RString(root + "base/+"): auth.WriteOnly}
}

func controllerFilters(env string) auth.Filters {
	root := "koupleless_" + env + "/+/"
	filters := auth.Filters{
		auth.RString(root + "base/+"): auth.ReadOnly,
		ControllerUser + "/+/probe":   auth.ReadWrite, ControllerUser + "/+/gone": auth.ReadWrite,
	}
	for _, command := range []string{"installBiz", "uninstallBiz", "queryAllBiz", "health", "base/baseline"} {
		filters[auth.RString(root+command)] = auth.WriteOnly
	}
	return filters
}
