"""Certificates for tests of TLS: an authority, a server's and a client's, made anew."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from ojobchannels.testing.servers.programs import ServerMissing

_CLIENT: Final = "client@ojobchannels.test"


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files in PEM; `server` and `client` hold a private key and its certificates.

    Attributes:
        authority: The certificate that both sides trust.
        server: For 127.0.0.1 and localhost.
        client: For the client ``client@ojobchannels.test``.
    """

    authority: Path
    server: Path
    client: Path

    @classmethod
    def make(cls, folder: Path) -> Self:
        """Makes all of them, of an authority of their own, in an existing folder.

        Raises:
            ServerMissing: The package that makes them is not installed.
        """
        try:
            import trustme  # takes a while, and only tests of TLS have it
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

    def server_context(self, *, client_required: bool = True) -> ssl.SSLContext:
        """Returns what a server takes; it may ask the client for a certificate."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(self.authority))
        context.load_cert_chain(self.server)
        context.verify_mode = ssl.CERT_REQUIRED if client_required else ssl.CERT_NONE
        return context

    def client_context(self) -> ssl.SSLContext:
        """Returns what a client takes that trusts the authority and has a certificate."""
        context = ssl.create_default_context(cafile=str(self.authority))
        context.load_cert_chain(self.client)
        return context
