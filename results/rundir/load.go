package rundir

import (
	"fmt"
	"slices"
)

// Load reads a sealed run directory. It refuses one without END ([ErrUnsealed]),
// one whose files differ from END ([ErrDamaged], naming the file and how), another
// format version ([ErrFormat]), and anything that is not a record ([ErrSyntax],
// naming file and line). It never reads verdict.json.
func Load(dir string) (*Run, error) {
	files, err := readSealed(dir)
	if err != nil {
		return nil, err
	}
	return decodeRun(dir, files)
}

func decodeRun(dir string, files map[string][]byte) (*Run, error) {
	for _, name := range singleFiles {
		if _, ok := files[name]; !ok {
			return nil, fmt.Errorf("rundir: %s: %w: the file is missing", name, ErrDamaged)
		}
	}
	run := &Run{Dir: dir, Applied: map[string][]Applied{}, Chunks: map[string][]Chunk{}, Leases: map[string][]LeaseEvent{}, Replicas: map[string][]ReplicaEvent{}}
	if err := decodeDocument(ManifestFile, files[ManifestFile], &run.Manifest); err != nil {
		return nil, err
	}
	if err := checkFormat(run.Manifest); err != nil {
		return nil, err
	}
	if err := decodeDocument(FaultsFile, files[FaultsFile], &run.Faults); err != nil {
		return nil, err
	}
	if err := decodeDocument(CountersFile, files[CountersFile], &run.Counters); err != nil {
		return nil, err
	}
	var err error
	if run.Ops, err = decodeLines[Op](OpsFile, files[OpsFile]); err != nil {
		return nil, err
	}
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names) // so that of several errors always the same one is told
	for _, name := range names {
		if err := decodeNodeFile(run, name, files[name]); err != nil {
			return nil, err
		}
	}
	if err := checkOps(run.Ops); err != nil {
		return nil, err
	}
	return run, checkNodeRecords(run)
}

func decodeNodeFile(run *Run, name string, data []byte) error {
	var err error
	if node, ok := nodeOf(name, appliedDir); ok {
		run.Applied[node], err = decodeLines[Applied](name, data)
	} else if node, ok := nodeOf(name, chunksDir); ok {
		run.Chunks[node], err = decodeLines[Chunk](name, data)
	} else if node, ok := nodeOf(name, leasesDir); ok {
		run.Leases[node], err = decodeLines[LeaseEvent](name, data)
	} else if node, ok := nodeOf(name, replicaDir); ok {
		run.Replicas[node], err = decodeLines[ReplicaEvent](name, data)
	} else if !slices.Contains(singleFiles, name) {
		return fmt.Errorf("rundir: %s: %w: no such file belongs to a run", name, ErrDamaged)
	}
	return err
}

// checkOps refuses operations that no recorder can have written, so that the
// checkers need not guard against them.
func checkOps(ops []Op) error {
	seen := make(map[int64]int, len(ops))
	for i, op := range ops {
		bad := func(why string) error {
			return fmt.Errorf("rundir: %s:%d: %w: operation %d: %s", OpsFile, i+1, ErrSyntax, op.ID, why)
		}
		if at, dup := seen[op.ID]; dup {
			return bad(fmt.Sprintf("its id is already on line %d", at))
		}
		seen[op.ID] = i + 1
		switch {
		case op.ID <= 0:
			return bad("ids begin with 1")
		case op.Start < 0 || op.Due < 0:
			return bad("it is from before the run")
		case !slices.Contains(kinds, op.Kind):
			return bad(fmt.Sprintf("kind %q", op.Kind))
		case !slices.Contains(phases, op.Phase):
			return bad(fmt.Sprintf("phase %q", op.Phase))
		case op.Outcome != OutcomeOK && op.Reply != nil:
			return bad("it has a reply and is not ok")
		}
		switch op.Outcome {
		case OutcomeOK, OutcomeFail:
			if op.End < op.Start {
				return bad("it ends before it starts")
			}
		case OutcomeUnknown:
			if op.End != -1 {
				return bad("its outcome is unknown and yet it has an end")
			}
		default:
			return bad(fmt.Sprintf("outcome %q", op.Outcome))
		}
		if op.Outcome == OutcomeOK && op.Reply == nil {
			return bad("it is ok without a reply")
		}
	}
	return nil
}
