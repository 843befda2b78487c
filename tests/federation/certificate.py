"""An authority of one run, and the certificate that both servers show. Knows nothing of Matrix."""

import datetime
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# Clocks of machines differ; a run takes minutes.
DAY = datetime.timedelta(days=1)


class Certificates:
    """Files (PEM) in a folder: the authority, and a certificate with its key for this machine."""

    def __init__(self, folder):
        self.authority = folder / "authority.pem"
        self.certificate = folder / "certificate.pem"
        self.key = folder / "key.pem"
        self._authority_key = authority_key = ec.generate_private_key(ec.SECP256R1())
        self._pair = key = ec.generate_private_key(ec.SECP256R1())
        issuer = _name("Authority of a test")
        authority = (
            _begin(issuer, issuer, authority_key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(authority_key, hashes.SHA256())
        )
        self.authority.write_bytes(_pem(authority))
        self.renew()
        self.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        self.key.chmod(0o600)

    def renew(self):
        """Another certificate for the same key, in the place of the one before."""
        certificate = (
            _begin(_name("localhost"), _name("Authority of a test"), self._pair)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(_names_here(), critical=False)
            .sign(self._authority_key, hashes.SHA256())
        )
        self.certificate.write_bytes(_pem(certificate))


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _begin(subject, issuer, key):
    now = datetime.datetime.now(datetime.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
    )


def _names_here():
    address = ipaddress.ip_address("127.0.0.1")
    return x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(address)])


def _pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM)
