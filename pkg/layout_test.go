package pkg

import (
	"bufio"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/cloudless-fleet/cloudless"

// maxLines is the size from which a file is asked what it really is.
const maxLines = 500

// floors reads the table of doc.go: package name to floor.
func floors(t *testing.T) map[string]int {
	t.Helper()
	file, err := os.Open("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	table := map[string]int{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		row, isRow := strings.CutPrefix(lines.Text(), "//\t")
		fields := strings.Fields(row)
		if !isRow || len(fields) < 3 {
			continue
		}
		if floor, err := strconv.Atoi(fields[0]); err == nil {
			table[fields[1]] = floor
		}
	}
	if len(table) < 5 {
		t.Fatalf("doc.go: found %d rows in the table of floors", len(table))
	}
	return table
}

// source is one Go file of this folder, parsed.
type source struct {
	path string // relative to pkg
	file *ast.File
	set  *token.FileSet
}

func (s source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

// owner is the top-level package the file belongs to: "api" for api/query/x.go.
func (s source) owner() string { return strings.Split(filepath.ToSlash(s.path), "/")[0] }

// testOnly reports packages that exist for tests of others: frametest and the like.
func (s source) testOnly() bool { return strings.HasSuffix(filepath.Dir(s.path), "test") }

func (s source) imports() []string {
	paths := make([]string, len(s.file.Imports))
	for i, spec := range s.file.Imports {
		paths[i], _ = strconv.Unquote(spec.Path.Value)
	}
	return paths
}

func sources(t *testing.T) []source {
	t.Helper()
	var found []source
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && entry.Name() == "testdata" {
			return filepath.SkipDir
		}
		if entry.IsDir() || !strings.HasSuffix(path, ".go") || filepath.Dir(path) == "." {
			return nil
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		found = append(found, source{path, file, set})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestPackagesImportLowerFloorsOnly(t *testing.T) {
	table := floors(t)
	for _, s := range sources(t) {
		from, known := table[s.owner()]
		if !known {
			t.Errorf("%s: package %s has no row in pkg/doc.go", s.path, s.owner())
			continue
		}
		for _, path := range s.imports() {
			target, ours := strings.CutPrefix(path, module+"/pkg/")
			if !ours {
				continue
			}
			name := strings.Split(target, "/")[0]
			if name == s.owner() || name == "model" {
				continue
			}
			if s.isTest() && strings.HasSuffix(target, "test") {
				continue // test helpers of other packages serve every floor's tests
			}
			if to, known := table[name]; !known || to >= from {
				t.Errorf("%s: %s (floor %d) imports %s (floor %d)", s.path, s.owner(), from, name, to)
			}
		}
	}
}

func TestTheGroundFloorIsPure(t *testing.T) {
	forbidden := []string{"os", "net", "net/http", "time/tzdata", "math/rand", "math/rand/v2", "crypto/rand", "sync", "context", "log/slog"}
	table := floors(t)
	for _, s := range sources(t) {
		if floor, known := table[s.owner()]; !known || floor != 0 || s.isTest() || s.testOnly() {
			continue
		}
		for _, path := range s.imports() {
			if slices.Contains(forbidden, path) {
				t.Errorf("%s: floor 0 does no I/O, randomness or concurrency, but imports %s", s.path, path)
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if _, isGo := n.(*ast.GoStmt); isGo {
				t.Errorf("%s: floor 0 starts a goroutine", s.set.Position(n.Pos()))
			}
			if call, isCall := n.(*ast.CallExpr); isCall && isSelector(call.Fun, "time", "Now") {
				t.Errorf("%s: floor 0 reads the clock", s.set.Position(n.Pos()))
			}
			return true
		})
	}
}

func isSelector(e ast.Expr, pkg, name string) bool {
	selector, ok := e.(*ast.SelectorExpr)
	if !ok || selector.Sel.Name != name {
		return false
	}
	ident, ok := selector.X.(*ast.Ident)
	return ok && ident.Name == pkg
}

func TestNoInitNoSubprocessNoCgoNoExit(t *testing.T) {
	for _, s := range sources(t) {
		if s.isTest() || s.testOnly() {
			continue
		}
		for _, path := range s.imports() {
			// The demo's whole purpose is to run the daemons.
			if path == "os/exec" && strings.HasPrefix(s.path, "ctl/demo/") {
				continue
			}
			if path == "os/exec" || path == "C" || path == "plugin" {
				t.Errorf("%s: imports %s", s.path, path)
			}
		}
		for _, d := range s.file.Decls {
			if f, isFunc := d.(*ast.FuncDecl); isFunc && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s: init function; build it in New and pass it in", s.set.Position(f.Pos()))
			}
		}
		if s.owner() == "daemon" {
			continue // the second signal of an impatient operator ends the process there
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if call, isCall := n.(*ast.CallExpr); isCall && isSelector(call.Fun, "os", "Exit") {
				t.Errorf("%s: os.Exit belongs to main", s.set.Position(n.Pos()))
			}
			return true
		})
	}
}

func TestEveryPackageSaysWhatItPromises(t *testing.T) {
	documented := map[string]bool{}
	for _, s := range sources(t) {
		dir := filepath.Dir(s.path)
		if s.isTest() {
			continue
		}
		documented[dir] = documented[dir] || s.file.Doc != nil
	}
	for dir, has := range documented {
		if !has {
			t.Errorf("pkg/%s: no package comment", dir)
		}
	}
}

func TestFilesStaySmall(t *testing.T) {
	for _, s := range sources(t) {
		if lines := s.set.Position(s.file.End()).Line; lines > maxLines {
			t.Errorf("%s: %d lines, more than %d: what is it really?", s.path, lines, maxLines)
		}
	}
}

func TestLeanBinariesDoNotLinkTheServerLibraries(t *testing.T) {
	heavy := []string{"github.com/prometheus/prometheus/", "google.golang.org/grpc", "k8s.io/"}
	agentToo := []string{"go.etcd.io/bbolt", "golang.org/x/crypto/argon2"} // a worker keeps no database and no people
	for _, binary := range []string{"workerd", "coordinatord", "cloudlessctl"} {
		heavy := heavy
		if binary == "workerd" {
			heavy = append(agentToo, heavy...)
		}
		out, err := exec.Command("go", "list", "-deps", module+"/cmd/"+binary).Output()
		if err != nil {
			t.Fatalf("go list -deps cmd/%s: %v", binary, err)
		}
		for dep := range strings.Lines(string(out)) {
			for _, prefix := range heavy {
				if strings.HasPrefix(dep, prefix) {
					t.Errorf("cmd/%s links %s", binary, strings.TrimSpace(dep))
				}
			}
		}
	}
}
