package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"path/filepath"
	"time"
)

// writeAuthority makes ca.crt and ca.key in the form that the suite copies into containers.
func writeAuthority(folder string) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	authority := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "authority"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, authority, authority, key.Public(), key)
	if err != nil {
		return err
	}
	if err := writePEM(filepath.Join(folder, "ca.crt"), "CERTIFICATE", der); err != nil {
		return err
	}
	keyBytes := x509.MarshalPKCS1PrivateKey(key)
	return writePEM(filepath.Join(folder, "ca.key"), "RSA PRIVATE KEY", keyBytes)
}

// probe asks what the suite asks before it uses a server, and for the endpoint without which it
// leaves tests out.
func probe(url string) error {
	client := http.Client{Timeout: 5 * time.Second}
	for _, path := range []string{"/_matrix/client/versions", "/_synapse/admin/v1/register"} {
		answer, err := client.Get(url + path)
		if err != nil {
			return err
		}
		body, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<16))
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s: %s", path, answer.Status, body)
		}
	}
	return nil
}
