// A real kubelet without an API server, whose containers are plain processes of this machine.
//
// Everything that decides is Kubernetes' own code, used as a library: the pod worker, the prober, the order of native
// sidecars, hooks, grace periods, back-off, events, volumes. Ours is only what lies below the CRI, in runtime.go.
//
// It prints a JSON object a line: each event as kubelet would have sent it to the API server, each change of a pod's
// status, and what the runtime did. A manifest that leaves the folder of static pods ends its pod as `kubectl delete`
// does.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	noop "go.opentelemetry.io/otel/trace/noop"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/cmd/kubelet/app"
	"k8s.io/kubernetes/cmd/kubelet/app/options"
	"k8s.io/kubernetes/pkg/kubelet"
	cadvisortest "k8s.io/kubernetes/pkg/kubelet/cadvisor/testing"
	"k8s.io/kubernetes/pkg/kubelet/cm"
	kubeletutil "k8s.io/kubernetes/pkg/kubelet/util"
	"k8s.io/kubernetes/pkg/util/oom"
	"k8s.io/kubernetes/pkg/volume"
	"k8s.io/kubernetes/pkg/volume/emptydir"
	"k8s.io/kubernetes/pkg/volume/hostpath"
	"k8s.io/kubernetes/pkg/volume/projected"
	"k8s.io/kubernetes/pkg/volume/util/hostutil"
	"k8s.io/kubernetes/pkg/volume/util/subpath"
	"k8s.io/mount-utils"
)

const usage = `usage:
  kubelet -root DIR -pods DIR -images FILE   run the pods in the folder -pods until SIGTERM
  kubelet restricted FILE                    judge a pod (JSON) by Pod Security's level "restricted"

`

func main() {
	if len(os.Args) == 3 {
		switch os.Args[1] {
		case containerInitName:
			containerInit(os.Args[2])
		case "restricted":
			os.Exit(judgePodSecurity(os.Args[2]))
		}
	}
	root := flag.String("root", "", "where kubelet and the runtime keep their files")
	pods := flag.String("pods", "", "the folder of static pods")
	images := flag.String("images", "", "JSON: what stands for each image, see Image")
	port := flag.Int("port", 10255, "kubelet's read-only port on 127.0.0.1")
	klog.InitFlags(nil)
	flag.Usage = func() {
		fmt.Fprint(os.Stderr, usage)
		flag.PrintDefaults()
	}
	flag.Parse()
	if *root == "" || *pods == "" || *images == "" {
		flag.Usage()
		os.Exit(2)
	}
	known := map[string]Image{}
	text, err := os.ReadFile(*images)
	must(err)
	must(json.Unmarshal(text, &known))

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	processes := newProcesses(filepath.Join(*root, "processes"), known)
	defer processes.end()
	must(runKubelet(ctx, *root, *pods, *port, processes))
	watchPods(ctx, *port)
}

// runKubelet starts kubelet in the background. Off is only what needs an API server, cgroups or iptables.
func runKubelet(ctx context.Context, root, pods string, port int, processes *Processes) error {
	flags := options.NewKubeletFlags()
	flags.RootDirectory = filepath.Join(root, "kubelet")
	flags.HostnameOverride = "node"
	config, err := options.NewKubeletConfiguration()
	if err != nil {
		return err
	}
	config.Address = "127.0.0.1"
	config.ReadOnlyPort = int32(port)
	config.EnableServer = false
	config.StaticPodPath = pods
	config.FileCheckFrequency = metav1.Duration{Duration: time.Second}
	config.PodLogsDir = filepath.Join(root, "logs")
	config.CgroupsPerQOS = false
	config.EnforceNodeAllocatable = nil
	config.EvictionHard = map[string]string{}
	config.MakeIPTablesUtilChains = false
	config.ContainerRuntimeEndpoint = "unix:///nowhere"
	config.RegisterNode = false
	config.ClusterDNS = []string{"127.0.0.1"}

	var plugins []volume.VolumePlugin
	plugins = append(plugins, emptydir.ProbeVolumePlugins()...)
	plugins = append(plugins, hostpath.ProbeVolumePlugins(volume.VolumeConfig{})...)
	plugins = append(plugins, projected.ProbeVolumePlugins()...)
	return app.RunKubelet(ctx, &options.KubeletServer{KubeletFlags: *flags, KubeletConfiguration: *config}, &kubelet.Dependencies{
		RemoteRuntimeService:      processes,
		RemoteImageService:        processes,
		CAdvisorInterface:         &cadvisortest.Fake{NodeName: "node"},
		ContainerManager:          cm.NewStubContainerManager(),
		VolumePlugins:             plugins,
		OOMAdjuster:               oom.NewFakeOOMAdjuster(),
		Mounter:                   mount.NewFakeMounter(nil),
		Subpather:                 &subpath.FakeSubpath{},
		HostUtil:                  hostutil.NewHostUtil(),
		PodStartupLatencyTracker:  kubeletutil.NewPodStartupLatencyTracker(),
		NodeStartupLatencyTracker: kubeletutil.NewNodeStartupLatencyTracker(klog.Background()),
		TracerProvider:            noop.NewTracerProvider(),
		Recorder:                  recorder{},
	})
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
