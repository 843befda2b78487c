package main

import (
	"crypto/tls"
	"crypto/x509"
	"path/filepath"
	"testing"
)

func TestLeafIsGoodForItsNameUnderTheAuthority(t *testing.T) {
	folder := t.TempDir()
	if err := writeAuthority(folder); err != nil {
		t.Fatal(err)
	}
	authorityFile := filepath.Join(folder, "ca.crt")
	if err := writeLeaf("hs1", authorityFile, filepath.Join(folder, "ca.key"), folder); err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key"))
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	authority, err := readCertificate(authorityFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(authority)
	if _, err := leaf.Verify(x509.VerifyOptions{DNSName: "hs1", Roots: roots}); err != nil {
		t.Error(err)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{DNSName: "hs2", Roots: roots}); err == nil {
		t.Error("a certificate for hs1 is good for hs2")
	}
}
