// Reads dashboards as Grafana's own types say, strictly: each field of each panel must be one that there is, of its type, and
// none that is required may be missing.
//
// usage: strict FILE...
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/grafana/grafana-foundation-sdk/go/bargauge"
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/heatmap"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/statetimeline"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// The kinds of panels that are used; of another kind the options would be taken as they are.
var kinds = map[string]bool{"row": true, "bargauge": true, "heatmap": true, "stat": true, "state-timeline": true, "table": true, "timeseries": true}

func main() {
	runtime := cog.NewRuntime()
	runtime.RegisterPanelcfgVariant(bargauge.VariantConfig())
	runtime.RegisterPanelcfgVariant(heatmap.VariantConfig())
	runtime.RegisterPanelcfgVariant(stat.VariantConfig())
	runtime.RegisterPanelcfgVariant(statetimeline.VariantConfig())
	runtime.RegisterPanelcfgVariant(table.VariantConfig())
	runtime.RegisterPanelcfgVariant(timeseries.VariantConfig())
	runtime.RegisterDataqueryVariant(prometheus.VariantConfig())
	failed := false
	for _, path := range os.Args[1:] {
		panels, err := check(path)
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", path, err)
			failed = true
			continue
		}
		fmt.Printf("%s: %d panels, each field as Grafana's types have it\n", path, panels)
	}
	if failed {
		os.Exit(1)
	}
}

func check(path string) (int, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	var whole dashboard.Dashboard
	// A list of errors that is empty is an error too, in Go.
	if err := whole.UnmarshalJSONStrict(text); err != nil && err.Error() != "" {
		return 0, err
	}
	// The kinds are read apart: the types above keep none of what they have looked at.
	var panels struct{ Panels []struct{ Type string } }
	if err := json.Unmarshal(text, &panels); err != nil {
		return 0, err
	}
	for _, panel := range panels.Panels {
		if !kinds[panel.Type] {
			return 0, fmt.Errorf("panels of the kind %s are not looked at", panel.Type)
		}
	}
	return len(panels.Panels), nil
}
