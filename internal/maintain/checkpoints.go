package maintain

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/rowfence/rowfence/internal/postgres"
	"github.com/rowfence/rowfence/internal/seal"
)

// KeepCheckpoints appends to the file those checkpoints of the database, signed by the
// last one's key, that it lacks: a new one, and what writes that failed left out. The
// last one is on the file then, whether or not the database has it: its place may be
// taken by another, or what is there can't be read.
func KeepCheckpoints(ctx context.Context, m *postgres.Maintenance, path string, last seal.Checkpoint) error {
	stored, readErr := m.Checkpoints(ctx)
	if !slices.ContainsFunc(stored, last.SaysTheSame) {
		on, err := onFile(path)
		if err != nil {
			return errors.Join(readErr, err)
		}
		if !slices.ContainsFunc(on, last.SaysTheSame) {
			stored = append(stored, last)
		}
	}
	var lines [][]byte
	for _, c := range stored {
		if c.Verify(last.PublicKey) != nil {
			continue // what another key has signed is not ours to vouch for
		}
		line, err := json.Marshal(c)
		if err != nil {
			return errors.Join(readErr, fmt.Errorf("writing a checkpoint: %w", err))
		}
		lines = append(lines, line)
	}
	return errors.Join(readErr, appendMissing(path, lines))
}

// onFile are the checkpoints on the file, if it is there.
func onFile(path string) ([]seal.Checkpoint, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the file of checkpoints: %w", err)
	}
	all, _, err := seal.ReadCheckpoints(bytes.NewReader(text))
	return all, err
}

// appendMissing adds the lines to the file that are not in it, which is made if it is
// not there, and sees to it that they are on the disk. Nothing that is in the file is
// changed: a last line without its end is completed if it is the beginning of one, and
// otherwise ended, for verification to report.
func appendMissing(path string, lines [][]byte) (err error) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return fmt.Errorf("opening the file of checkpoints: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	text, err := io.ReadAll(f)
	if err != nil {
		return fmt.Errorf("reading the file of checkpoints: %w", err)
	}
	if added := missing(text, lines); added != nil {
		if _, err := f.Write(added); err != nil {
			return fmt.Errorf("writing a checkpoint: %w", err)
		}
		if err := f.Sync(); err != nil {
			return fmt.Errorf("writing a checkpoint: %w", err)
		}
	}
	return nil
}

// missing is what is to be appended to a text for it to have all the lines.
func missing(text []byte, lines [][]byte) (added []byte) {
	have := map[string]bool{}
	whole := bytes.Split(text, []byte{'\n'})
	torn := whole[len(whole)-1]
	for _, line := range whole[:len(whole)-1] {
		have[string(bytes.TrimSpace(line))] = true
	}
	if len(torn) > 0 {
		end := []byte{}
		for _, line := range lines {
			if bytes.HasPrefix(line, torn) && !have[string(line)] {
				have[string(line)], end = true, line[len(torn):]
				break
			}
		}
		added = append(append(added, end...), '\n')
	}
	for _, line := range lines {
		if !have[string(line)] {
			added = append(append(added, line...), '\n')
		}
	}
	return added
}
