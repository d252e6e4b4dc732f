package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"sync"
	"syscall"
	"time"

	cri "k8s.io/cri-api/pkg/apis"
	api "k8s.io/cri-api/pkg/apis/runtime/v1"
	remote "k8s.io/cri-client/pkg"
	utilexec "k8s.io/utils/exec"
)

// Image stands for a container image.
type Image struct {
	Entrypoint []string `json:"entrypoint"`
	Cmd        []string `json:"cmd"`
	User       int64    `json:"user"`
	Env        []string `json:"env"`
	// Path in the container → path on this machine of a file or folder, read-only.
	Files map[string]string `json:"files"`
}

// Processes is a container runtime (CRI) whose containers are processes with a root, a user and mounts of their own, in
// the network of this process: the pod's IP is 127.0.0.1.
type Processes struct {
	// Kubelet asks nothing else of it here; what it did would panic.
	cri.RuntimeService
	root   string
	images map[string]Image

	lock       sync.Mutex
	last       int
	sandboxes  map[string]*sandbox
	containers map[string]*container
}

type sandbox struct {
	id      string
	config  *api.PodSandboxConfig
	created int64
	ready   bool
}

type container struct {
	id       string
	sandbox  *sandbox
	config   *api.ContainerConfig
	confined confinement
	created  int64
	started  int64
	finished int64
	code     int32
	reason   string
	state    api.ContainerState
	process  *os.Process
	done     chan struct{}
}

func newProcesses(root string, images map[string]Image) *Processes {
	must(os.MkdirAll(root, 0o755))
	return &Processes{root: root, images: images, sandboxes: map[string]*sandbox{}, containers: map[string]*container{}}
}

func (p *Processes) end() {
	p.lock.Lock()
	defer p.lock.Unlock()
	for _, c := range p.containers {
		if c.process != nil {
			c.process.Kill()
		}
	}
}

func (p *Processes) id() string {
	p.last++
	return fmt.Sprintf("%064x", p.last)
}

func (p *Processes) Version(context.Context, string) (*api.VersionResponse, error) {
	return &api.VersionResponse{Version: "0.1.0", RuntimeName: "processes", RuntimeVersion: "1.0.0", RuntimeApiVersion: "v1"}, nil
}

func (p *Processes) Status(context.Context, bool) (*api.StatusResponse, error) {
	return &api.StatusResponse{Status: &api.RuntimeStatus{Conditions: []*api.RuntimeCondition{
		{Type: api.RuntimeReady, Status: true}, {Type: api.NetworkReady, Status: true},
	}}}, nil
}

func (p *Processes) UpdateRuntimeConfig(context.Context, *api.RuntimeConfig) error { return nil }
func (p *Processes) RuntimeConfig(context.Context) (*api.RuntimeConfigResponse, error) {
	return &api.RuntimeConfigResponse{}, nil
}
func (p *Processes) Close(context.Context) error { return nil }

// Pods.

func (p *Processes) RunPodSandbox(_ context.Context, config *api.PodSandboxConfig, _ string) (string, error) {
	p.lock.Lock()
	defer p.lock.Unlock()
	s := &sandbox{id: p.id(), config: config, created: time.Now().UnixNano(), ready: true}
	p.sandboxes[s.id] = s
	return s.id, os.MkdirAll(config.LogDirectory, 0o755)
}

func (p *Processes) StopPodSandbox(ctx context.Context, id string) error {
	p.lock.Lock()
	var own []string
	for _, c := range p.containers {
		if c.sandbox.id == id && c.state == api.ContainerState_CONTAINER_RUNNING {
			own = append(own, c.id)
		}
	}
	if s := p.sandboxes[id]; s != nil {
		s.ready = false
	}
	p.lock.Unlock()
	for _, c := range own {
		p.StopContainer(ctx, c, 0)
	}
	return nil
}

func (p *Processes) RemovePodSandbox(ctx context.Context, id string) error {
	p.StopPodSandbox(ctx, id)
	p.lock.Lock()
	defer p.lock.Unlock()
	for key, c := range p.containers {
		if c.sandbox.id == id {
			delete(p.containers, key)
		}
	}
	delete(p.sandboxes, id)
	return nil
}

