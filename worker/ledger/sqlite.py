"""The ledger in an SQLite file, for the workers of one machine.

SQLite locks the file during a transaction, and rolls back the transaction of a killed process. Do not fork a
process while one of its threads uses the ledger: in the child, the file would stay locked forever.
"""

from __future__ import annotations

import math
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from worker.keys import ScanId, scan_ids_in
from worker.ledger.base import (
    CRASHES_KEPT_S,
    Lease,
    Ledger,
    LedgerUnavailable,
    LockName,
    has_died,
    new_token,
)

FILE_NAME: Final = "ledger.sqlite"
BUSY_S: Final = 10.0
_TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS locks (scan_id TEXT PRIMARY KEY, token TEXT NOT NULL, until REAL NOT NULL)",
    "CREATE TABLE IF NOT EXISTS deaths"
    " (scan_id TEXT PRIMARY KEY, deaths INTEGER NOT NULL, aside TEXT, until REAL NOT NULL)",
    "CREATE TABLE IF NOT EXISTS failures"
    " (scan_id TEXT NOT NULL, process TEXT NOT NULL, kind TEXT NOT NULL, until REAL NOT NULL,"
    " PRIMARY KEY (scan_id, process))",
    "CREATE TABLE IF NOT EXISTS open (scan_id TEXT PRIMARY KEY, until REAL NOT NULL)",
    "CREATE TABLE IF NOT EXISTS cancels (scan_id TEXT PRIMARY KEY, until REAL NOT NULL)",
    "CREATE TABLE IF NOT EXISTS began (name TEXT PRIMARY KEY, until REAL NOT NULL)",
    "CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, notes BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS cursors (name TEXT PRIMARY KEY, scan_id TEXT NOT NULL)",
)


