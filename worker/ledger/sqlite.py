"""The ledger in an SQLite file, for workers of one machine. See `worker.ledger.base.Ledger` for the contract.

SQLite locks the file while it changes it, and undoes what a killed process had begun. A process must not be
forked while another of its threads is at it: the new one would find the file locked for ever.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from worker.keys import ScanId, scan_ids_in
from worker.ledger.base import KEPT_S, Lease, LedgerUnavailable, LockName, has_died, new_token

BUSY_S: Final = 10.0
_TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS locks (scan_id TEXT PRIMARY KEY, token TEXT NOT NULL, until REAL NOT NULL)",
    "CREATE TABLE IF NOT EXISTS deaths"
    " (scan_id TEXT PRIMARY KEY, deaths INTEGER NOT NULL, aside TEXT, until REAL NOT NULL)",
    "CREATE TABLE IF NOT EXISTS open (scan_id TEXT PRIMARY KEY, until REAL NOT NULL)",
)


class SqliteLedger:
    """One connection for each step: it may be used from any thread, and in processes that were forked.

    Args:
        path: the file; its folder is made.
        ttl_s: how long a lock lives without being renewed.
        clock: seconds of the epoch.
    """

    def __init__(self, path: Path, ttl_s: float, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._ttl_s = ttl_s
        self._clock = clock

    def lock(self, scan_id: LockName) -> Lease | None:
        """See Ledger."""
        token = new_token()
        asked_at = time.monotonic()
        with self._change() as tables:
            row = _one(tables, "SELECT token, until FROM locks WHERE scan_id = ?", scan_id)
            if row and float(str(row[1])) > self._clock() and not has_died(str(row[0])):
                return None
            tables.execute(
                "INSERT OR REPLACE INTO locks VALUES (?, ?, ?)", (scan_id, token, self._clock() + self._ttl_s)
            )

        def renew() -> bool:
            until = self._clock() + self._ttl_s
            with self._change() as tables:
                mine = "UPDATE locks SET until = ? WHERE scan_id = ? AND token = ?"
                renewed = tables.execute(mine, (until, scan_id, token)).rowcount == 1
                if renewed:
                    tables.execute("UPDATE open SET until = ? WHERE scan_id = ?", (until, scan_id))
            return renewed

        return Lease(scan_id, self._ttl_s, renew, lambda: self.release_lock(scan_id, token), asked_at)

    def release_lock(self, scan_id: LockName, owner: str) -> None:
        """See Ledger."""
        with self._change() as tables:
            tables.execute(
                "DELETE FROM locks WHERE scan_id = ? AND substr(token, 1, ?) = ?",
                (scan_id, len(owner), owner),
            )

    def begin(self, scan_id: ScanId) -> int:
        """See Ledger."""
        with self._change() as tables:
            tables.execute("DELETE FROM deaths WHERE until <= ?", (self._clock(),))
            row = _one(tables, "SELECT deaths FROM deaths WHERE scan_id = ?", scan_id)
            deaths = int(str(row[0])) if row else 0
            self._note(tables, scan_id, deaths=deaths + 1)
        return deaths

    def end(self, scan_id: ScanId) -> None:
        """See Ledger."""
        with self._change() as tables:
            fewer = "UPDATE deaths SET deaths = max(0, deaths - 1) WHERE scan_id = ?"
            tables.execute(fewer, (scan_id,))

    def quarantine(self, scan_id: ScanId, reason: str) -> None:
        """See Ledger."""
        with self._change() as tables:
            self._note(tables, scan_id, aside=reason)

    def quarantine_reason(self, scan_id: ScanId) -> str | None:
        """See Ledger."""
        with self._change() as tables:
            row = _one(tables, "SELECT aside FROM deaths WHERE scan_id = ?", scan_id)
        return None if row is None or row[0] is None else str(row[0])

    def release_quarantine(self, scan_id: ScanId) -> None:
        """See Ledger."""
        with self._change() as tables:
            tables.execute("DELETE FROM deaths WHERE scan_id = ?", (scan_id,))

    def set_deadline(self, scan_id: ScanId, deadline: float) -> None:
        """See Ledger."""
        with self._change() as tables:
            tables.execute("INSERT OR REPLACE INTO open VALUES (?, ?)", (scan_id, deadline))

    def close(self, scan_id: ScanId) -> None:
        """See Ledger."""
        with self._change() as tables:
            tables.execute("DELETE FROM open WHERE scan_id = ?", (scan_id,))

    def is_open(self, scan_id: ScanId) -> bool:
        """See Ledger."""
        with self._change() as tables:
            return _one(tables, "SELECT 1 FROM open WHERE scan_id = ?", scan_id) is not None

    def overdue(self, now: float, limit: int = 1000) -> list[ScanId]:
        """See Ledger."""
        with self._change() as tables:
            late = "SELECT scan_id FROM open WHERE until <= ? ORDER BY until LIMIT ?"
            found = tables.execute(late, (now, limit)).fetchall()
        return list(scan_ids_in(str(scan_id) for (scan_id,) in found))

    def _note(
        self, tables: sqlite3.Connection, scan_id: str, deaths: int | None = None, aside: str | None = None
    ) -> None:
        tables.execute(
            "INSERT INTO deaths VALUES (?, coalesce(?, 0), ?, ?) ON CONFLICT (scan_id) DO UPDATE SET"
            " deaths = coalesce(?, deaths), aside = coalesce(excluded.aside, aside), until = excluded.until",
            (scan_id, deaths, aside, self._clock() + KEPT_S, deaths),
        )

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        """The tables, in one transaction that nobody else has at the same time."""
        try:
            if not self._path.exists():
                self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with closing(sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None)) as tables:
                tables.execute("BEGIN IMMEDIATE")
                for table in _TABLES:
                    tables.execute(table)
                yield tables
                tables.execute("COMMIT")
        except sqlite3.Error as error:
            raise LedgerUnavailable(f"the file of locks in RUN_DIR cannot be used: {error}") from None
        except OSError as error:
            text = os.strerror(error.errno or 0)
            raise LedgerUnavailable(f"the file of locks in RUN_DIR cannot be used: {text}") from None


def _one(tables: sqlite3.Connection, query: str, scan_id: str) -> tuple[object, ...] | None:
    row: tuple[object, ...] | None = tables.execute(query, (scan_id,)).fetchone()
    return row
