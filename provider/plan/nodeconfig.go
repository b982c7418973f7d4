package plan

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
