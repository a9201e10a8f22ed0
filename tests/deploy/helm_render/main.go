// helm_render renders one chart the way `helm template` does, on Helm's own template functions (sprig), for
// machines without helm:
//
//	helm_render -name rel -n default -f values.yaml -a monitoring.coreos.com/v1 helm/trainyard
//
// Objects go to standard output, NOTES.txt to standard error. lookup finds what the file of -lookup holds, as an upgrade
// would, and nothing without. It knows no subcharts and no hooks, and does not check values.schema.json. Any error ends
// it with status 1.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig"
	"sigs.k8s.io/yaml"
)

type object = map[string]interface{}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "helm_render:", err)
		os.Exit(1)
	}
}

func readObject(path string) object {
	text, err := os.ReadFile(path)
	check(err)
	value := object{}
	if err := yaml.Unmarshal(text, &value); err != nil {
		check(fmt.Errorf("%s: %v", path, err))
	}
	return value
}

// Values over defaults as Helm does it: maps key by key, null removes.
func merge(defaults, over object) object {
	for key, value := range over {
		if value == nil {
			delete(defaults, key)
			continue
		}
		overMap, overIsMap := value.(object)
		oldMap, oldIsMap := defaults[key].(object)
		if overIsMap && oldIsMap {
			defaults[key] = merge(oldMap, overMap)
		} else {
			defaults[key] = value
		}
	}
	return defaults
}

// .Files: what a chart may read of itself.
type files struct{ root string }

func (f files) Get(name string) string {
	text, _ := os.ReadFile(filepath.Join(f.root, name))
	return string(text)
}

func (f files) Glob(pattern string) map[string][]byte {
	found := map[string][]byte{}
	paths, err := filepath.Glob(filepath.Join(f.root, pattern))
	check(err)
	for _, path := range paths {
		name, err := filepath.Rel(f.root, path)
		check(err)
		found[name] = []byte(f.Get(name))
	}
	return found
}

type apiVersions []string

func (a apiVersions) Has(name string) bool {
	for _, version := range a {
		if version == name {
			return true
		}
	}
	return false
}

func toYAML(value interface{}) string {
	text, err := yaml.Marshal(value)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(string(text), "\n")
}

// Finds an object of a stream of YAML documents, an empty one where there is none.
func lookupIn(path string) func(version, kind, namespace, name string) object {
	var there []object
	if path != "" {
		text, err := os.ReadFile(path)
		check(err)
		for _, document := range strings.Split("\n"+string(text), "\n---") {
			one := object{}
			check(yaml.Unmarshal([]byte(document), &one))
			there = append(there, one)
		}
	}
	return func(version, kind, namespace, name string) object {
		for _, one := range there {
			metadata, _ := one["metadata"].(object)
			if one["apiVersion"] == version && one["kind"] == kind && metadata["namespace"] == namespace && metadata["name"] == name {
				return one
			}
		}
		return object{}
	}
}

// What Helm adds to sprig, or has in its own way.
func functions(all *template.Template, lookup interface{}) template.FuncMap {
	known := sprig.TxtFuncMap()
	delete(known, "env")
	delete(known, "expandenv")
	known["toYaml"] = toYAML
	known["fromYaml"] = func(text string) object {
		value := object{}
		if err := yaml.Unmarshal([]byte(text), &value); err != nil {
			value["Error"] = err.Error()
		}
		return value
	}
	known["fromJson"] = func(text string) object {
		value := object{}
		if err := json.Unmarshal([]byte(text), &value); err != nil {
			value["Error"] = err.Error()
		}
		return value
	}
	known["fromJsonArray"] = func(text string) []interface{} {
		value := []interface{}{}
		if err := json.Unmarshal([]byte(text), &value); err != nil {
			value = []interface{}{err.Error()}
		}
		return value
	}
	known["required"] = func(message string, value interface{}) (interface{}, error) {
		if value == nil || value == "" {
			return value, fmt.Errorf("%s", message)
		}
		return value, nil
	}
	known["lookup"] = lookup
	known["include"] = func(name string, data interface{}) (string, error) {
		var out bytes.Buffer
		err := all.ExecuteTemplate(&out, name, data)
		return out.String(), err
	}
	return known
}

type list []string

func (l *list) String() string         { return strings.Join(*l, ",") }
func (l *list) Set(value string) error { *l = append(*l, value); return nil }

func templatePaths(root string) []string {
	var paths []string
	check(filepath.Walk(filepath.Join(root, "templates"), func(path string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			paths = append(paths, path)
		}
		return err
	}))
	sort.Strings(paths)
	return paths
}

func main() {
	var valueFiles, apis list
	flag.Var(&valueFiles, "f", "values file; repeat")
	flag.Var(&apis, "a", "API version that the cluster has; repeat")
	release := flag.String("name", "rel", "name of the release")
	namespace := flag.String("n", "default", "namespace")
	there := flag.String("lookup", "", "YAML file of objects that the cluster has")
	flag.Parse()
	if flag.NArg() != 1 {
		check(fmt.Errorf("one argument is needed: the chart's folder"))
	}
	root := flag.Arg(0)

	chart := object{}
	for key, value := range readObject(filepath.Join(root, "Chart.yaml")) {
		chart[strings.ToUpper(key[:1])+key[1:]] = value
	}
	values := readObject(filepath.Join(root, "values.yaml"))
	for _, path := range valueFiles {
		values = merge(values, readObject(path))
	}

	all := template.New("chart").Option("missingkey=zero")
	all.Funcs(functions(all, lookupIn(*there)))
	paths := templatePaths(root)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		check(err)
		_, err = all.New(path).Parse(string(text))
		check(err)
	}
	for _, path := range paths {
		if strings.HasPrefix(filepath.Base(path), "_") {
			continue
		}
		var out bytes.Buffer
		check(all.ExecuteTemplate(&out, path, object{
			"Values":       values,
			"Chart":        chart,
			"Release":      object{"Name": *release, "Namespace": *namespace, "Service": "Helm", "IsInstall": true, "IsUpgrade": false, "Revision": 1},
			"Capabilities": object{"KubeVersion": object{"Version": "v1.33.0", "Major": "1", "Minor": "33"}, "APIVersions": apiVersions(apis)},
			"Files":        files{root},
			"Template":     object{"Name": path, "BasePath": filepath.Join(root, "templates")},
		}))
		text := strings.TrimSpace(strings.ReplaceAll(out.String(), "<no value>", ""))
		if filepath.Base(path) == "NOTES.txt" {
			fmt.Fprintln(os.Stderr, text)
		} else if text != "" {
			fmt.Printf("---\n# Source: %s\n%s\n", path, text)
		}
	}
}
