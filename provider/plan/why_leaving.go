package plan

// whyLeaving is what the modules of a terminating pod wait for; empty for nothing that need
// be told. It changes with its cause only, not with every look.
func (p *planner) whyLeaving(Pod) string { return "" }
