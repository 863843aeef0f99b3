"""Edited backends with a defect in errors, or in forked children."""

from __future__ import annotations

from edited import mutant

_TRANSLATE = """        if not isinstance(error, sqlite3.Error):
            return super().translate(error)
"""

STORAGE = [
    mutant(
        "full-is-the-drivers",
        "db",
        "A full disk raises the driver's own error.",
        "test_a_full_storage_raises_storage_full",
        (
            "backend.py",
            _TRANSLATE,
            """        if not isinstance(error, sqlite3.Error):
            return super().translate(error)
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            return None
""",
        ),
    ),
    mutant(
        "full-is-unavailable",
        "file",
        "A full disk is reported as an unavailable channel.",
        "test_a_full_storage_raises_storage_full",
        ("local/paths.py", "    if error.errno in _FULL:\n", "    if error.errno in ():\n"),
    ),
    mutant(
        "forbidden-is-the-systems",
        "file",
        "A file that cannot be written raises the system's own error.",
        "test_a_storage_without_write_permission_raises_our_errors",
        (
            "local/paths.py",
            "    if error.errno in _FORBIDDEN:\n",
            "    if error.errno in _FORBIDDEN:\n        raise error\n",
        ),
    ),
    mutant(
        "gone-is-unexpected",
        "db",
        "A database that was deleted raises an error that is not ours.",
        "test_a_storage_that_is_deleted_raises_our_errors",
        (
            "db/",
            "class StorageReplaced(ChannelUnavailable):\n",
            "class StorageReplaced(LookupError):\n",
        ),
    ),
    mutant(
        "closed-is-the-drivers",
        "db",
        "`close` closes connections that are in use, whose calls raise the driver's own error.",
        "test_a_call_beside_close_ends_with_one_of_our_errors",
        (
            "backend.py",
            _TRANSLATE,
            f"        if isinstance(error, sqlite3.ProgrammingError):\n            return None\n{_TRANSLATE}",
        ),
        (
            "db/connections.py",
            "        self._closed = True\n        self.idle.close()\n",
            """        self._closed = True
        for checkout in list(self.checkouts.values()):
            if checkout._connection is not None:
                checkout._connection.close()
        self.idle.close()
""",
        ),
    ),
    mutant(
        "children-release",
        "db",
        "A forked child that closes the handle releases the leases of its parent.",
        "test_a_forked_child_that_ends_normally_leaves_the_parent_alone",
        (
            "local/base.py",
            "            for name, token in self.waiters.wake_own():\n",
            """            for name, token in self.__dict__.get("granted", ()):
                self._free(name, token)
            for name, token in self.waiters.wake_own():
""",
        ),
        (
            "backend.py",
            "                self.waiters.withdraw(token)\n",
            """                self.waiters.withdraw(token)
                self.__dict__.setdefault("granted", []).append((name, token))
""",
        ),
    ),
]
