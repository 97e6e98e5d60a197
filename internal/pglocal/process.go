//go:build unix

package pglocal

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// A process is a child process and its end.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed when the process has ended
	err    error         // from Wait; to be read after exited
}

// launch starts cmd from a thread that lives as long as the process does.
//
// On Linux the child asks the kernel for a signal when its parent dies
// (PR_SET_PDEATHSIG). That covers SIGKILL, panics and os.Exit, which no code
// of ours would see, and needs no watchdog process. But the "parent" is the
// thread that forked, and Go ends idle threads as it likes, so the thread is
// locked to a goroutine that waits for the child.
func launch(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, exited: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(p.exited)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("running %s: %w", cmd.Path, err)
	}
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// state says how the process ended; to be called after exited.
func (p *process) state() string { return p.cmd.ProcessState.String() }

func (p *process) signal(sig syscall.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("sending %s to process %d: %w", sig, p.pid(), err)
	}
	return nil
}

func (p *process) kill() { _ = p.signal(syscall.SIGKILL) }

// shutdown sends sig and waits for the end, more insistently as time passes.
func (p *process) shutdown(sig syscall.Signal) error {
	for _, sig := range []syscall.Signal{sig, syscall.SIGQUIT, syscall.SIGKILL} {
		if err := p.signal(sig); err != nil {
			return fmt.Errorf("stopping postgres: %w", err)
		}
		select {
		case <-p.exited:
			return nil
		case <-time.After(shutdownTimeout):
		}
	}
	return fmt.Errorf("stopping postgres: process %d does not end", p.pid())
}