class SqliteLedger(Ledger):
    """Opens a connection for each transaction, so that any thread and any forked process may use it.

    Args:
        path: the file. It is created with its folder.
        ttl_s: lifetime of a lock without renewal.
        clock: seconds since the epoch.
    """

    def __init__(self, path: Path, ttl_s: float, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._ttl_s = ttl_s
        self._clock = clock

    def now(self) -> float:
        return self._clock()

    def lock(self, scan_id: LockName) -> Lease | None:
        token, asked_at = new_token(), time.monotonic()
        with self._transaction() as tables:
            now = self._clock()
            tables.execute("DELETE FROM locks WHERE until <= ?", (now,))  # of killed workers
            query = "SELECT token FROM locks WHERE scan_id = ? AND until > ?"
            row = tables.execute(query, (scan_id, now)).fetchone()
            if row and not has_died(row[0]):
                return None
            tables.execute(
                "INSERT OR REPLACE INTO locks VALUES (?, ?, ?)", (scan_id, token, now + self._ttl_s)
            )

        def renew() -> bool:
            until = self._clock() + self._ttl_s
            with self._transaction() as tables:
                update = "UPDATE locks SET until = ? WHERE scan_id = ? AND token = ?"
                renewed = tables.execute(update, (until, scan_id, token)).rowcount == 1
                if renewed:  # moves the deadline of the scan as well, if the scan is open
                    tables.execute("UPDATE open SET until = ? WHERE scan_id = ?", (until, scan_id))
            return renewed

        return Lease(scan_id, self._ttl_s, renew, lambda: self.release_lock(scan_id, token), asked_at)

    def is_locked(self, scan_id: LockName) -> bool:
        with self._transaction() as tables:
            query = "SELECT token FROM locks WHERE scan_id = ? AND until > ?"
            row = tables.execute(query, (scan_id, self._clock())).fetchone()
        return row is not None and not has_died(row[0])

    def release_lock(self, scan_id: LockName, owner: str) -> None:
        self._execute(
            "DELETE FROM locks WHERE scan_id = ? AND substr(token, 1, ?) = ?",
            scan_id,
            len(owner),
            owner,
        )

    def begin(self, scan_id: ScanId) -> int:
        with self._transaction() as tables:
            tables.execute("DELETE FROM deaths WHERE until <= ?", (self._clock(),))
            tables.execute(
                "INSERT INTO deaths VALUES (?, 1, NULL, ?)"
                " ON CONFLICT (scan_id) DO UPDATE SET deaths = deaths + 1, until = excluded.until",
                (scan_id, self._clock() + CRASHES_KEPT_S),
            )
            query = "SELECT deaths - 1 FROM deaths WHERE scan_id = ?"
            (crashes,) = tables.execute(query, (scan_id,)).fetchone()
        return int(crashes)

    def end(self, scan_id: ScanId) -> None:
        self._execute("UPDATE deaths SET deaths = max(0, deaths - 1) WHERE scan_id = ?", scan_id)

    def quarantine(self, scan_id: ScanId, reason: str) -> None:
        self._execute(
            "INSERT INTO deaths VALUES (?, 0, ?, ?)"
            " ON CONFLICT (scan_id) DO UPDATE SET aside = excluded.aside, until = excluded.until",
            scan_id,
            reason,
            self._clock() + CRASHES_KEPT_S,
        )

    def quarantine_reason(self, scan_id: ScanId) -> str | None:
        rows = self._execute("SELECT aside FROM deaths WHERE scan_id = ?", scan_id)
        return rows[0][0] if rows else None

    def count_quarantined(self) -> int:
        query = "SELECT count(*) FROM deaths WHERE aside IS NOT NULL AND until > ?"
        return int(self._execute(query, self._clock())[0][0])

    def release_quarantine(self, scan_id: ScanId) -> None:
        with self._transaction() as tables:
            _release(tables, [scan_id])

    def add_failure(self, scan_id: ScanId, process: str, kind: str) -> int:
        with self._transaction() as tables:
            now = self._clock()
            tables.execute("DELETE FROM failures WHERE until <= ?", (now,))
            values = (scan_id, process, kind, now + CRASHES_KEPT_S)
            tables.execute("INSERT OR REPLACE INTO failures VALUES (?, ?, ?, ?)", values)
            query = "SELECT count(*) FROM failures WHERE scan_id = ? AND kind = ?"
            (alike,) = tables.execute(query, (scan_id, kind)).fetchone()
        return int(alike)

    def has_failed(self, scan_id: ScanId, process: str) -> bool:
        return bool(
            self._execute("SELECT 1 FROM failures WHERE scan_id = ? AND process = ?", scan_id, process)
        )

    def set_deadline(self, scan_id: ScanId, deadline: float) -> None:
        self._execute("INSERT OR REPLACE INTO open VALUES (?, ?)", scan_id, deadline)

    def open_scans(self, scan_ids: Sequence[ScanId], deadline: float, *, release: bool = False) -> None:
        with self._transaction() as tables:
            if release:
                _release(tables, scan_ids)
            values = [(scan_id, deadline) for scan_id in scan_ids]
            tables.executemany("INSERT OR REPLACE INTO open VALUES (?, ?)", values)
            tables.executemany("DELETE FROM cancels WHERE scan_id = ?", [(each,) for each in scan_ids])

    def close(self, scan_id: ScanId) -> None:
        self._execute("DELETE FROM open WHERE scan_id = ?", scan_id)

    def ask_cancel(self, scan_id: ScanId) -> None:
        until = self._clock() + CRASHES_KEPT_S
        with self._transaction() as tables:
            tables.execute("DELETE FROM cancels WHERE until <= ?", (self._clock(),))
            tables.execute("INSERT OR REPLACE INTO cancels VALUES (?, ?)", (scan_id, until))

    def is_cancel_asked(self, scan_id: ScanId) -> bool:
        return bool(self._execute("SELECT 1 FROM cancels WHERE scan_id = ?", scan_id))

    def forget_cancel(self, scan_id: ScanId) -> None:
        self._execute("DELETE FROM cancels WHERE scan_id = ?", scan_id)

    def forget(self, scan_id: ScanId) -> int:
        statements = (
            "DELETE FROM deaths WHERE scan_id = ?",
            "DELETE FROM failures WHERE scan_id = ?",
            "DELETE FROM open WHERE scan_id = ?",
            "DELETE FROM cancels WHERE scan_id = ?",
            "UPDATE cursors SET scan_id = '' WHERE scan_id = ?",
        )
        with self._transaction() as tables:
            return sum(tables.execute(statement, (scan_id,)).rowcount for statement in statements)

    def begins(self, name: str, every_s: float) -> bool:
        with self._transaction() as tables:
            now = self._clock()
            row = tables.execute("SELECT until FROM began WHERE name = ?", (name,)).fetchone()
            if row and row[0] > now:
                return False
            tables.execute("INSERT OR REPLACE INTO began VALUES (?, ?)", (name, now + every_s))
        return True

    def cursor(self, name: str) -> str | None:
        rows = self._execute("SELECT scan_id FROM cursors WHERE name = ?", name)
        return rows[0][0] if rows else None

    def set_cursor(self, name: str, cursor: str | None) -> None:
        if cursor is None:
            self._execute("DELETE FROM cursors WHERE name = ?", name)
        else:
            self._execute("INSERT OR REPLACE INTO cursors VALUES (?, ?)", name, cursor)

    def rest(self, name: str, seconds: float) -> None:
        self._execute("INSERT OR REPLACE INTO began VALUES (?, ?)", name, self._clock() + seconds)

    def notes(self, name: str) -> bytes | None:
        rows = self._execute("SELECT notes FROM notes WHERE name = ?", name)
        return rows[0][0] if rows else None

    def set_notes(self, name: str, notes: bytes) -> None:
        self._execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", name, notes)

    def is_open(self, scan_id: ScanId) -> bool:
        return bool(self._execute("SELECT 1 FROM open WHERE scan_id = ?", scan_id))

    def overdue(self, now: float, limit: int = 1000) -> list[ScanId]:
        query = "SELECT scan_id FROM open WHERE until <= ? ORDER BY until LIMIT ?"
        return list(scan_ids_in(name for (name,) in self._execute(query, now, limit)))

    def open_among(self, scan_ids: Sequence[ScanId]) -> set[ScanId]:
        with self._transaction() as tables:
            query = "SELECT 1 FROM open WHERE scan_id = ?"
            return {each for each in scan_ids if tables.execute(query, (each,)).fetchone()}

    def deadlines(self, before: float, limit: int, after: float = -math.inf) -> dict[ScanId, float]:
        query = "SELECT scan_id, until FROM open WHERE until BETWEEN ? AND ? ORDER BY until LIMIT ?"
        known = dict(self._execute(query, after, before, limit))
        return {scan_id: known[scan_id] for scan_id in scan_ids_in(known)}

    def defer(self, deadlines: Mapping[ScanId, float], deadline: float) -> None:
        values = [(deadline, scan_id, known) for scan_id, known in deadlines.items()]
        with self._transaction() as tables:
            tables.executemany("UPDATE open SET until = ? WHERE scan_id = ? AND until = ?", values)

    def _execute(self, statement: str, *values: str | bytes | float) -> list[Any]:
        with self._transaction() as tables:
            return tables.execute(statement, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Open the tables in a transaction. Wait while another process or thread has one."""
        try:
            if not self._path.exists():
                self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with closing(sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None)) as tables:
                tables.execute("BEGIN IMMEDIATE")
                for table in _TABLES:
                    tables.execute(table)
                yield tables
                tables.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            reason = os.strerror(error.errno or 0) if isinstance(error, OSError) else error
            raise LedgerUnavailable(f"the file {FILE_NAME} in RUN_DIR cannot be used: {reason}") from None


def _release(tables: sqlite3.Connection, scan_ids: Sequence[ScanId]) -> None:
    values = [(scan_id,) for scan_id in scan_ids]
    tables.executemany("DELETE FROM deaths WHERE scan_id = ?", values)
    tables.executemany("DELETE FROM failures WHERE scan_id = ?", values)
