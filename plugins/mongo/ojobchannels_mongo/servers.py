"""Servers: one MongoClient for all handles of this process with equal settings.

A forked child does not touch the parent's client, and makes its own when it first needs one.
"""

import atexit
import os
import threading
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl

import pymongo
from bson.codec_options import CodecOptions, TypeDecoder, TypeRegistry
from bson.int64 import Int64
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import ConfigurationError, InvalidOperation, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference
from pymongo.uri_parser import split_options
from pymongo.write_concern import WriteConcern

from ojobchannels.errors import InvalidOption
from ojobchannels.remote import Servers, sole
from ojobchannels_mongo.change_stream import Waiters
from ojobchannels_mongo.errors import is_dns_error
from ojobchannels_mongo.options import DEFAULT_DATABASE, URL_ADVICE, Settings

Row = dict[str, Any]

# For what has no timeout of its own: the change stream, whose requests ask the server to reply
# within half a second, and the DNS.
_SOCKET_TIMEOUT_MS: Final = 5_000
# An idle connection is closed after that time, so that a burst of calls leaves none behind, and so
# that a connection which a firewall dropped without a message meanwhile delays no call: `pop` must
# not be sent again, and would wait for a reply that never arrives.
_MAX_IDLE_MS: Final = 1_000
CLOSING: Final = 0.5
_FILES: Final = {"tlscafile", "tlscertificatekeyfile", "tlscrlfile"}


class _PlainIntegers(TypeDecoder):
    """Decodes long integers as int, not as a subclass of it."""

    bson_type = Int64

    def transform_bson(self, value: int) -> int:
        return int(value)


_CODEC: Final[CodecOptions[Row]] = CodecOptions(type_registry=TypeRegistry([_PlainIntegers()]))


class Collections(NamedTuple):
    """A client, and the collections of the channels.

    Attributes:
        raw_documents: For findAndModify. Its replies have the driver's long integers, since with a
            decoder for them the driver (4.20) fails during a failover.
    """

    client: MongoClient[Row]
    database: Database[Row]
    documents: Collection[Row]
    raw_documents: Collection[Row]
    locks: Collection[Row]


class Server:
    """A database on a server; `collections` connects to it.

    Attributes:
        replicated: Whether it has transactions, snapshots and change streams.
        waiters: Wakes the waiters of this process.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.replicated = False
        self.waiters = Waiters(lambda: self.collections().locks, lambda: self.replicated)
        self._collections: Collections | None = None
        self._closed = False
        self._mutex = threading.Lock()

    def collections(self) -> Collections:
        """Return the client and the collections.

        Raises:
            InvalidOption: The URL cannot be used.
            InvalidOperation: The last handle was closed.
        """
        connected = self._collections
        if connected is not None:
            return connected
        with self._mutex:
            if self._closed:
                raise InvalidOperation("closed")
            if self._collections is None:
                _close_abandoned()
                self._collections = connect(self.settings)
            return self._collections

    def close(self) -> None:
        """Close the client and end the thread of the waiters."""
        self.waiters.stop()
        with self._mutex:
            self._closed = True
            connected, self._collections = self._collections, None
        if connected is not None:
            with pymongo.timeout(CLOSING):  # it ends its sessions at the server
                connected.client.close()

    def forget(self) -> None:
        """Leave the client and the waiters to the parent, in a forked child."""
        self.waiters.forget()
        self._mutex = threading.Lock()
        if self._collections is not None:
            _abandoned.append(self._collections.client)
            self._collections = None


_abandoned: list[MongoClient[Row]] = []
SERVERS: Final = Servers(Server)


@atexit.register
def _close_all() -> None:
    SERVERS.close()
    _close_abandoned()


def connect(
    settings: Settings, client_class: type[MongoClient[Row]] = MongoClient[Row]
) -> Collections:
    """Return a client of a class of the driver, and the collections.

    Raises:
        InvalidOption: The URL cannot be used.
    """
    options: dict[str, Any] = {"username": settings.username, "password": settings.password}
    if "connecttimeoutms" not in settings.url.lower():
        options["connectTimeoutMS"] = _SOCKET_TIMEOUT_MS
    if "maxidletimems" not in settings.url.lower():
        options["maxIdleTimeMS"] = _MAX_IDLE_MS
    try:
        # The driver itself would only warn of an option that is unknown or not valid, and ignore
        # it: an option that enables TLS, for example.
        if query := settings.url.partition("?")[2]:
            parsed = split_options(query, validate=True, warn=False)
            if "tlsCertificateKeyFile" in parsed and not parsed.get(
                "tlsCertificateKeyFilePassword"
            ):
                # without one, OpenSSL would ask at the terminal
                options["tlsCertificateKeyFilePassword"] = ""
        client = client_class(
            settings.url,
            document_class=dict,
            appname="ojobchannels",
            # A replica set applies a write that the driver repeats only once, which leaves less in
            # doubt after a lost reply than retries of ours would.
            retryWrites=True,
            retryReads=True,
            timeoutMS=None,
            socketTimeoutMS=_SOCKET_TIMEOUT_MS,
            **{name: value for name, value in options.items() if value is not None},
        )
        default = client.get_default_database(DEFAULT_DATABASE).name
    except (PyMongoError, ValueError, TypeError, OSError) as error:
        if is_dns_error(error) and settings.is_clear:
            raise
        raise _refusal(settings, error) from (None if settings.may_hide_secrets else sole(error))
    database = client.get_database(
        settings.database or default,
        codec_options=_CODEC,
        read_preference=ReadPreference.PRIMARY,
        write_concern=WriteConcern("majority"),
        read_concern=ReadConcern("local"),
    )
    documents = database[f"{settings.prefix}_documents"]
    raw = documents.with_options(codec_options=CodecOptions(document_class=dict))
    return Collections(client, database, documents, raw, database[f"{settings.prefix}_locks"])


def _refusal(settings: Settings, error: Exception) -> InvalidOption:
    if isinstance(error, ConfigurationError) and "dnspython" in str(error):
        reason = "mongodb+srv:// needs the package dnspython"
        advice = "install it with: pip install 'ojobchannels-mongo[srv]'"
        return InvalidOption("option 'url'", reason, advice)
    for name, path in parse_qsl(settings.url.partition("?")[2]) if settings.is_clear else ():
        if name.lower() in _FILES and not os.access(path, os.R_OK):
            return InvalidOption(
                "option 'url'", f"{name}: cannot read the file {path!r}", URL_ADVICE
            )
    if settings.may_hide_secrets:
        reason = f"the driver does not accept it ({type(error).__name__})"
    else:
        reason = f"the driver does not accept it: {error}"
    return InvalidOption("option 'url'", reason, URL_ADVICE)


def _close_abandoned() -> None:
    # The driver has reset these clients after the fork, so that closing them touches nothing of the
    # parent. In `forget` itself that would be too early: the driver may not have reset them.
    while _abandoned:
        _abandoned.pop().close()
