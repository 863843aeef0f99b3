"""Edited backends with a defect in deadlines, in many leases, or after `close`."""

from __future__ import annotations

from edited import mutant

_GUARD = """            if self._closed:
                raise ChannelClosed(self._channel)
"""

LEASES = [
    mutant(
        "renewals-end-late",
        "simple",
        "A renewed lease is still valid at its end.",
        "test_every_operation_judges_a_deadline_exactly",
        (
            "lock_record.py",
            "ttl=ttl, until=clock.now() + ttl, wall_until=clock.wall() + ttl, epoch=clock.epoch\n",
            "ttl=ttl, until=clock.now() + ttl + 1, wall_until=clock.wall() + ttl, epoch=clock.epoch\n",
        ),
    ),
    mutant(
        "adopted-leases-end-early",
        "file",
        "A lease that was adopted ends a millisecond early.",
        "test_every_operation_judges_a_deadline_exactly",
        (
            "backend.py",
            "            adopted = record._replace(alive=alive, holder=info)\n",
            "            adopted = record._replace(alive=alive, holder=info, until=record.until - 1000)\n",
        ),
    ),
    mutant(
        "shares-expired-leases",
        "simple",
        "`share` accepts a lease that has expired.",
        "test_every_operation_judges_a_deadline_exactly",
        (
            "backend.py",
            "            return [] if record is not None and self._holds(record, token) else False\n",
            "            return [] if record is not None and record.token == token else False\n",
        ),
    ),
    mutant(
        "evicts-expired-leases",
        "simple",
        "`force_unlock` returns the holder of a lease that has expired.",
        "test_every_operation_judges_a_deadline_exactly",
        (
            "backend.py",
            "            evicted = self._info(name)\n",
            """            record = self._store.locks.get(name)
            evicted = lock_record.info(name, record, 0, self._clock) if record and record.token else None
""",
        ),
    ),
    mutant(
        "old-leases-never-expire",
        "file",
        "A lease of an earlier boot is still valid at its end by the wall clock.",
        "test_after_a_reboot_every_operation_judges_by_the_wall_clock",
        (
            "lock_record.py",
            "    return max(record.wall_until - clock.wall(), 0)\n",
            "    return max(record.wall_until - clock.wall(), 0) or int(record.wall_until == clock.wall())\n",
        ),
    ),
    mutant(
        "refusals-round-down",
        "simple",
        "A refusal in the last millisecond of a lease says that none is left.",
        "test_a_refusal_never_has_zero_milliseconds_left",
        (
            "lock_record.py",
            "    return Busy(record.fence, copied(record.holder), -(-left // 1000))\n",
            "    return Busy(record.fence, copied(record.holder), left // 1000)\n",
        ),
    ),
    mutant(
        "lists-a-thousand-locks",
        "simple",
        "`locks` returns at most a thousand locks.",
        "test_many_locks_are_listed_renewed_and_unlocked",
        (
            "backend.py",
            "            return [info for name in self._store.locks if (info := self._info(name))]\n",
            "            return [info for name in self._store.locks if (info := self._info(name))][:1000]\n",
        ),
    ),
    mutant(
        "renews-a-thousand-leases",
        "simple",
        "`extend_all` renews the first thousand leases, and reports success for all.",
        "test_many_locks_are_listed_renewed_and_unlocked",
        (
            "backend.py",
            "        return [self.extend(*lease) for lease in leases]\n",
            """        renewed = [self.extend(*lease) for lease in leases[:1000]]
        return renewed + [True] * (len(leases) - len(renewed))
""",
        ),
    ),
    mutant(
        "renewals-share-a-ttl",
        "simple",
        "`extend_all` extends all leases by the ttl of the first one.",
        "test_extend_all_extends_each_lease_independently",
        (
            "backend.py",
            "        return [self.extend(*lease) for lease in leases]\n",
            "        return [self.extend(lease.name, lease.token, leases[0].ttl) for lease in leases]\n",
        ),
    ),
    mutant(
        "renewals-end-when-the-clock-is-set-back",
        "simple",
        "`extend_all` renews no lease that began later than the wall clock says.",
        "test_a_step_of_the_wall_clock_changes_no_deadline",
        (
            "backend.py",
            "        return [self.extend(*lease) for lease in leases]\n",
            """        now = self._clock.wall()
        locks = self._store.locks
        return [locks[each.name].since <= now and self.extend(*each) for each in leases]
""",
        ),
    ),
    mutant(
        "retries-revive-evicted-leases",
        "simple",
        "After `force_unlock`, a request with the token of the evicted holder revives its lease.",
        "test_after_force_unlock_the_same_token_gets_a_new_lease",
        (
            "lock_record.py",
            "    return LockRecord(fence=record.fence, holder=record.holder)\n",
            "    return LockRecord(fence=record.fence, token=record.token, holder=record.holder)\n",
        ),
        (
            "backend.py",
            "            if not self._is_next(name, token):\n",
            """            if record.token == token and not record.until:
                store.locks[name] = lock_record.renewed(record, ttl * 1000, self._clock)
                return Granted(record.fence, None)
            if not self._is_next(name, token):
""",
        ),
    ),
    mutant(
        "long-leases-in-seconds",
        "simple",
        "A ttl of a day or more is cut to whole seconds.",
        "test_a_long_lease_is_exact_too",
        (
            "backend.py",
            "record, token, ttl * 1000, lock_record.copied(holder), self._clock, self._number\n",
            "record, token, (ttl if ttl < 86_400_000 else ttl // 1000 * 1000) * 1000, holder, self._clock, self._number\n",
        ),
    ),
    mutant(
        "renewals-forget-the-wall-clock",
        "file",
        "A renewal does not move the deadline by the wall clock, by which other boots judge.",
        "test_after_a_reboot_every_operation_judges_by_the_wall_clock",
        (
            "lock_record.py",
            "ttl=ttl, until=clock.now() + ttl, wall_until=clock.wall() + ttl, epoch=clock.epoch\n",
            "ttl=ttl, until=clock.now() + ttl, epoch=clock.epoch\n",
        ),
    ),
    mutant(
        "expired-tokens-keep-the-fence",
        "simple",
        "A request with the token of an expired lease does not raise the fence.",
        "test_fences_of_one_token_increase_when_the_wall_clock_is_set_back",
        (
            "backend.py",
            "            store.locks[name], grant = lock_record.granted(\n",
            """            if record.token == token:
                record = record._replace(fence=record.fence - 1)
            store.locks[name], grant = lock_record.granted(
""",
        ),
    ),
    mutant(
        "closed-handles-lock",
        "simple",
        "A handle that was closed still takes a lock.",
        "test_a_closed_backend_takes_no_lock",
        ("backend.py", _GUARD, ""),
    ),
]
