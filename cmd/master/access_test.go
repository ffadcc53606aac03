package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-185a7250/multiproc/ipc"
)

const aKey = "0123456789abcdef0123456789abcdef"

// testFile writes a file with a mode, whatever the umask.
func testFile(t *testing.T, mode os.FileMode, content string) string {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "file")
	if err == nil {
		_, err = io.WriteString(f, content)
	}
	if err == nil {
		err = errors.Join(f.Chmod(mode), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

func TestBadAccess(t *testing.T) {
	good, open := testFile(t, 0o600, aKey), testFile(t, 0o640, aKey)
	short, long := testFile(t, 0o600, aKey[:15]+"\n"), testFile(t, 0o600, strings.Repeat(aKey, 129))
	cert, key := selfSigned(t)
	publicKey := testFile(t, 0o644, read(t, key))
	for args, want := range map[string]string{
		"-listen tcp:127.0.0.1:0":                    `-listen tcp:127.0.0.1:0: over TCP there must be a key (-key-file or -key-fd), or TLS (-tls-cert, -tls-key and -tls-ca)`,
		"-listen a -key-file " + good + " -key-fd 0": `-key-file and -key-fd: one key is enough`,
		"-listen a -tls-cert x":                      `-tls-cert, -tls-key and -tls-ca belong together`,
		"-listen a -key-fd three":                    `-key-fd: found "three"; expected the number of a descriptor`,
		"-listen a -key-fd 999":                      `-key-fd 999: bad file descriptor`,
		"-listen a -key-file nope":                   `-key-file: nope: no such file or directory`,
		"-listen a -key-file /":                      `-key-file /: is a directory`,
		"-listen a -key-file " + open:                `-key-file ` + open + `: others may read it (mode 0640); chmod 600 keeps them out`,
		"-listen a -key-file " + short:               `-key-file ` + short + `: found a key of 15 bytes; expected 16 to 4096 (head -c 32 /dev/urandom makes one)`,
		"-listen a -key-file " + long:                `-key-file ` + long + `: found a key of 4128 bytes; expected 16 to 4096 (head -c 32 /dev/urandom makes one)`,
		"-listen a -tls-ca x -tls-key x -tls-cert x": `-tls-cert: x: no such file or directory`,
		"-listen a -tls-cert " + cert + " -tls-ca " + cert + " -tls-key " + publicKey: `-tls-key ` + publicKey + `: others may read it (mode 0644); chmod 600 keeps them out`,
		"-listen a -tls-cert " + cert + " -tls-ca " + key + " -tls-key " + key:        `-tls-ca ` + key + `: found no certificate in PEM`,
	} {
		o, err := parseManagerFlags(strings.Fields(args))
		if err == nil {
			_, _, err = openManager(o, io.Discard)
		}
		if ue, ok := err.(*UsageError); !ok || ue.Text != want {
			t.Errorf("master manager %s\n got: %v\nwant: %s", args, err, want)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// selfSigned makes a certificate that is its own authority, good for this machine, and its key.
func selfSigned(t *testing.T) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return testFile(t, 0o644, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))),
		testFile(t, 0o600, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})))
}

// listens waits until a manager has said where it listens, and returns the last address.
func (p *program) listens(n int) string {
	p.t.Helper()
	p.prints("listening on ", n)
	lines := strings.Fields(strings.ReplaceAll(p.stdout.String(), "listening on ", ""))
	return lines[len(lines)-1]
}

// reaches tells whether a client with these options is let in.
func reaches(t *testing.T, address string, o ipc.ConnectOptions) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := ipc.Connect(ctx, address, o)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Ping(ctx)
}

// A key comes from a file or a descriptor; it is asked for at each address, and never to be seen.
func TestManagerKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.sock")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	w.WriteString(aKey + "\n")
	w.Close()
	byFile := start(t, setup{}, "manager", "-listen", path, "-listen", "tcp:127.0.0.1:0", "-key-file", testFile(t, 0o600, aKey+"\n"))
	byFD := start(t, setup{before: func(c *exec.Cmd) { c.ExtraFiles = []*os.File{r} }},
		"manager", "-listen", "tcp:127.0.0.1:0", "-key-fd", "3")
	for _, address := range []string{path, byFile.listens(2), byFD.listens(1)} {
		if err := reaches(t, address, ipc.ConnectOptions{Key: []byte(aKey)}); err != nil {
			t.Errorf("%s: %v", address, err)
		}
		for name, key := range map[string]string{"another key": aKey[1:], "a newline": aKey + "\n", "none": ""} {
			if err := reaches(t, address, ipc.ConnectOptions{Key: []byte(key)}); !errors.Is(err, ipc.ErrDenied) {
				t.Errorf("%s with %s: %v", address, name, err)
			}
		}
	}
	for _, p := range []*program{byFile, byFD} {
		for _, file := range []string{"cmdline", "environ"} {
			b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.pid()), file))
			if err != nil || bytes.Contains(b, []byte(aKey)) {
				t.Errorf("%s: %q, %v", file, b, err)
			}
		}
		p.signal(syscall.SIGTERM)
		p.exits(exitOK)
	}
}

func TestManagerTLS(t *testing.T) {
	cert, key := selfSigned(t)
	other, otherKey := selfSigned(t)
	p := start(t, setup{}, "manager", "-listen", "tcp:127.0.0.1:0", "-tls-cert", cert, "-tls-key", key, "-tls-ca", cert)
	address := p.listens(1)
	for name, c := range map[string]struct {
		a    Access
		want error
	}{
		"the same certificate": {Access{Cert: cert, CertKey: key, CA: cert}, nil},
		"another certificate":  {Access{Cert: other, CertKey: otherKey, CA: cert}, ipc.ErrDenied},
		"another authority":    {Access{Cert: cert, CertKey: key, CA: other}, ipc.ErrDenied},
	} {
		config, err := c.a.config()
		if err != nil {
			t.Fatal(err)
		}
		if err := reaches(t, address, ipc.ConnectOptions{TLS: config}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p.signal(syscall.SIGTERM)
	p.exits(exitOK)
}
