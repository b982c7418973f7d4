package plan

import (
	"cmp"
	"strings"

	"module-controller/tunnel"
)

// NodeConfig are the settings of the Nodes that bases become. The zero value of
// each field means its default.
type NodeConfig struct {
	// DefaultMetaspace, in bytes, is the memory capacity of a Node whose base has
	// no metaspace limit or does not tell it. Default 1 GiB.
	DefaultMetaspace int64
	// Pods is the pod capacity of a Node. Default 110.
	Pods int64
	// CPUs is the cpu capacity of a Node whose base does not tell its processors.
	// Default 8.
	CPUs int64
	// Version is shown as the Node's kubelet version. Default "dev".
	Version string
}

// Complete fills in the defaults.
func (c NodeConfig) Complete() NodeConfig {
	return NodeConfig{DefaultMetaspace: c.defaultMetaspace(), Pods: c.pods(), CPUs: c.cpus(), Version: c.version()}
}

func (c NodeConfig) defaultMetaspace() int64 { return cmp.Or(c.DefaultMetaspace, 1<<30) }
func (c NodeConfig) pods() int64             { return cmp.Or(c.Pods, 110) }
func (c NodeConfig) cpus() int64             { return cmp.Or(c.CPUs, 8) }
func (c NodeConfig) version() string         { return cmp.Or(c.Version, "dev") }

func compareKeys(a, b tunnel.ModuleKey) int {
	return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Version, b.Version))
}

// installedKeys reads what installedText wrote; entries it cannot read are left out.
func installedKeys(text string) map[tunnel.ModuleKey]bool {
	installed := map[tunnel.ModuleKey]bool{}
	for entry := range strings.SplitSeq(text, ",") {
		if name, version, ok := strings.Cut(entry, ":"); ok && name != "" && version != "" {
			installed[tunnel.ModuleKey{Name: name, Version: version}] = true
		}
	}
	return installed
}
