package rowfence

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settle is how long files have to be left alone before they are read: an editor, or a
// deployment, writes several.
const settle = 200 * time.Millisecond

// Watch reloads the policies whenever something changes in the directories, or beside
// the files, at paths, until ctx ends. A path may be a link, and what stands there may be
// replaced as a whole. Reports tells of each reload, nil when the new policies are in
// force; it may be nil. A change that does not compile leaves the policies as they were.
//
// Watch returns once it watches, so that no change after it is missed.
func (e *Engine) Watch(ctx context.Context, report func(error), paths ...string) error {
	w, err := newWatcher(paths)
	if err != nil {
		return fmt.Errorf("watching policies: %w", err)
	}
	if report == nil {
		report = func(error) {}
	}
	go e.watch(ctx, w, report)
	return nil
}

func (e *Engine) watch(ctx context.Context, w *watcher, report func(error)) {
	defer w.Close()
	settled := time.NewTimer(0)
	settled.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case event, ok := <-w.Events:
			if !ok {
				return
			}
			if w.concerns(event) {
				settled.Reset(settle)
			}
		case err, ok := <-w.Errors:
			if !ok {
				return
			}
			report(fmt.Errorf("watching policies: %w", err))
			settled.Reset(settle) // a change may have been missed
		case <-settled.C:
			report(e.Reload(ctx))
		}
	}
}

// watcher watches the directories at and below some paths, and beside them: there it is
// seen that what stands at a path is replaced.
type watcher struct {
	*fsnotify.Watcher
	paths map[string]bool
	dirs  map[string]bool // of which everything matters
}

func newWatcher(paths []string) (*watcher, error) {
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	w := &watcher{notify, map[string]bool{}, map[string]bool{}}
	for _, p := range paths {
		path, err := filepath.Abs(p)
		if err == nil {
			w.paths[path] = true
			if err = w.Add(filepath.Dir(path)); err == nil {
				err = w.below(path)
			}
		}
		if err != nil {
			w.Close()
			return nil, err
		}
	}
	return w, nil
}

// below watches the directories at and below a path, and the directory of a file: files
// are replaced rather than written. Of a link it is what the link leads to.
func (w *watcher) below(path string) error {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	return filepath.WalkDir(real, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
		case p == real:
			p = filepath.Dir(p)
		default:
			return nil
		}
		w.dirs[p] = true
		return w.Add(p)
	})
}

// concerns reports whether an event may be a change of the policies, and watches what is
// new.
func (w *watcher) concerns(event fsnotify.Event) bool {
	if event.Op == fsnotify.Chmod {
		return false
	}
	path := w.paths[event.Name]
	if !path && !w.dirs[event.Name] && !w.dirs[filepath.Dir(event.Name)] {
		return false
	}
	if path || event.Has(fsnotify.Create) {
		// of what is gone again there is nothing to watch
		_ = w.below(event.Name)
	}
	return true
}