func (s *sandbox) state() api.PodSandboxState {
	if s.ready {
		return api.PodSandboxState_SANDBOX_READY
	}
	return api.PodSandboxState_SANDBOX_NOTREADY
}

func (p *Processes) PodSandboxStatus(_ context.Context, id string, _ bool) (*api.PodSandboxStatusResponse, error) {
	p.lock.Lock()
	defer p.lock.Unlock()
	s := p.sandboxes[id]
	if s == nil {
		return nil, fmt.Errorf("no sandbox %s", id)
	}
	return &api.PodSandboxStatusResponse{Status: &api.PodSandboxStatus{
		Id: s.id, Metadata: s.config.Metadata, State: s.state(), CreatedAt: s.created,
		Network: &api.PodSandboxNetworkStatus{Ip: "127.0.0.1"},
		Linux:   &api.LinuxPodSandboxStatus{Namespaces: &api.Namespace{Options: &api.NamespaceOption{}}},
		Labels:  s.config.Labels, Annotations: s.config.Annotations,
	}}, nil
}

func chosen(labels, wanted map[string]string) bool {
	for k, v := range wanted {
		if labels[k] != v {
			return false
		}
	}
	return true
}

func (p *Processes) ListPodSandbox(_ context.Context, filter *api.PodSandboxFilter) (list []*api.PodSandbox, _ error) {
	p.lock.Lock()
	defer p.lock.Unlock()
	for _, s := range p.sandboxes {
		if filter != nil && (filter.Id != "" && filter.Id != s.id || filter.State != nil && filter.State.State != s.state() ||
			!chosen(s.config.Labels, filter.LabelSelector)) {
			continue
		}
		list = append(list, &api.PodSandbox{Id: s.id, Metadata: s.config.Metadata, State: s.state(), CreatedAt: s.created,
			Labels: s.config.Labels, Annotations: s.config.Annotations})
	}
	sort.Slice(list, func(a, b int) bool { return list[a].CreatedAt > list[b].CreatedAt })
	return list, nil
}

// Containers.

func (p *Processes) CreateContainer(_ context.Context, pod string, config *api.ContainerConfig, _ *api.PodSandboxConfig) (string, error) {
	p.lock.Lock()
	defer p.lock.Unlock()
	s, image := p.sandboxes[pod], p.images[config.Image.Image]
	if s == nil {
		return "", fmt.Errorf("no sandbox %s", pod)
	}
	id := p.id()
	argv := append([]string{}, image.Entrypoint...)
	if len(config.Command) > 0 {
		argv = append([]string{}, config.Command...)
	}
	if len(config.Args) > 0 {
		argv = append(argv, config.Args...)
	} else if len(config.Command) == 0 {
		argv = append(argv, image.Cmd...)
	}
	env := append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, image.Env...)
	for _, e := range config.Envs {
		env = append(env, e.Key+"="+string(e.Value))
	}
	user, group, readOnly := image.User, image.User, false
	var groups []int
	if sc := config.GetLinux().GetSecurityContext(); sc != nil {
		if sc.RunAsUser != nil {
			user, group = sc.RunAsUser.Value, sc.RunAsUser.Value
		}
		if sc.RunAsGroup != nil {
			group = sc.RunAsGroup.Value
		}
		readOnly = sc.ReadonlyRootfs
		for _, id := range sc.SupplementalGroups {
			groups = append(groups, int(id))
		}
	}
	root := filepath.Join(p.root, id[56:])
	if err := os.MkdirAll(root, 0o755); err != nil {
		return "", err
	}
	p.containers[id] = &container{id: id, sandbox: s, config: config, created: time.Now().UnixNano(), done: make(chan struct{}),
		confined: confinement{Root: root, Files: image.Files, Mounts: config.Mounts, ReadOnly: readOnly,
			Hostname: s.config.Hostname, User: user, Group: group, Groups: groups, Argv: argv, Env: env}}
	return id, nil
}

func (c *container) logPath() string {
	return filepath.Join(c.sandbox.config.LogDirectory, c.config.LogPath)
}

