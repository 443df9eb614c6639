"""A certificate authority of the tests, and what servers show that it has signed."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Authority:
    """`file`: its certificate, which a client has to trust; `folder`: where the others are kept."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def create(cls, folder: Path) -> Authority:
        """Make one, in a folder of its own."""
        folder.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("The tests' authority")
        authority = x509.BasicConstraints(ca=True, path_length=None)
        certificate = _build(name, name, key, days=1, critical=authority).sign(key, hashes.SHA256())
        (folder / "ca.pem").write_bytes(_pem(certificate))
        return cls(folder, key, certificate)

    @property
    def file(self) -> Path:
        """The certificate of the authority."""
        return self.folder / "ca.pem"

    @property
    def hash(self) -> str:
        """By which OpenSSL finds it in a folder.

        https://docs.openssl.org/master/man1/openssl-rehash/
        """
        command = ["openssl", "x509", "-hash", "-noout", "-in", str(self.file)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def server(self, host: str = "localhost", *, days: int = 1) -> ssl.SSLContext:
        """What a server of a host shows; with negative `days` it has expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.DNSName(host)])
        unsigned = _build(_name(host), self.certificate.subject, key, days=days, plain=names)
        signed = unsigned.sign(self.key, hashes.SHA256())
        secret = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        file = self.folder / f"{host}{days}.pem"
        file.write_bytes(secret + _pem(signed))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _build(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    *,
    days: int,
    critical: x509.ExtensionType | None = None,
    plain: x509.ExtensionType | None = None,
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now + timedelta(days=days))
    )
    if critical:
        builder = builder.add_extension(critical, critical=True)
    return builder.add_extension(plain, critical=False) if plain else builder
