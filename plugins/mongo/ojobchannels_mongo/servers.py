"""Servers: one MongoClient for all handles of this process that name the same place.

A forked child leaves the parent's client alone and makes its own when it first needs it.
"""

from __future__ import annotations

import atexit
import threading
from typing import Any, Final, NamedTuple

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
from ojobchannels.host.forks import forget_in_children
from ojobchannels_mongo.change_stream import Bells
from ojobchannels_mongo.errors import is_of_dns
from ojobchannels_mongo.options import DEFAULT_DATABASE, URL_ADVICE, Settings

Row = dict[str, Any]

# For what has no limit of its own: the change stream, which asks the server to answer within half a
# second, and the DNS.
_SOCKET_TIMEOUT_MS: Final = 5_000
_GOODBYE: Final = 0.5


class _PlainIntegers(TypeDecoder):
    """Has long integers read as int, not as a subclass of it."""

    bson_type = Int64

    def transform_bson(self, value: int) -> int:
        return int(value)


_CODEC: Final[CodecOptions[Row]] = CodecOptions(type_registry=TypeRegistry([_PlainIntegers()]))


class Link(NamedTuple):
    """A client, and our collections as it sees them.

    Attributes:
        raw_documents: For findAndModify. Its answers have the driver's long integers, since with a
            decoder for them the driver (4.20) breaks where a failover cuts in.
    """

    client: MongoClient[Row]
    database: Database[Row]
    documents: Collection[Row]
    raw_documents: Collection[Row]
    locks: Collection[Row]


class Server:
    """A place on a server; `link` connects to it.

    Attributes:
        settings: Which place.
        checked: Whether it was looked at, and has its indexes.
        replicated: Whether it has transactions, snapshots and change streams.
        bells: What wakes the waiters of this process.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.checked = False
        self.replicated = False
        self.bells = Bells(self)
        self.users = 0
        self._link: Link | None = None
        self._closed = False
        self._mutex = threading.Lock()
        forget_in_children(self)

    def link(self) -> Link:
        """Returns the client and the collections.

        Raises:
            InvalidOption: The URL cannot be used.
            InvalidOperation: The last handle was closed.
        """
        link = self._link
        if link is not None:
            return link
        with self._mutex:
            if self._closed:
                raise InvalidOperation("closed")
            if self._link is None:
                _close_abandoned()
                self._link = _connect(self.settings)
            return self._link

    def close(self) -> None:
        """Ends the client."""
        self.bells.stop()
        with self._mutex:
            self._closed = True
            link, self._link = self._link, None
        if link is not None:
            with pymongo.timeout(_GOODBYE):  # it tells the server, if there is one
                link.client.close()

    def forget(self) -> None:
        """Leaves the client to the parent, in a forked child."""
        self._mutex = threading.Lock()
        if self._link is not None:
            _abandoned.append(self._link.client)
            self._link = None


class Servers:
    """The servers that this process has open."""

    def __init__(self) -> None:
        self._open: dict[Settings, Server] = {}
        self._mutex = threading.Lock()
        forget_in_children(self)

    def take(self, settings: Settings) -> Server:
        """Returns the server of these settings, for one more user."""
        with self._mutex:
            server = self._open.get(settings)
            if server is None:
                server = self._open[settings] = Server(settings)
            server.users += 1
            return server

    def give_back(self, server: Server) -> None:
        """Takes note that a user is gone; after the last the server is closed."""
        with self._mutex:
            server.users -= 1
            if server.users:
                return
            self._open.pop(server.settings, None)
        server.close()

    def close(self) -> None:
        """Closes all, at the end of the process."""
        with self._mutex:
            servers = list(self._open.values())
            self._open.clear()
        for server in servers:
            server.close()
        _close_abandoned()

    def forget(self) -> None:
        """Makes a mutex of its own in a forked child."""
        self._mutex = threading.Lock()


_abandoned: list[MongoClient[Row]] = []
SERVERS: Final = Servers()
atexit.register(SERVERS.close)


def _connect(settings: Settings) -> Link:
    given: dict[str, Any] = {"username": settings.username, "password": settings.password}
    if "connecttimeoutms" not in settings.url.lower():
        given["connectTimeoutMS"] = _SOCKET_TIMEOUT_MS
    try:
        # The driver itself would only warn of an option that it does not know or cannot read, and
        # go on without it: without TLS, say.
        if query := settings.url.partition("?")[2]:
            told = split_options(query, validate=True, warn=False)
            if "tlsCertificateKeyFile" in told and not told.get("tlsCertificateKeyFilePassword"):
                given["tlsCertificateKeyFilePassword"] = ""  # else OpenSSL asks at the terminal
        client: MongoClient[Row] = MongoClient(
            settings.url,
            document_class=dict,
            appname="ojobchannels",
            # On a replica set the server itself sees to it that a write which the driver repeats
            # is done once; there a lost reply leaves less in doubt than by any way of ours.
            retryWrites=True,
            retryReads=True,
            timeoutMS=None,
            socketTimeoutMS=_SOCKET_TIMEOUT_MS,
            **{name: value for name, value in given.items() if value is not None},
        )
        named = client.get_default_database(DEFAULT_DATABASE).name
    except (PyMongoError, ValueError, TypeError, OSError) as error:
        if is_of_dns(error) and settings.is_clear:
            raise
        raise _refusal(settings, error) from (None if settings.may_hide_secrets else error)
    database = client.get_database(
        settings.database or named,
        codec_options=_CODEC,
        read_preference=ReadPreference.PRIMARY,
        write_concern=WriteConcern("majority"),
        read_concern=ReadConcern("local"),
    )
    documents = database[f"{settings.prefix}_documents"]
    raw = documents.with_options(codec_options=CodecOptions(document_class=dict))
    return Link(client, database, documents, raw, database[f"{settings.prefix}_locks"])


def _refusal(settings: Settings, error: Exception) -> InvalidOption:
    if isinstance(error, ConfigurationError) and "dnspython" in str(error):
        return InvalidOption(
            "option 'url'",
            "mongodb+srv:// needs the package dnspython",
            "get it with: pip install 'ojobchannels-mongo[srv]'",
        )
    if settings.may_hide_secrets:
        reason = f"the driver cannot use it ({type(error).__name__})"
    else:
        reason = f"the driver cannot use it: {error}"
    return InvalidOption("option 'url'", reason, URL_ADVICE)


def _close_abandoned() -> None:
    # The driver has given these clients a new and empty inside after the fork: nothing of the
    # parent's is touched. Closed in `forget` itself, they would still have had the parent's.
    while _abandoned:
        _abandoned.pop().close()
