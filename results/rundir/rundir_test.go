package rundir

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"
)

// sample is a small run with every kind of file.
func sample() *Run {
	return &Run{
		Manifest: Manifest{ID: "r1", Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Nodes: []string{"m1"},
			Plan: Plan{Backend: "multipaxos", Duration: Duration(1500 * time.Millisecond)}, Command: "gfslab run --seed 1"},
		Ops: []Op{
			{ID: 1, Client: "c1", Seq: 1, Kind: KindCreate, Path: "/a", End: 5, Outcome: OutcomeOK, Reply: &Reply{Code: "OK", Index: 3}, Phase: PhaseRun},
			{ID: 2, Client: "c2", Kind: KindStat, Path: "/a", Start: 6, End: -1, Outcome: OutcomeUnknown, Phase: PhaseRun},
		},
		Faults:   []Fault{{Name: "isolate-leader", Node: "m1", Inject: 3, Heal: -1, Observed: true, Evidence: []string{"term rose"}}},
		Counters: Counters{Nodes: map[string]map[string]uint64{"m1": {"fsyncs": 3}}, Leader: "m1", Operations: 1, Seconds: 1},
		Applied:  map[string][]Applied{"m1": {{Index: 3, Client: "c1", Seq: 1, Command: []byte{1}, Reply: []byte{2}, Hash: "aa"}}, "m2": {}},
		Chunks:   map[string][]Chunk{"cs1": {{Handle: 1, Version: 1, Length: 3, Kind: ChunkRecord}}},
		Leases:   map[string][]LeaseEvent{"cs1": {{At: 1, Node: "cs1", Kind: LeaseClaim, Until: 9}}},
		Replicas: map[string][]ReplicaEvent{"m1": {{At: 2, Node: "m1", Term: 1, Kind: ReplicaCloned, Handle: 7, Server: "cs1"}}},
	}
}

func saved(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "run")
	if err := Save(dir, sample()); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestSaveAndLoad(t *testing.T) {
	dir := saved(t)
	got, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := sample()
	want.Dir, want.Manifest.Format = dir, FormatVersion
	if !reflect.DeepEqual(got, want) {
		t.Errorf("loaded run differs:\n got %+v\nwant %+v", got, want)
	}
	if m, err := ReadManifest(dir); err != nil || m.ID != "r1" {
		t.Errorf("ReadManifest = %+v, %v", m, err)
	}
}

// TestLoadRefuses damages a sealed directory in each way that a cut, a copy or a
// hand can, and wants an error that names the file and the trouble.
func TestLoadRefuses(t *testing.T) {
	edit := func(name string, change func(string) string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			path := filepath.Join(dir, name)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			changed := change(string(data))
			if changed == string(data) {
				t.Fatalf("the case changes nothing in %s", name)
			}
			if err := os.WriteFile(path, []byte(changed), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	remove := func(name string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	replace := func(old, new string) func(string) string {
		return func(s string) string { return strings.Replace(s, old, new, 1) }
	}
	cases := []struct {
		name   string
		damage func(t *testing.T, dir string)
		reseal bool
		want   error
		text   string
	}{
		{"no END", remove("END"), false, ErrUnsealed, "no END file"},
		{"END cut", edit("END", func(s string) string { return s[:len(s)/2] }), false, ErrSyntax, "END:"},
		{"END of another form", edit("END", replace(`"format": 1`, `"format": 2`)), false, ErrFormat, "END"},
		{"line removed", edit("ops.jsonl", func(s string) string { return s[strings.IndexByte(s, '\n')+1:] }), false, ErrDamaged, "ops.jsonl: the run directory is damaged: 1 lines, END says 2"},
		{"last line cut", edit("applied/m1.jsonl", func(s string) string { return s[:len(s)-3] }), false, ErrDamaged, "applied/m1.jsonl: the run directory is damaged: 0 lines, END says 1"},
		{"byte longer", edit("faults.json", func(s string) string { return s + " " }), false, ErrDamaged, "faults.json"},
		{"value changed", edit("chunks/cs1.jsonl", replace(`"length":3`, `"length":4`)), false, ErrDamaged, "sha256"},
		{"file missing", remove("leases/cs1.jsonl"), false, ErrDamaged, "leases/cs1.jsonl: the run directory is damaged: the file is missing"},
		{"directory missing", remove("applied"), false, ErrDamaged, "applied/m1.jsonl"},
		{"file added", func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, "applied", "m9.jsonl"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}, false, ErrDamaged, "applied/m9.jsonl: the run directory is damaged: END does not list it"},
		{"manifest of another form", edit("manifest.json", replace(`"format": 1`, `"format": 7`)), true, ErrFormat, "manifest.json"},
		{"garbage line", edit("ops.jsonl", replace("\n", "\nrubbish\n")), true, ErrSyntax, "ops.jsonl:2:"},
		{"unknown field", edit("leases/cs1.jsonl", replace(`"at":1`, `"at":1,"colour":3`)), true, ErrSyntax, `leases/cs1.jsonl:1: not a record: unknown field "colour"`},
		{"two values on a line", edit("chunks/cs1.jsonl", replace("}\n", "}{}\n")), true, ErrSyntax, "chunks/cs1.jsonl:1"},
		{"resealed with a cut line", edit("ops.jsonl", func(s string) string { return s[:len(s)-1] }), true, ErrSyntax, "ops.jsonl:2: not a record: the line is cut short"},
		{"wrong type", edit("faults.json", replace(`"inject": 3`, `"inject": "x"`)), true, ErrSyntax, "faults.json:"},
		{"operation id twice", edit("ops.jsonl", replace(`"id":2`, `"id":1`)), true, ErrSyntax, "ops.jsonl:2: not a record: operation 1: its id is already on line 1"},
		{"unknown with an end", edit("ops.jsonl", replace(`"end":-1`, `"end":7`)), true, ErrSyntax, "operation 2"},
		{"ok without a reply", edit("ops.jsonl", replace(`,"reply":{"code":"OK","index":3,"offset":0,"node":""}`, "")), true, ErrSyntax, "operation 1"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := saved(t)
			c.damage(t, dir)
			if c.reseal {
				if err := Reseal(dir); err != nil {
					t.Fatal(err)
				}
			}
			run, err := Load(dir)
			if err == nil {
				t.Fatalf("Load took it: %+v", run)
			}
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("error %q; want one of %q that says %q", err, c.want, c.text)
			}
		})
	}
}

