package network

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"

	"module-controller/e2e/process"
)

// Enter has the rest of this program run in a network of its own. Outside of it Enter calls
// prepare, starts the program again, and exits with its code. Inside it returns nil.
func Enter(prepare func(context.Context) error) error {
	if inside() {
		return setUp()
	}
	if err := prepare(context.Background()); err != nil {
		return err
	}
	code, err := again()
	if err != nil {
		return err
	}
	os.Exit(code)
	return nil
}

// needs is what a machine must permit.
const needs = "these tests need the capability CAP_SYS_ADMIN (docker run --cap-add SYS_ADMIN), or user namespaces for everybody " +
	"(sysctl user.max_user_namespaces above 0, and kernel.apparmor_restrict_unprivileged_userns=0 where there is AppArmor)"

// again runs this program with its arguments in a new network namespace, and gives its exit
// code. Who may not make one makes it in a user namespace of his own, in which he is root.
func again() (code int, err error) {
	alone := &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	asRoot := &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWNET | unix.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	p, err := start(alone)
	if errors.Is(err, fs.ErrPermission) {
		p, err = start(asRoot)
	}
	if err != nil {
		return 0, fmt.Errorf("make a network namespace: %w; %s", err, needs)
	}
	var exit *exec.ExitError
	if err := p.Err(); errors.As(err, &exit) && exit.Exited() {
		return exit.ExitCode(), nil
	} else if err != nil {
		return 0, fmt.Errorf("run the tests in a network namespace: %w", err)
	}
	return 0, nil
}

func start(attributes *syscall.SysProcAttr) (*process.Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideVariable+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = attributes
	return process.Start(cmd, "")
}

// setUp brings the loopback interface up, which has 127.0.0.1 then, and gives it Address.
func setUp() error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("set up the network: %w", err)
	}
	defer func() { _ = unix.Close(socket) }()
	up, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("set up the network: %w", err)
	}
	up.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, up); err != nil {
		return fmt.Errorf("bring the loopback interface up: %w; %s", err, needs) // where AppArmor takes root's rights there
	}
	second, err := unix.NewIfreq("lo:1")
	if err == nil {
		err = second.SetInet4Addr(Address.AsSlice())
	}
	if err == nil {
		err = unix.IoctlIfreq(socket, unix.SIOCSIFADDR, second)
	}
	if err != nil {
		return fmt.Errorf("give the loopback interface %s: %w", Address, err)
	}
	return nil
}
