"""New certificates for tests of TLS: of an authority, a server and a client."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from ojobchannels.testing.servers.programs import ServerMissing

LOCKED_KEY: Final = """-----BEGIN ENCRYPTED PRIVATE KEY-----
MIGjMF8GCSqGSIb3DQEFDTBSMDEGCSqGSIb3DQEFDDAkBBDIA4UHG04ENyAiypni
47iCAgIIADAMBggqhkiG9w0CCQUAMB0GCWCGSAFlAwQBKgQQG1CHK44GunicyFRn
mSXXbwRAA9bb+yzaFMWWNaV4YMhhiaA+wYvZOxQth/j1LbmTkUlsbk7dKkYk4yqW
fi5np6t8IHLcfEkO0Msf1p8vPmkdRA==
-----END ENCRYPTED PRIVATE KEY-----
"""
"""A private key that needs a passphrase."""
_CLIENT: Final = "client@ojobchannels.test"


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files; `server` and `client` contain a private key and its certificate chain.

    Attributes:
        authority: Certificate of the authority that both sides trust.
        server: Certificate for 127.0.0.1 and localhost.
        client: Certificate for the client ``client@ojobchannels.test``.
    """

    authority: Path
    server: Path
    client: Path

    @classmethod
    def make(cls, folder: Path) -> Self:
        """Create the certificates, of a new authority, in an existing folder.

        Raises:
            ServerMissing: The package `trustme` is not installed.
        """
        try:
            import trustme  # slow to import, and optional
        except ImportError:
            raise ServerMissing("trustme", "pip install trustme") from None

        authority = trustme.CA()
        made = cls(folder / "authority.pem", folder / "server.pem", folder / "client.pem")
        authority.cert_pem.write_to_path(str(made.authority))
        for path, name in ((made.server, ("127.0.0.1", "localhost")), (made.client, (_CLIENT,))):
            path.touch(mode=0o600)
            certificate = authority.issue_cert(*name)
            certificate.private_key_and_cert_chain_pem.write_to_path(str(path))
        return made

    def key_stores(self, folder: Path, password: str) -> tuple[Path, Path]:
        """Write the server's key and the authority as PKCS #12 files, which Java reads.

        Args:
            folder: Where they are written.
            password: The password of both.

        Returns:
            The paths of the key store and of the trust store.
        """
        from cryptography import x509  # what `trustme` is made with
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.serialization import pkcs12

        pem = self.server.read_bytes()
        key: Any = serialization.load_pem_private_key(pem, None)
        own, *chain = x509.load_pem_x509_certificates(pem)
        authority = x509.load_pem_x509_certificate(self.authority.read_bytes())
        closed = serialization.BestAvailableEncryption(password.encode())
        trusted = [pkcs12.PKCS12Certificate(authority, b"authority")]
        stores = {
            folder / "keys.p12": pkcs12.serialize_key_and_certificates(
                b"server", key, own, chain, closed
            ),
            folder / "trusted.p12": pkcs12.serialize_java_truststore(trusted, closed),
        }
        for path, content in stores.items():
            path.touch(mode=0o600)
            path.write_bytes(content)
        keys, trust = stores
        return keys, trust

    def server_context(self, *, client_required: bool = True) -> ssl.SSLContext:
        """Return the context for a server, which may require a client certificate."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(self.authority))
        context.load_cert_chain(self.server)
        context.verify_mode = ssl.CERT_REQUIRED if client_required else ssl.CERT_NONE
        return context

    def client_context(self) -> ssl.SSLContext:
        """Return the context for a client that trusts the authority and has a certificate."""
        context = ssl.create_default_context(cafile=str(self.authority))
        context.load_cert_chain(self.client)
        return context
