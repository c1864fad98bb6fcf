package scaffold

import (
	"errors"
	"regexp"
	"strings"

	"rrhost"
)

var python = Language{
	Name: "python", Title: "Python",
	Next: func(string) []string {
		return []string{pipInstall, "PYTHONPATH=" + sdkFolder + ":vendor python3 -B -m unittest"}
	},
	Updated: pipInstall,
	mark:    "pyproject.toml",
	sdk:     pythonSDK,
}

// pipInstall brings the libraries of requirements.txt into the folder: what runs is
// a copy of it. Its files are made to be valid in a copy too.
const pipInstall = "SOURCE_DATE_EPOCH=0 python3 -m pip install --quiet --upgrade --target vendor -r requirements.txt"

// pythonAbout is what the templates are to know.
type pythonAbout struct {
	Requires []string // what the SDK imports, for pip
	Install  string
}

func pythonSDK() (files map[string][]byte, about any, err error) {
	if files, err = tree("sdk/python"); err != nil {
		return nil, nil, err
	}
	project, err := rrhost.SDK.ReadFile("sdk/python/pyproject.toml")
	if err != nil {
		return nil, nil, err
	}
	list := regexp.MustCompile(`(?m)^dependencies = \[(.*)\]$`).FindSubmatch(project)
	if list == nil {
		return nil, nil, errors.New("pyproject.toml of the SDK has no line of dependencies")
	}
	a := pythonAbout{Install: pipInstall}
	for one := range strings.SplitSeq(string(list[1]), ",") {
		a.Requires = append(a.Requires, strings.Trim(one, ` "`))
	}
	return files, a, nil
}
