package seal

import (
	"bufio"
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"time"
)

// A Checkpoint is a signed word on where the chain stood. Kept elsewhere, it shows
// a chain that was cut or written again.
type Checkpoint struct {
	N         int64     `json:"n"`
	Hash      Hash      `json:"hash"`
	At        time.Time `json:"at"`
	PublicKey []byte    `json:"public_key"` // ed25519; base64 in JSON
	Signature []byte    `json:"signature"`
}

// message is what is signed.
func (c Checkpoint) message() []byte {
	return fmt.Appendf(nil, "rowfence checkpoint 1\n%d\n%s\n%s\n", c.N, c.Hash, c.At.UTC().Format(time.RFC3339Nano))
}

// Sign makes the checkpoint of a link.
func Sign(key ed25519.PrivateKey, link Link, at time.Time) Checkpoint {
	c := Checkpoint{N: link.N, Hash: link.Hash, At: at.UTC().Truncate(time.Microsecond), PublicKey: key.Public().(ed25519.PublicKey)}
	c.Signature = ed25519.Sign(key, c.message())
	return c
}

// Verify says whether the checkpoint is signed, by the key if one is given, else
// by its own.
func (c Checkpoint) Verify(key ed25519.PublicKey) error {
	if key != nil && !bytes.Equal(key, c.PublicKey) {
		return errors.New("it is signed by another key")
	}
	if len(c.PublicKey) != ed25519.PublicKeySize || !ed25519.Verify(c.PublicKey, c.message(), c.Signature) {
		return errors.New("its signature is not right")
	}
	return nil
}

// SaysTheSame reports whether another is of the same seal, and signed by the same key.
func (c Checkpoint) SaysTheSame(other Checkpoint) bool {
	return other.N == c.N && other.Hash == c.Hash && other.Verify(c.PublicKey) == nil
}

// A BadLine is one of a file of checkpoints that is none.
type BadLine struct {
	N    int // from 1
	Torn bool
	Err  error
}

// ReadCheckpoints reads checkpoints, a line of JSON each, and goes on behind lines that
// are none. One of them is torn if it is the last one, is the beginning of an object,
// and lacks its end: a write failed, or is under way.
func ReadCheckpoints(r io.Reader) (all []Checkpoint, bad []BadLine, err error) {
	lines := bufio.NewReader(r)
	for n := 1; ; n++ {
		line, end := lines.ReadBytes('\n')
		if end != nil && !errors.Is(end, io.EOF) {
			return nil, nil, fmt.Errorf("reading checkpoints: %w", end)
		}
		if len(bytes.TrimSpace(line)) > 0 {
			c, err := readCheckpoint(line)
			if err == nil {
				all = append(all, c)
			} else {
				bad = append(bad, BadLine{n, end != nil && errors.Is(err, io.ErrUnexpectedEOF), err})
			}
		}
		if end != nil {
			return all, bad, nil
		}
	}
}

func readCheckpoint(line []byte) (c Checkpoint, err error) {
	decoder := json.NewDecoder(bytes.NewReader(line))
	if err := decoder.Decode(&c); err != nil {
		return c, err
	}
	if len(bytes.TrimSpace(line[decoder.InputOffset():])) > 0 {
		return c, errors.New("there is more on the line")
	}
	return c, nil
}

const (
	privateBlock = "PRIVATE KEY"
	publicBlock  = "PUBLIC KEY"
)

// NewKey makes a key, and its two halves as PEM.
func NewKey() (private, public []byte, err error) {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("making a key: %w", err)
	}
	privateDER, err := x509.MarshalPKCS8PrivateKey(priv)
	if err != nil {
		return nil, nil, fmt.Errorf("writing a key: %w", err)
	}
	publicDER, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, nil, fmt.Errorf("writing a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: privateBlock, Bytes: privateDER}),
		pem.EncodeToMemory(&pem.Block{Type: publicBlock, Bytes: publicDER}), nil
}

// ParsePrivateKey reads an ed25519 key in PEM (PKCS #8).
func ParsePrivateKey(text []byte) (ed25519.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != privateBlock {
		return nil, errors.New("want a PEM block of type " + privateBlock)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading a private key: %w", err)
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, errors.New("want an ed25519 key")
	}
	return private, nil
}

// ParsePublicKey reads an ed25519 key in PEM (PKIX).
func ParsePublicKey(text []byte) (ed25519.PublicKey, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != publicBlock {
		return nil, errors.New("want a PEM block of type " + publicBlock)
	}
	var key crypto.PublicKey
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading a public key: %w", err)
	}
	public, ok := key.(ed25519.PublicKey)
	if !ok {
		return nil, errors.New("want an ed25519 key")
	}
	return public, nil
}
