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
// the files, at paths, until ctx ends. Reports tells of each reload, nil when the new
// policies are in force; it may be nil. A change that does not compile leaves the
// policies as they were.
//
// Watch returns once it watches, so that no change after it is missed.
func (e *Engine) Watch(ctx context.Context, report func(error), paths ...string) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watching policies: %w", err)
	}
	for _, p := range paths {
		if err := watchBelow(w, p); err != nil {
			w.Close()
			return err
		}
	}
	if report == nil {
		report = func(error) {}
	}
	go e.watch(ctx, w, report)
	return nil
}

// watchBelow watches the directories at and below a path, and the directory of a file:
// files are replaced rather than written.
func watchBelow(w *fsnotify.Watcher, path string) error {
	return filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return fmt.Errorf("watching policies: %w", err)
		case d.IsDir():
		case p == path:
			p = filepath.Dir(p)
		default:
			return nil
		}
		if err := w.Add(p); err != nil {
			return fmt.Errorf("watching %s: %w", p, err)
		}
		return nil
	})
}

func (e *Engine) watch(ctx context.Context, w *fsnotify.Watcher, report func(error)) {
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
			if event.Has(fsnotify.Create) {
				// a new directory; of one that is gone again there is nothing to watch
				_ = watchBelow(w, event.Name) //nolint:errcheck // said above
			}
			if event.Op != fsnotify.Chmod {
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