func (p *Processes) StartContainer(_ context.Context, id string) error {
	p.lock.Lock()
	defer p.lock.Unlock()
	c := p.containers[id]
	if c == nil {
		return fmt.Errorf("no container %s", id)
	}
	if err := os.MkdirAll(filepath.Dir(c.logPath()), 0o755); err != nil {
		return err
	}
	log, err := os.Create(c.logPath())
	if err != nil {
		return err
	}
	cmd := c.confined.command(c.confined.Argv)
	cmd.Stdout, cmd.Stderr = log, log
	if err := onStarter(cmd.Start); err != nil {
		return err
	}
	c.process, c.started, c.state = cmd.Process, time.Now().UnixNano(), api.ContainerState_CONTAINER_RUNNING
	report(map[string]any{"runtime": "started", "container": c.config.Metadata.Name, "pid": cmd.Process.Pid, "log": log.Name()})
	go func() {
		cmd.Wait()
		log.Close()
		p.lock.Lock()
		defer p.lock.Unlock()
		c.finished, c.state, c.reason = time.Now().UnixNano(), api.ContainerState_CONTAINER_EXITED, "Completed"
		status := cmd.ProcessState.Sys().(syscall.WaitStatus)
		c.code = int32(status.ExitStatus())
		if status.Signaled() {
			c.code = 128 + int32(status.Signal())
		}
		if c.code != 0 {
			c.reason = "Error"
		}
		report(map[string]any{"runtime": "ended", "container": c.config.Metadata.Name, "code": c.code})
		close(c.done)
	}()
	return nil
}

func (p *Processes) StopContainer(_ context.Context, id string, seconds int64) error {
	p.lock.Lock()
	c := p.containers[id]
	p.lock.Unlock()
	if c == nil || c.process == nil {
		return nil
	}
	report(map[string]any{"runtime": "stop", "container": c.config.Metadata.Name, "grace": seconds})
	if seconds > 0 {
		c.process.Signal(syscall.SIGTERM)
		select {
		case <-c.done:
			return nil
		case <-time.After(time.Duration(seconds) * time.Second):
		}
	}
	syscall.Kill(-c.process.Pid, syscall.SIGKILL)
	<-c.done
	return nil
}

func (p *Processes) RemoveContainer(ctx context.Context, id string) error {
	p.StopContainer(ctx, id, 0)
	p.lock.Lock()
	defer p.lock.Unlock()
	delete(p.containers, id)
	return nil
}

func (p *Processes) ListContainers(_ context.Context, filter *api.ContainerFilter) (list []*api.Container, _ error) {
	p.lock.Lock()
	defer p.lock.Unlock()
	for _, c := range p.containers {
		if filter != nil && (filter.Id != "" && filter.Id != c.id || filter.PodSandboxId != "" && filter.PodSandboxId != c.sandbox.id ||
			filter.State != nil && filter.State.State != c.state || !chosen(c.config.Labels, filter.LabelSelector)) {
			continue
		}
		list = append(list, &api.Container{Id: c.id, PodSandboxId: c.sandbox.id, Metadata: c.config.Metadata, Image: c.config.Image,
			ImageRef: c.config.Image.Image, ImageId: c.config.Image.Image, State: c.state, CreatedAt: c.created,
			Labels: c.config.Labels, Annotations: c.config.Annotations})
	}
	return list, nil
}

func (p *Processes) ContainerStatus(_ context.Context, id string, _ bool) (*api.ContainerStatusResponse, error) {
	p.lock.Lock()
	defer p.lock.Unlock()
	c := p.containers[id]
	if c == nil {
		return nil, fmt.Errorf("no container %s", id)
	}
	return &api.ContainerStatusResponse{Status: &api.ContainerStatus{Id: c.id, Metadata: c.config.Metadata, State: c.state,
		CreatedAt: c.created, StartedAt: c.started, FinishedAt: c.finished, ExitCode: c.code,
		Image: c.config.Image, ImageRef: c.config.Image.Image, ImageId: c.config.Image.Image,
		Reason: c.reason, Labels: c.config.Labels, Annotations: c.config.Annotations, Mounts: c.config.Mounts,
		LogPath: c.logPath()}}, nil
}

