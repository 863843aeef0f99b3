"""Edited backends with a defect in documents."""

from __future__ import annotations

from edited import mutant

_TEXTS = """            texts[key] = key.written(), encode(value)
        with self._store.mutex:
            self._store.entries.put(texts)
"""
_CHUNKS = """            texts[key] = key.written(), encode(value)
        pairs = list(texts.items())
        for start in range(0, len(pairs), 500):
            with self._store.mutex:
                self._store.entries.put(dict(pairs[start : start + 500]))
"""
_UNSET = """            self._mark(key, fence)
            return self._store.entries.drop([key]) > 0
"""
_SET = """            self._mark(key, fence)
            self._store.entries.put(texts)
        return True
"""
_COMPARED = """            if not fits(match, present):
                return Compared(False, present)
            self._mark(key, fence)
"""

DOCUMENTS = [
    mutant(
        "batches-in-chunks",
        "simple",
        "`set_all` stores a batch in chunks of 500 entries, each of them atomic.",
        "test_a_reader_sees_a_large_batch_as_a_whole",
        ("backend.py", _TEXTS, _CHUNKS),
    ),
    mutant(
        "batches-in-transactions",
        "db",
        "`set_all` stores a batch in transactions of 1000 entries.",
        "test_a_reader_sees_a_large_batch_as_a_whole",
        (
            "backend.py",
            """        with self._connections.transaction(self._level) as connection:
            connection.executemany(statements.PUT, rows)
""",
            """        for start in range(0, len(rows), 1000):
            with self._connections.transaction(self._level) as connection:
                connection.executemany(statements.PUT, rows[start : start + 1000])
""",
        ),
    ),
    mutant(
        "removals-in-chunks",
        "simple",
        "`unset_all` removes entries in chunks of 500.",
        "test_a_reader_sees_a_large_batch_as_a_whole",
        (
            "backend.py",
            """        with self._store.mutex:
            return self._store.entries.drop(keys)
""",
            """        removed = 0
        for start in range(0, len(keys), 500):
            with self._store.mutex:
                removed += self._store.entries.drop(keys[start : start + 500])
        return removed
""",
        ),
    ),
    mutant(
        "removes-a-thousand-keys",
        "db",
        "`unset_all` ignores all keys after the first thousand.",
        "test_a_batch_of_more_than_a_thousand_entries_is_whole",
        (
            "backend.py",
            "rowcount for key in keys\n",
            "rowcount for key in keys[:1000]\n",
        ),
    ),
    mutant(
        "lists-two-thousand-keys",
        "db",
        "`get_keys` returns at most two thousand keys.",
        "test_every_listing_has_all_of_many_entries",
        (
            "db/statements.py",
            '"SELECT written_key FROM documents WHERE channel = :channel ORDER BY position"',
            '"SELECT written_key FROM documents WHERE channel = :channel ORDER BY position LIMIT 2000"',
        ),
    ),
    mutant(
        "matches-in-a-thousand-entries",
        "db",
        "`items` with a match looks at a thousand entries at a time, and ends at the first gap.",
        "test_every_listing_has_all_of_many_entries",
        (
            "db/statements.py",
            "AND position > :after ORDER BY position\n",
            "AND position > :after ORDER BY position LIMIT 1000\n",
        ),
    ),
    mutant(
        "destroys-a-thousand-entries",
        "db",
        "`destroy` removes at most a thousand entries.",
        "test_many_entries_keep_their_order_and_can_be_destroyed",
        (
            "db/statements.py",
            'DESTROY: Final = "DELETE FROM documents WHERE channel = :channel"',
            'DESTROY: Final = "DELETE FROM documents WHERE position IN (SELECT position FROM documents '
            'WHERE channel = :channel ORDER BY position LIMIT 1000)"',
        ),
    ),
    mutant(
        "listings-in-pages",
        "simple",
        "`get_all` reads pages of 500 entries, each of another moment.",
        "test_a_listing_is_a_snapshot",
        (
            "backend.py",
            "        return values_of((entry.value for entry in self._snapshot()), match)\n",
            """        values: list[Any] = []
        after = None
        while True:
            page = self.items(match, 500, False, after)
            values += [value for _, value in page]
            if len(page) < 500:
                return values
            after = page[-1].position
""",
        ),
    ),
    mutant(
        "marks-cleared-in-two-steps",
        "simple",
        "An `unset` and a `set` in a row, both without a fence, clear the mark of the key.",
        "test_a_mark_survives_two_operations_in_a_row",
        (
            "backend.py",
            _SET,
            """            if fence is None and self._store.entries.get(key) is None:
                self._store.marks.pop(key, None)
            self._mark(key, fence)
            self._store.entries.put(texts)
        return True
""",
        ),
    ),
    mutant(
        "marks-cleared-by-destroy-and-add",
        "simple",
        "`get_set` that adds a key clears its mark.",
        "test_a_mark_survives_two_operations_in_a_row",
        (
            "backend.py",
            _COMPARED,
            """            if not fits(match, present):
                return Compared(False, present)
            if fence is None:
                self._store.marks.pop(key, None)
            self._mark(key, fence)
""",
        ),
    ),
    mutant(
        "unset-fences-as-floats",
        "simple",
        "`unset` compares fences as floats, and so not the last digit of a large one.",
        "test_large_fences_are_compared_exactly",
        (
            "backend.py",
            _UNSET,
            """            self._mark(key, fence and int(float(fence + 1)))
            return self._store.entries.drop([key]) > 0
""",
        ),
    ),
    mutant(
        "marks-of-written-keys",
        "simple",
        "`get_set` keeps marks by the key as it was written.",
        "test_marks_use_canonical_keys",
        (
            "backend.py",
            _COMPARED,
            """            if not fits(match, present):
                return Compared(False, present)
            self._mark(key if str(key) == encode(key.document) else Key("other", key.document), fence)
""",
        ),
    ),
    mutant(
        "fence-in-two-steps",
        "db",
        "`set` checks the fence in one transaction and stores the value in another.",
        "test_a_late_fenced_write_does_not_undo_a_later_one",
        (
            "backend.py",
            """            self._mark(connection, key, fence)
            connection.execute(statements.PUT, self._row(key, value))
        return True
""",
            """            self._mark(connection, key, fence)
        with self._connections.writing(self._level) as connection:
            connection.execute(statements.PUT, self._row(key, value))
        return True
""",
        ),
    ),
    mutant(
        "unset-fence-in-two-steps",
        "simple",
        "`unset` checks the fence in one step and removes the entry in another.",
        "test_a_late_fenced_write_does_not_undo_a_later_one",
        (
            "backend.py",
            _UNSET,
            """            self._mark(key, fence)
        with self._store.mutex:
            return self._store.entries.drop([key]) > 0
""",
        ),
    ),
    mutant(
        "compare-in-two-steps",
        "file",
        "`get_set` compares in one access to the file and stores in another.",
        "test_one_of_two_compare_and_sets_stores",
        (
            "backend.py",
            """                return Compared(False, copy(present))
            self._table.put(key, value, self._table.mark(key, fence))
            return Compared(True, copy(present))
""",
            """                return Compared(False, copy(present))
        with self._table.writing:
            self._table.put(key, value, self._table.mark(key, fence))
            return Compared(True, copy(present))
""",
        ),
    ),
    mutant(
        "marks-written-back",
        "simple",
        "A `set` without a fence reads the mark in one step and writes it back in another.",
        "test_an_operation_without_a_fence_does_not_undo_a_mark",
        (
            "backend.py",
            _SET,
            """            mark = self._store.marks.get(key)
            self._mark(key, fence)
        with self._store.mutex:
            self._store.entries.put(texts)
            if fence is None and mark is not None:
                self._store.marks[key] = mark
        return True
""",
        ),
    ),
    mutant(
        "takes-in-two-steps",
        "db",
        "`pop` reads the last entry in one transaction and removes it in another.",
        "test_one_of_two_takes_the_only_entry",
        (
            "backend.py",
            """            rows = connection.execute(statements.TAKE.format(end=end), self._mine).fetchall()
            return decode(rows[0][0]) if rows else MISSING
""",
            """            rows = connection.execute(statements.VALUES_IN_ORDER, self._mine).fetchall()
        with self._connections.transaction(self._level) as connection:
            connection.execute(statements.TAKE.format(end=end), self._mine).fetchall()
            return decode(rows[-1 if newest_first else 0][0]) if rows else MISSING
""",
        ),
    ),
    mutant(
        "unset-looks-first",
        "file",
        "`unset` looks for the key in one access and removes it in another.",
        "test_one_of_two_takes_the_only_entry",
        (
            "backend.py",
            """        with self._table.writing:
            return self._table.remove(key, self._table.mark(key, fence))
""",
            """        with self._table.reading:
            had_value = self._table.value(key) is not MISSING
        with self._table.writing:
            self._table.remove(key, self._table.mark(key, fence))
        return had_value
""",
        ),
    ),
    mutant(
        "sizes-of-the-handle",
        "db",
        "A handle caches its size until it writes itself.",
        "test_every_read_sees_every_write_of_another_handle",
        (
            "backend.py",
            """        return self._counts.size(self.channel)
""",
            """        with self._connections.reading() as connection:
            mine = connection.total_changes
        kept = self.__dict__.setdefault("kept", {})
        if kept.get("mine") != mine:
            kept.update(mine=mine, count=self._counts.size(self.channel))
        return kept["count"]
""",
        ),
    ),
    mutant(
        "files-read-once",
        "file",
        "A process does not see that another one has written the file.",
        "test_every_read_sees_every_write_of_another_process",
        (
            "file/storage.py",
            "if self._status_read is None or self._status() != self._status_read or not self._follow():",
            "if self._status_read is None:",
        ),
    ),
    mutant(
        "closing-ends-subscriptions",
        "simple",
        "`close` ends the subscriptions of all handles.",
        "test_subscriptions_of_other_handles_stay",
        (
            "backend.py",
            "            self._closed = True\n",
            "            self._closed = True\n            store.entries.feeds.clear()\n",
        ),
    ),
]
