package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"
)

var output sync.Mutex

// report prints one line on standard output, with the time in Unix seconds.
func report(what map[string]any) {
	what["at"] = float64(time.Now().UnixMilli()) / 1000
	line, _ := json.Marshal(what)
	output.Lock()
	defer output.Unlock()
	fmt.Println(string(line))
}

// recorder reports what kubelet would have sent to the API server as an Event.
type recorder struct{}

var _ record.EventRecorderLogger = recorder{}

func (recorder) Event(object runtime.Object, kind, reason, message string) {
	event := map[string]any{"event": reason, "type": kind, "message": message}
	if ref, ok := object.(*v1.ObjectReference); ok {
		if ref.Kind == "Node" {
			return
		}
		event["object"], event["field"] = ref.Kind+"/"+ref.Name, ref.FieldPath
	}
	report(event)
}

func (r recorder) Eventf(object runtime.Object, kind, reason, message string, args ...any) {
	r.Event(object, kind, reason, fmt.Sprintf(message, args...))
}

func (r recorder) AnnotatedEventf(object runtime.Object, _ map[string]string, kind, reason, message string, args ...any) {
	r.Eventf(object, kind, reason, message, args...)
}

func (r recorder) WithLogger(klog.Logger) record.EventRecorderLogger { return r }

// watchPods reports the pods as kubelet's own read-only port tells them, whenever they change.
func watchPods(ctx context.Context, port int) {
	last := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(50 * time.Millisecond):
		}
		pods, err := askPods(port)
		if err != nil {
			continue
		}
		now := summary(pods)
		if line, _ := json.Marshal(now); string(line) != last {
			last = string(line)
			report(map[string]any{"pods": now})
		}
	}
}

func askPods(port int) (list v1.PodList, err error) {
	answer, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/pods", port))
	if err != nil {
		return list, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return list, err
	}
	return list, json.Unmarshal(text, &list)
}

func summary(list v1.PodList) map[string]any {
	pods := map[string]any{}
	for _, pod := range list.Items {
		containers := map[string]any{}
		for _, c := range append(append([]v1.ContainerStatus{}, pod.Status.InitContainerStatuses...), pod.Status.ContainerStatuses...) {
			containers[c.Name] = map[string]any{
				"state": stateOf(c.State), "ready": c.Ready, "started": c.Started != nil && *c.Started, "restarts": c.RestartCount,
			}
		}
		ready := false
		for _, c := range pod.Status.Conditions {
			ready = ready || c.Type == v1.PodReady && c.Status == v1.ConditionTrue
		}
		pods[pod.Name] = map[string]any{"phase": pod.Status.Phase, "ready": ready, "containers": containers}
	}
	return pods
}

func stateOf(state v1.ContainerState) string {
	switch {
	case state.Running != nil:
		return "running"
	case state.Terminated != nil:
		return fmt.Sprintf("terminated: %s (%d)", state.Terminated.Reason, state.Terminated.ExitCode)
	case state.Waiting != nil && state.Waiting.Reason != "":
		return "waiting: " + state.Waiting.Reason
	}
	return "waiting"
}