func TestVerdictIsOutsideTheSeal(t *testing.T) {
	dir := saved(t)
	want := Combine([]CheckResult{{Name: "a", Verdict: Valid, FirstBadOp: -1}, {Name: "b", Verdict: Invalid, FirstBadOp: 4}})
	if err := WriteVerdict(dir, want); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadVerdict(dir); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("ReadVerdict = %+v, %v; want %+v", got, err, want)
	}
	if _, err := Load(dir); err != nil {
		t.Errorf("a verdict broke the seal: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, VerdictFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadVerdict(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("ReadVerdict without a file: %v", err)
	}
}

func TestCombine(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", Unknown}, {"valid", Valid}, {"valid unknown", Unknown}, {"void unknown", Void}, {"unknown void valid", Void},
		{"void invalid", Invalid}, {"invalid void", Invalid}, {"invalid unknown", Invalid}, {"valid nonsense", Unknown}, {"nonsense", Unknown},
	} {
		var checks []CheckResult
		for _, v := range strings.Fields(c.in) {
			checks = append(checks, CheckResult{Verdict: v})
		}
		if got := Combine(checks).Verdict; got != c.want {
			t.Errorf("Combine(%s) = %s, want %s", c.in, got, c.want)
		}
	}
}

func TestWriterDuties(t *testing.T) {
	dir := t.TempDir()
	w, err := Create(dir, Manifest{ID: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Create(dir, Manifest{}); err == nil {
		t.Error("Create wrote over a run")
	}
	for _, name := range []string{"", "..", ".x", "a/b", "ä"} {
		if err := w.Applied(name); err == nil {
			t.Errorf("node name %q was taken", name)
		}
	}
	if err := w.Ops(sample().Ops[0]); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir); !errors.Is(err, ErrUnsealed) {
		t.Errorf("Load of an unfinished run: %v", err)
	}
	if w, err = Open(dir); err != nil {
		t.Fatal(err)
	}
	if err := w.Ops(sample().Ops[1]); err != nil {
		t.Fatal(err)
	}
	if err := w.Seal(); err != nil {
		t.Fatal(err)
	}
	if err := w.Ops(sample().Ops[1]); err == nil {
		t.Error("a sealed run took a record")
	}
	if _, err := Open(dir); err == nil {
		t.Error("Open took a sealed run")
	}
	if run, err := Load(dir); err != nil || len(run.Ops) != 2 {
		t.Errorf("Load = %+v, %v", run, err)
	}
}

func TestDurationText(t *testing.T) {
	var p Plan
	if err := toml.Unmarshal([]byte("duration = '2m3s'\nfault_at = '150ms'"), &p); err != nil {
		t.Fatal(err)
	}
	if p.Duration != Duration(123*time.Second) || p.FaultAt.String() != "150ms" {
		t.Errorf("from TOML: %+v", p)
	}
	data, err := json.Marshal(p)
	if err != nil || !strings.Contains(string(data), `"duration":"2m3s"`) {
		t.Errorf("to JSON: %s, %v", data, err)
	}
	for _, bad := range []string{"5", "-1s", "soon", ""} {
		var d Duration
		if err := d.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q was read as %v", bad, d)
		}
	}
}

// FuzzDecode feeds any bytes to the decoders of a run: they give an error or
// records that encode and decode to the same again, and never panic.
func FuzzDecode(f *testing.F) {
	f.Add("ops.jsonl", []byte(`{"id":1,"client":"c","seq":1,"thread":0,"kind":"stat","due":0,"start":0,"end":-1,"outcome":"unknown","phase":"run"}`+"\n"))
	f.Add("applied/m1.jsonl", []byte(`{"run":0,"index":3,"offset":0,"term":1,"command":"AQ==","reply":"","hash":"a","at":1}`+"\n"))
	f.Add("chunks/c.jsonl", []byte("{}\n\n"))
	f.Add("leases/c.jsonl", []byte(`{"at":1`))
	f.Add("faults.json", []byte(`[{"name":"x"}]`))
	f.Add("nothing", []byte("null\n"))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		files := map[string][]byte{ManifestFile: []byte(`{"format":1}`), FaultsFile: []byte("[]"), CountersFile: []byte("{}"), OpsFile: nil}
		files[name] = data
		run, err := decodeRun("", files)
		if err != nil {
			return
		}
		dir := filepath.Join(t.TempDir(), "run")
		for node := range run.Applied {
			if _, err := nodeFile("x", node); err != nil {
				return // such a name is never written
			}
		}
		for _, m := range []int{len(run.Chunks), len(run.Leases)} {
			if m > 0 {
				return
			}
		}
		if err := Save(dir, run); err != nil {
			t.Fatalf("a run that was read cannot be written: %v", err)
		}
		if _, err := Load(dir); err != nil {
			t.Fatalf("a run that was written cannot be read: %v", err)
		}
	})
}
