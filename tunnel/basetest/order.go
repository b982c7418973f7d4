package basetest

import (
	"cmp"
	"slices"
)

// Bases keep their modules in hash tables, one by name and in each one by version,
// and list them in the order of the tables' slots.

// slot is where a key stands in a Java hash table of so many slots, a power of two.
func slot(key string, slots uint32) uint32 {
	var h uint32
	for _, r := range key { // NB: Java counts UTF-16 units; module names are ASCII
		h = 31*h + uint32(r)
	}
	return (h ^ h>>16) & (slots - 1)
}

// slotsFor is how many slots a table of so many keys has.
func slotsFor(keys int) uint32 {
	slots := uint32(16)
	for uint32(keys) > slots*3/4 {
		slots *= 2
	}
	return slots
}

// inOrder gives modules, which are in the order in which they came, in the order in
// which a base lists them. In one slot the first to come is the first.
func inOrder(modules []*Module) []*Module {
	came, versions := map[string]int{masterName: -1}, map[string]int{}
	for i, m := range modules {
		if _, known := came[m.Name]; !known {
			came[m.Name] = i
		}
		versions[m.Name]++
	}
	slots, sorted := slotsFor(len(came)), slices.Clone(modules)
	slices.SortStableFunc(sorted, func(a, b *Module) int {
		n := slotsFor(versions[a.Name])
		return cmp.Or(
			cmp.Compare(slot(a.Name, slots), slot(b.Name, slots)), cmp.Compare(came[a.Name], came[b.Name]),
			cmp.Compare(slot(a.Version, n), slot(b.Version, n)))
	})
	return sorted
}
