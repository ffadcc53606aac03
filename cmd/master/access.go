package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
)

// Access says how the two sides of a connection to a manager prove who they are. Secrets are in files and descriptors: a command
// line is for all users to read.
type Access struct {
	KeyFile string
	KeyFD   int // with HasFD
	HasFD   bool
	Cert    string // files, in PEM: the certificate of this side,
	CertKey string // its key,
	CA      string // and who signs those of the other side
}

const accessUsage = `    -key-file FILE      a secret key of 16 bytes or more that both sides must have; a newline at its end does not count. Only you may
                        be able to read the file
    -key-fd N           the same, read from descriptor N up to its end
    -tls-cert FILE      TLS, for tcp: a certificate,
    -tls-key FILE       its key, which only you may be able to read,
    -tls-ca FILE        and the certificates of who signs those of the other side, all in PEM
`

// declare declares the flags of access.
func (a *Access) declare(r *flagReader) {
	text := func(into *string) func(string) error {
		return func(s string) error { *into = s; return nil }
	}
	r.add("key-file", "a file", text(&a.KeyFile))
	r.add("key-fd", "the number of a descriptor", func(s string) error {
		n, err := strconv.ParseUint(s, 10, 16)
		a.KeyFD, a.HasFD = int(n), true
		return err
	})
	r.add("tls-cert", "a file", text(&a.Cert))
	r.add("tls-key", "a file", text(&a.CertKey))
	r.add("tls-ca", "a file", text(&a.CA))
}

// check refuses what cannot be meant.
func (a *Access) check() error {
	given := 0
	for _, file := range []string{a.Cert, a.CertKey, a.CA} {
		if file != "" {
			given++
		}
	}
	switch {
	case a.KeyFile != "" && a.HasFD:
		return usageError("-key-file and -key-fd: one key is enough")
	case given == 1 || given == 2:
		return usageError("-tls-cert, -tls-key and -tls-ca belong together")
	}
	return nil
}

func (a *Access) hasKey() bool { return a.KeyFile != "" || a.HasFD }
func (a *Access) hasTLS() bool { return a.Cert != "" }

// key reads the key; nil if there is none.
func (a *Access) key() ([]byte, error) {
	switch {
	case a.KeyFile != "":
		f, err := os.Open(a.KeyFile)
		if err != nil {
			return nil, usageError("-key-file: %v", plain(a.KeyFile, err))
		}
		defer f.Close()
		return readKey(f, "-key-file "+a.KeyFile)
	case a.HasFD:
		f := os.NewFile(uintptr(a.KeyFD), "key")
		defer f.Close()
		return readKey(f, fmt.Sprintf("-key-fd %d", a.KeyFD))
	}
	return nil, nil
}

const (
	leastKey = 16 // bytes: what is shorter can be guessed
	mostKey  = 4 << 10
)

func readKey(f *os.File, what string) ([]byte, error) {
	b, err := readSecret(f)
	if err != nil {
		return nil, usageError("%s: %v", what, err)
	}
	b = bytes.TrimSuffix(b, []byte("\n"))
	if len(b) < leastKey || len(b) > mostKey {
		return nil, usageError("%s: found a key of %d bytes; expected %d to %d (head -c 32 /dev/urandom makes one)", what, len(b), leastKey, mostKey)
	}
	return b, nil
}

// readSecret reads what only this user may be able to read.
func readSecret(f *os.File) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, bare(err)
	}
	if mode := info.Mode(); mode.IsRegular() && mode.Perm()&0o077 != 0 {
		return nil, fmt.Errorf("others may read it (mode %04o); chmod 600 keeps them out", mode.Perm())
	}
	b, err := io.ReadAll(io.LimitReader(f, 1<<20))
	return b, bare(err)
}

func bare(err error) error {
	if pe, ok := errors.AsType[*os.PathError](err); ok {
		return pe.Err
	}
	return err
}

// config returns what TLS needs on either side; nil if there is none.
func (a *Access) config() (*tls.Config, error) {
	if !a.hasTLS() {
		return nil, nil
	}
	cert, err := os.ReadFile(a.Cert)
	if err != nil {
		return nil, usageError("-tls-cert: %v", plain(a.Cert, err))
	}
	f, err := os.Open(a.CertKey)
	if err != nil {
		return nil, usageError("-tls-key: %v", plain(a.CertKey, err))
	}
	defer f.Close()
	key, err := readSecret(f)
	if err != nil {
		return nil, usageError("-tls-key %s: %v", a.CertKey, err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, usageError("-tls-cert %s, -tls-key %s: %v", a.Cert, a.CertKey, err)
	}
	ca, err := os.ReadFile(a.CA)
	if err != nil {
		return nil, usageError("-tls-ca: %v", plain(a.CA, err))
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, usageError("-tls-ca %s: found no certificate in PEM", a.CA)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{pair}, RootCAs: pool, ClientCAs: pool,
		ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13,
	}, nil
}
