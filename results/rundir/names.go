package rundir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The names of the files of a run directory, relative to it.
const (
	ManifestFile       = "manifest.json"
	OpsFile            = "ops.jsonl"
	FaultsFile         = "faults.json"
	CountersFile       = "counters.json"
	VerdictFile        = "verdict.json"
	CounterexampleFile = "counterexample.txt"
	EndFile            = "END"

	appliedDir = "applied"
	chunksDir  = "chunks"
	leasesDir  = "leases"
	replicaDir = "replicas"
	jsonl      = ".jsonl"
)

// singleFiles are the sealed files that every run has.
var singleFiles = []string{ManifestFile, OpsFile, FaultsFile, CountersFile}

// nodeDirs are the directories that hold one file per node.
var nodeDirs = []string{appliedDir, chunksDir, leasesDir, replicaDir}

// Errors of reading a run directory. They are wrapped with the file's name and
// what is wrong with it.
var (
	// ErrUnsealed: END is not there, so the run never finished or was cut.
	ErrUnsealed = errors.New("the run is not sealed")
	// ErrDamaged: a file differs from what END says, or is not there.
	ErrDamaged = errors.New("the run directory is damaged")
	// ErrFormat: a version of the form that this build does not know.
	ErrFormat = errors.New("unknown format version")
	// ErrSyntax: a file is not what its name says.
	ErrSyntax = errors.New("not a record")
)

// nodeFile names the file of one node under dir, and refuses names that would
// leave the run directory or that another system could not store.
func nodeFile(dir, node string) (string, error) {
	if node == "" || len(node) > 100 || node[0] == '.' {
		return "", fmt.Errorf("rundir: node name %q cannot name a file", node)
	}
	for _, c := range []byte(node) {
		ok := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.'
		if !ok {
			return "", fmt.Errorf("rundir: node name %q cannot name a file", node)
		}
	}
	return dir + "/" + node + jsonl, nil
}

// sealedFiles lists the files under dir that a seal covers, in byte order, with
// forward slashes. Files that checkers and reports leave at the top are not in it.
func sealedFiles(dir string) ([]string, error) {
	names := slices.Clone(singleFiles)
	for _, sub := range nodeDirs {
		entries, err := os.ReadDir(filepath.Join(dir, sub))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("rundir: %w", err)
		}
		for _, e := range entries {
			names = append(names, sub+"/"+e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// nodeOf is the node of a file "applied/<node>.jsonl" under the given directory.
func nodeOf(name, dir string) (node string, ok bool) {
	rest, ok := strings.CutPrefix(name, dir+"/")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(rest, jsonl)
}
