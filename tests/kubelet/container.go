package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"sort"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
	api "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// containerInitName is the argument with which this program becomes the first process of a container.
const containerInitName = "container-init"

// confinement is what a process of a container sees and may do. It goes to container-init as JSON.
type confinement struct {
	Root     string            // an empty folder, over which its root is mounted
	Files    map[string]string // of the image: path in the container → path on this machine, read-only
	Mounts   []*api.Mount      // of the pod's volumes
	ReadOnly bool              // the root itself
	Hostname string
	User     int64
	Group    int64
	Groups   []int // beside Group: that of the pod's volumes
	Argv     []string
	Env      []string
}

// command is the process that confines itself and then becomes argv. It shares the network and the process ids of
// this one, and ends with it.
func (c confinement) command(argv []string) *exec.Cmd {
	c.Argv = argv
	text, _ := json.Marshal(c)
	cmd := exec.Command("/proc/self/exe", containerInitName, string(text))
	cmd.Env = c.Env
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC, Setsid: true, Pdeathsig: syscall.SIGKILL,
	}
	return cmd
}

// starter is one thread that never ends and starts every process: Pdeathsig is sent when the *thread* ends that started
// a process, and Go ends threads as it likes.
var starter = func() chan<- func() {
	work := make(chan func())
	go func() {
		goruntime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
}()

func onStarter(f func() error) error {
	result := make(chan error)
	starter <- func() { result <- f() }
	return <-result
}

// containerInit makes the root of a container, gives up every right and becomes the container's process. It never
// returns.
func containerInit(text string) {
	fail := func(what string, err error) {
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %s: %v\n", containerInitName, what, err)
			os.Exit(125)
		}
	}
	var c confinement
	fail("spec", json.Unmarshal([]byte(text), &c))
	fail("private mounts", unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	fail("root", unix.Mount("tmpfs", c.Root, "tmpfs", 0, "mode=755"))
	for _, special := range []string{"/dev", "/proc", "/sys"} {
		fail(special, bind(special, filepath.Join(c.Root, special), false))
	}
	fail("/tmp", os.MkdirAll(filepath.Join(c.Root, "tmp"), 0o1777))
	paths := make([]string, 0, len(c.Files))
	for path := range c.Files {
		paths = append(paths, path)
	}
	// A folder comes before what lies in it.
	sort.Strings(paths)
	for _, path := range paths {
		fail(path, bind(c.Files[path], filepath.Join(c.Root, path), true))
	}
	for _, m := range c.Mounts {
		fail(m.ContainerPath, bind(m.HostPath, filepath.Join(c.Root, m.ContainerPath), m.Readonly))
	}
	if c.ReadOnly {
		fail("read-only root", unix.Mount("", c.Root, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""))
	}
	fail("chroot", unix.Chroot(c.Root))
	fail("chdir", unix.Chdir("/"))
	fail("hostname", unix.Sethostname([]byte(c.Hostname)))
	fail("groups", syscall.Setgroups(c.Groups))
	fail("group", syscall.Setgid(int(c.Group)))
	fail("user", syscall.Setuid(int(c.User)))
	fail("no_new_privs", unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
	// The program is looked up by the path of the container.
	for _, e := range c.Env {
		if path, ok := strings.CutPrefix(e, "PATH="); ok {
			os.Setenv("PATH", path)
		}
	}
	program, err := exec.LookPath(c.Argv[0])
	fail("exec", err)
	fail("exec", unix.Exec(program, c.Argv, c.Env))
}

func bind(from, to string, readOnly bool) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if info.IsDir() {
		err = os.MkdirAll(to, 0o755)
	} else if err = os.MkdirAll(filepath.Dir(to), 0o755); err == nil {
		var file *os.File
		if file, err = os.OpenFile(to, os.O_CREATE, 0o644); err == nil {
			err = file.Close()
		}
	}
	if err != nil {
		return err
	}
	if err := unix.Mount(from, to, "", unix.MS_BIND|unix.MS_REC, ""); err != nil || !readOnly {
		return err
	}
	return unix.Mount("", to, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
}
