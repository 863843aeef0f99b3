"""Edited backends with a defect in locks."""

from __future__ import annotations

from edited import mutant

_EXTEND = """            if record is None or not self._holds(record, token):
                return False
            self._store.locks[name] = lock_record.renewed(record, ttl * 1000, self._clock)
"""
_ADOPT = """            if record is None or not self._holds(record, token):
                return False
            alive = lock_record.NO_PROCESS if holder is None else self._number
"""
_FREED = """            if held and record:
                self._store.locks[name] = lock_record.freed(record)
"""
_WAKE = """        for waiter in self._store.queues.get(name, {}).values():
            waiter.set()
            return
"""
_EVICT = """            evicted = self._info(name)
            if evicted:
"""
_GRANT = "            store.locks[name], grant = lock_record.granted(\n"

LOCKS = [
    mutant(
        "tokens-unlock-twice",
        "simple",
        "A second `unlock` with a token that was unlocked frees the lock of the present holder.",
        "test_the_token_of_an_ended_lease_does_nothing_to_the_next",
        (
            "backend.py",
            _FREED,
            """            spent = self._store.__dict__.setdefault("spent", set())
            if (name, token) in spent and record:
                self._store.locks[name] = lock_record.freed(record)
            if held and record:
                spent.add((name, token))
                self._store.locks[name] = lock_record.freed(record)
""",
        ),
    ),
    mutant(
        "unlock-frees-all-names",
        "simple",
        "`unlock` frees every lock that has the token.",
        "test_a_token_of_two_locks_is_two_leases",
        (
            "backend.py",
            _FREED,
            """            for other, its in list(self._store.locks.items()):
                if held and its.token == token:
                    self._store.locks[other] = lock_record.freed(its)
""",
        ),
    ),
    mutant(
        "fences-of-the-process",
        "file",
        "The last fence is remembered by the process, not by the record of the lock.",
        "test_fences_increase_between_processes",
        (
            "lock_record.py",
            "fence = max(record.fence + 1, wall)\n",
            "fence = LAST.append(max(max(LAST) + 1, wall)) or max(LAST)\n",
        ),
        ("lock_record.py", "NO_PROCESS: Final = 0\n", "NO_PROCESS: Final = 0\nLAST = [0]\n"),
    ),
    mutant(
        "fences-of-the-handle",
        "db",
        "The last fence is remembered by the handle, not by the record of the lock.",
        "test_fences_increase_between_processes",
        (
            "db/statements.py",
            "SET fence = max(fence + 1, excluded.fence)",
            "SET fence = excluded.fence",
        ),
    ),
    mutant(
        "crowds-wake-late",
        "simple",
        "With two or more waiters, the next one is woken 0.4 s late.",
        "test_each_waiter_of_a_crowd_is_woken_at_once",
        (
            "backend.py",
            _WAKE,
            """        queue = self._store.queues.get(name, {})
        for waiter in queue.values():
            threading.Timer(0.4 if len(queue) > 1 else 0, waiter.set).start()
            return
""",
        ),
        ("backend.py", "import itertools\n", "import itertools\nimport threading\n"),
    ),
    mutant(
        "crowds-of-processes-poll",
        "file",
        "A waiter that is not the only one of its lock polls every two seconds, and is not woken.",
        "test_each_waiter_of_several_processes_is_woken_at_once",
        (
            "local/waiters.py",
            "for fifo in fifos if _wake(within, fifo)",
            "for fifo in fifos if len(fifos) == 1 and _wake(within, fifo)",
        ),
        ("local/waiters.py", "CHECK_SECONDS = 0.02", "CHECK_SECONDS = 2"),
    ),
    mutant(
        "evictions-wake-no-crowd",
        "simple",
        "`force_unlock` wakes a waiter only if it is the only one.",
        "test_a_crowd_is_woken_by_every_end_of_a_lease",
        (
            "backend.py",
            """force_released(self._store.locks[name])
                self._wake_next(name)
""",
            """force_released(self._store.locks[name])
                if len(self._store.queues.get(name, ())) == 1:
                    self._wake_next(name)
""",
        ),
    ),
    mutant(
        "closing-wakes-all",
        "simple",
        "`close` ends the waiters of all handles.",
        "test_a_closed_handle_does_not_delay_waiters_of_others",
        (
            "backend.py",
            "            for waiter in list(self._waiting):\n                waiter.set()\n",
            """            for waiter in list(self._waiting):
                waiter.set()
            if self._waiting:
                store.queues.clear()
""",
        ),
    ),
    mutant(
        "lock-in-two-steps",
        "simple",
        "`lock` checks the lock in one step and takes it in another.",
        "test_a_lock_is_granted_to_one_of_two",
        (
            "backend.py",
            _GRANT,
            f"            pass\n        with store.mutex:\n{_GRANT}",
        ),
    ),
    mutant(
        "lock-is-atomic-in-a-process",
        "file",
        "`lock` excludes other threads, but not other processes.",
        "test_a_lock_is_granted_to_one_of_two_processes",
        (
            "backend.py",
            """            record = lock_file.read()
            left = self.left(record)
            if left:
                if record.token == token:
""",
            """            record = lock_file.read()
            import fcntl
            fcntl.flock(lock_file.descriptor, fcntl.LOCK_UN)
            left = self.left(record)
            if left:
                if record.token == token:
""",
        ),
    ),
    mutant(
        "extend-in-two-steps",
        "simple",
        "`extend` reads the record in one step and writes it in another.",
        "test_a_late_operation_does_not_undo_the_next_grant",
        (
            "backend.py",
            _EXTEND,
            _EXTEND.replace(
                "            self._store",
                "        with self._store.mutex:\n            self._store",
            ),
        ),
    ),
    mutant(
        "extend-in-two-transactions",
        "db",
        "`extend` checks the lease in one transaction and renews the lock in another.",
        "test_an_operation_at_the_deadline_does_not_undo_the_next_grant",
        (
            "backend.py",
            "        return self._extend_all([LeaseRequest(name, token, ttl)], None)[0]\n",
            """        record = self._read_lock(name)
        if not self.holds(record, token):
            return False
        renewed = lock_record.renewed(record, ttl * 1000, self.clock)
        with self._connections.writing("NORMAL") as connection:
            connection.execute(
                "UPDATE locks SET fence = ?, token = ?, until = ?, wall_until = ? "
                "WHERE channel = ? AND name = ?",
                (record.fence, token, renewed.until, renewed.wall_until, self.channel, name),
            )
        return True
""",
        ),
    ),
    mutant(
        "adopt-in-two-steps",
        "simple",
        "`adopt` reads the record in one step and writes it in another.",
        "test_a_late_operation_does_not_undo_the_next_grant",
        (
            "backend.py",
            _ADOPT,
            _ADOPT.replace(
                "            alive", "        with self._store.mutex:\n            alive"
            ),
        ),
    ),
    mutant(
        "unlock-in-two-steps",
        "simple",
        "`unlock` checks the token in one step and frees the lock in another.",
        "test_a_late_operation_does_not_undo_the_next_grant",
        (
            "backend.py",
            _FREED,
            """        with self._store.mutex:
            if held and record:
                self._store.locks[name] = lock_record.freed(record)
""",
        ),
    ),
    mutant(
        "evict-in-two-steps",
        "simple",
        "`force_unlock` reads the holder in one step and frees the lock in another.",
        "test_a_force_unlock_evicts_the_holder_that_it_returns",
        (
            "backend.py",
            _EVICT,
            _EVICT.replace("            if", "        with self._store.mutex:\n            if"),
        ),
    ),
    mutant(
        "retries-race",
        "simple",
        "A request that is sent twice at once makes two leases.",
        "test_a_request_that_is_sent_twice_at_once_is_one_lease",
        (
            "backend.py",
            """                if record.token == token:
                    return Granted(record.fence, None)
                return lock_record.busy(record, left)
""",
            """                if record.token == token:
                    return Granted(record.fence, None)
                return lock_record.busy(record, left)
        with store.mutex:
            if (store.locks.get(name) or record).token not in ("", token, record.token):
                return lock_record.busy(store.locks[name], 1000)
""",
        ),
    ),
    mutant(
        "previous-of-the-handle",
        "simple",
        "The previous holder is the last one that the same handle knew of.",
        "test_previous_names_the_last_holder_of_all_handles",
        (
            "backend.py",
            "            self._leave_queue(name, token)\n            self._wake_next(name)\n            return grant\n",
            """            self._leave_queue(name, token)
            self._wake_next(name)
            known = self.__dict__.setdefault("known", {})
            if grant.previous is not None and name in known:
                grant = grant._replace(previous=known[name])
            known[name] = {**holder, "fence": grant.fence}
            return grant
""",
        ),
    ),
    mutant(
        "previous-of-the-process",
        "db",
        "A process remembers what the previous holder of a lock left.",
        "test_previous_names_the_last_holder_of_all_processes",
        (
            "backend.py",
            '                return Granted(fence, {**decode(previous), "fence": previous_fence})\n',
            """                known = PREVIOUS.setdefault((self.channel, name), decode(previous))
                return Granted(fence, {**known, "fence": previous_fence})
""",
        ),
        (
            "backend.py",
            "\n\ndef open_backend(",
            "\nPREVIOUS: dict[Any, Any] = {}\n\n\ndef open_backend(",
        ),
    ),
    mutant(
        "records-of-the-process",
        "file",
        "A process reads the record of a lock once, and then trusts its own copy.",
        "test_every_lock_operation_sees_those_of_another_process",
        (
            "file/lock_files.py",
            "        page = self._page = os.pread(self.descriptor, _PAGE, 0)\n",
            """        if self._known and self._known[1].token:
            return self._known[1]
        page = self._page = os.pread(self.descriptor, _PAGE, 0)
""",
        ),
    ),
]
