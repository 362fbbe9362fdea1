package meta

import "gfslab/internal/cowtree"

// Freeze returns a copy of the state for looking up, which later Apply calls do
// not change. It takes constant time; Apply must not run meanwhile, nor another
// Freeze or Snapshot. The copy knows no sessions and no hash, and applies nothing.
func (s *State) Freeze() *State {
	frozen := func(t *cowtree.Tree) cowtree.Tree { return cowtree.Tree{View: t.Capture()} }
	return &State{
		tables: tables{
			names: frozen(&s.names), extents: frozen(&s.extents), chunks: frozen(&s.chunks), attributes: frozen(&s.attributes),
			servers: s.servers[:len(s.servers):len(s.servers)],
		},
		orphans: frozen(&s.orphans), expiry: frozen(&s.expiry), parents: frozen(&s.parents), quotas: s.quotas,
		nextHandle: s.nextHandle, nextCopy: s.nextCopy, time: s.time, index: s.index, commands: s.commands,
	}
}