func (p *Processes) ReopenContainerLog(context.Context, string) error { return nil }
func (p *Processes) UpdateContainerResources(context.Context, string, *api.ContainerResources) error {
	return nil
}

func (p *Processes) ExecSync(_ context.Context, id string, argv []string, timeout time.Duration) ([]byte, []byte, error) {
	p.lock.Lock()
	c := p.containers[id]
	p.lock.Unlock()
	if c == nil || c.process == nil {
		return nil, nil, fmt.Errorf("no container %s", id)
	}
	var stdout, stderr bytes.Buffer
	cmd := c.confined.command(argv)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	began := time.Now()
	if err := onStarter(cmd.Start); err != nil {
		return nil, nil, err
	}
	if timeout > 0 {
		timer := time.AfterFunc(timeout, func() { cmd.Process.Kill() })
		defer timer.Stop()
	}
	err := cmd.Wait()
	timedOut := timeout > 0 && time.Since(began) >= timeout
	report(map[string]any{"runtime": "exec", "container": c.config.Metadata.Name, "argv": argv, "seconds": time.Since(began).Seconds(),
		"code": cmd.ProcessState.ExitCode(), "output": stdout.String() + stderr.String()})
	var exit *exec.ExitError
	if timedOut {
		// The words by which kubelet tells a probe that took too long.
		err = fmt.Errorf("%w: %q timed out after %s", remote.ErrCommandTimedOut, argv, timeout)
	} else if errors.As(err, &exit) {
		err = utilexec.CodeExitError{Err: err, Code: exit.ExitCode()}
	}
	return stdout.Bytes(), stderr.Bytes(), err
}

// What nobody here looks at.

func (p *Processes) ContainerStats(context.Context, string) (*api.ContainerStats, error) {
	return nil, errors.New("no stats")
}
func (p *Processes) ListContainerStats(context.Context, *api.ContainerStatsFilter) ([]*api.ContainerStats, error) {
	return nil, nil
}
func (p *Processes) PodSandboxStats(context.Context, string) (*api.PodSandboxStats, error) {
	return nil, errors.New("no stats")
}
func (p *Processes) ListPodSandboxStats(context.Context, *api.PodSandboxStatsFilter) ([]*api.PodSandboxStats, error) {
	return nil, nil
}

// Images are there already.

func (p *Processes) ListImages(context.Context, *api.ImageFilter) (list []*api.Image, _ error) {
	for name, i := range p.images {
		list = append(list, &api.Image{Id: name, RepoTags: []string{name}, Size: 1, Uid: &api.Int64Value{Value: i.User},
			Spec: &api.ImageSpec{Image: name}})
	}
	return list, nil
}
func (p *Processes) ImageStatus(_ context.Context, image *api.ImageSpec, _ bool) (*api.ImageStatusResponse, error) {
	i, ok := p.images[image.Image]
	if !ok {
		return &api.ImageStatusResponse{}, nil
	}
	return &api.ImageStatusResponse{Image: &api.Image{Id: image.Image, RepoTags: []string{image.Image}, Size: 1,
		Uid: &api.Int64Value{Value: i.User}, Spec: image}}, nil
}
func (p *Processes) PullImage(_ context.Context, image *api.ImageSpec, _ *api.AuthConfig, _ *api.PodSandboxConfig) (string, error) {
	if _, ok := p.images[image.Image]; !ok {
		return "", fmt.Errorf("no image %s: name it in -images", image.Image)
	}
	return image.Image, nil
}
func (p *Processes) RemoveImage(context.Context, *api.ImageSpec) error { return nil }
func (p *Processes) ImageFsInfo(context.Context) (*api.ImageFsInfoResponse, error) {
	return &api.ImageFsInfoResponse{ImageFilesystems: []*api.FilesystemUsage{{Timestamp: time.Now().UnixNano(),
		FsId: &api.FilesystemIdentifier{Mountpoint: p.root}, UsedBytes: &api.UInt64Value{}, InodesUsed: &api.UInt64Value{}}}}, nil
}
