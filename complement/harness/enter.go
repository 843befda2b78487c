package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Where things are in the container. The suite copies its authority in before the start.
const (
	authorityFile    = "/complement/ca/ca.crt"
	authorityKeyFile = "/complement/ca/ca.key"
	templateFile     = "/etc/belfry/belfry.toml"
	serverBinary     = "/usr/bin/belfry"
	// Not in the data folder: a snapshot of a container is started under other names.
	runFolder = "/run/belfry"
)

// enter makes the certificate and the configuration for the name in SERVER_NAME, at each start,
// and becomes the server: it is the container's first process then, and gets its signals.
func enter() error {
	name := os.Getenv("SERVER_NAME")
	if name == "" {
		return errors.New("SERVER_NAME is not set; the suite sets it")
	}
	if err := os.MkdirAll(runFolder, 0o700); err != nil {
		return err
	}
	if err := writeLeaf(name, authorityFile, authorityKeyFile, runFolder); err != nil {
		return fmt.Errorf("the certificate: %w", err)
	}
	template, err := os.ReadFile(templateFile)
	if err != nil {
		return err
	}
	variables := map[string]string{"SERVER_NAME": name, "RUN": runFolder}
	config := os.Expand(string(template), func(key string) string { return variables[key] })
	configFile := filepath.Join(runFolder, "belfry.toml")
	if err := os.WriteFile(configFile, []byte(config), 0o600); err != nil {
		return err
	}
	// The server trusts what the system trusts; here that is the suite's authority and no other.
	environment := append(os.Environ(), "SSL_CERT_FILE="+authorityFile)
	return syscall.Exec(serverBinary, []string{"belfry", "--config", configFile}, environment)
}

// writeLeaf signs a certificate for name and writes it, with its key, as tls.crt and tls.key.
func writeLeaf(name, authorityFile, authorityKeyFile, folder string) error {
	authority, err := readCertificate(authorityFile)
	if err != nil {
		return err
	}
	authorityKey, err := readKey(authorityKeyFile)
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return err
	}
	leaf := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		DNSNames:     []string{name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	signed, err := x509.CreateCertificate(rand.Reader, leaf, authority, key.Public(), authorityKey)
	if err != nil {
		return err
	}
	keyBytes, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := writePEM(filepath.Join(folder, "tls.crt"), "CERTIFICATE", signed); err != nil {
		return err
	}
	return writePEM(filepath.Join(folder, "tls.key"), "PRIVATE KEY", keyBytes)
}

func readPEM(file string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s holds no PEM", file)
	}
	return block.Bytes, nil
}

func readCertificate(file string) (*x509.Certificate, error) {
	der, err := readPEM(file)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// readKey takes the form that the suite writes, PKCS #1, and the usual one, PKCS #8.
func readKey(file string) (any, error) {
	der, err := readPEM(file)
	if err != nil {
		return nil, err
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, nil
	}
	return x509.ParsePKCS8PrivateKey(der)
}

func writePEM(file, kind string, der []byte) error {
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	return os.WriteFile(file, text, 0o600)
}
