"""From a spool segment into the tables, exactly once: the rows and the position in one commit."""

from __future__ import annotations

import base64
import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from time import time_ns
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from trackway.delivery.spool import Frame, read_frames
from trackway.errors import WarehouseError
from trackway.event import Event
from trackway.ids import new_id
from trackway.warehouse import load_sql
from trackway.warehouse.duckdb import DuckWarehouse
from trackway.warehouse.schema import SESSION_GAP_MS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

logger = logging.getLogger("trackway.warehouse")

#: Kinds of spool frame. The payload of both is newline-delimited JSON.
EVENTS, BAD_ROWS = 1, 2

#: How the fields of an Event are read back from JSON; what is not named here is text.
_FIELD_TYPES = {
    "id": "UUID",
    **dict.fromkeys(("created", "true", "sent", "received"), "BIGINT"),
    **dict.fromkeys(("session_index", "x_min", "x_max", "y_min", "y_max"), "INTEGER"),
    **dict.fromkeys(("status", "quantity"), "INTEGER"),
    **dict.fromkeys(("request_bytes", "response_bytes"), "BIGINT"),
    **dict.fromkeys(("duration_ms", "value", "total", "tax", "shipping", "price"), "DOUBLE"),
    **dict.fromkeys(("cookies", "is_bot"), "BOOLEAN"),
    **dict.fromkeys(("properties", "contexts", "extra"), "JSON"),
}
_BAD_TYPES = {"id": "UUID", "received": "BIGINT"}
_BAD_FIELDS = ("id", "received", "reason", "message", "site", "path", "content_type", "raw")


def _columns(names: dict[str, str], types: dict[str, str]) -> str:
    """The ``columns`` of read_json: the name that each field has in JSON, and its type."""
    return ", ".join(f"'{name}': '{types.get(f, 'VARCHAR')}'" for f, name in names.items())


_EVENT_NAMES = dict(zip(Event.__struct_fields__, Event.__struct_encode_fields__, strict=True))
_READ = load_sql.READ.format(
    columns=_columns(_EVENT_NAMES, _FIELD_TYPES),
    fields=", ".join(f'"{name}" AS "{field}"' for field, name in _EVENT_NAMES.items()),
)
_READ_BAD = load_sql.READ_BAD.format(
    columns=_columns({field: field for field in _BAD_FIELDS}, _BAD_TYPES)
)


class Loaded(NamedTuple):
    """What one load did: rows stored, events that were there already, and bad rows kept."""

    stored: int = 0
    duplicates: int = 0
    bad: int = 0

    def __add__(self, other: object) -> Loaded:
        assert isinstance(other, Loaded)
        return Loaded(*(a + b for a, b in zip(self, other, strict=True)))


class Loader:
    """Moves spool segments into a DuckDB warehouse. One thread uses it.

    ``batch_bytes``: about how many bytes of frames make one transaction.
    """

    def __init__(
        self,
        warehouse: DuckWarehouse,
        *,
        batch_bytes: int = 32 * 1024 * 1024,
    ) -> None:
        self.warehouse = warehouse
        self.batch_bytes = batch_bytes
        #: What DuckDB raises when the data is at fault, and not the disk or the memory.
        self._unsound = warehouse.DataErrors
        for leftover in warehouse.staging.glob("*.ndjson"):
            leftover.unlink()

    def position(self, segment: Path) -> int:
        """How many bytes of a segment are in the warehouse."""
        found = self.warehouse.query(
            "SELECT max(position) FROM segments WHERE segment = ?", [segment.name]
        )
        return int(found.rows[0][0] or 0)

    def load(self, segment: Path, end: int | None = None) -> Loaded:
        """Load what is new in a segment, up to byte ``end`` (None: all of it).

        Whatever kills the process, each frame counts once. Raises WarehouseError.
        """
        total = Loaded()
        start = self.position(segment)
        frames: list[Frame] = []
        size = 0
        for frame in read_frames(segment, start, end):
            if frame.start != start:
                logger.error("%s: %d bytes are damaged", segment.name, frame.start - start)
                _mark(segment).touch()
            start = frame.end
            frames.append(frame)
            size += len(frame.payload)
            if size >= self.batch_bytes:
                total += self._commit(segment, frames)
                frames, size = [], 0
        if frames:
            total += self._commit(segment, frames)
        return total

    def forget(self, segment: Path) -> None:
        """Remove the position of a segment whose file is gone."""
        self.warehouse.query("DELETE FROM segments WHERE segment = ?", [segment.name])
        _mark(segment).unlink(missing_ok=True)

    def found_damage(self, segment: Path) -> bool:
        """Whether bytes of a segment could not be read, now or before a restart."""
        return _mark(segment).exists()

    def _commit(self, segment: Path, frames: list[Frame]) -> Loaded:
        events = [frame.payload for frame in frames if frame.kind == EVENTS]
        bad = [frame.payload for frame in frames if frame.kind == BAD_ROWS]
        try:
            try:
                return self._store(segment, frames[-1].end, events, bad)
            except self._unsound as error:
                logger.error("an event cannot be loaded, it becomes a bad row: %s", error)
                sound, refused = self._sift(b"".join(events).splitlines(keepends=True))
                bad += [_bad_row(line, str(error)) for line in refused]
                return self._store(segment, frames[-1].end, sound, bad)
        except self.warehouse.Error as error:
            raise WarehouseError(f"{segment.name} cannot be loaded: {error}") from error

    def _store(self, segment: Path, end: int, events: list[bytes], bad: list[bytes]) -> Loaded:
        """The one transaction: the rows of the batch, and up to where the segment is loaded."""
        with self._transaction() as db:
            done = self._load_events(db, events) if events else Loaded()
            if bad:
                done += self._load_bad_rows(db, bad)
            db.execute("DELETE FROM segments WHERE segment = ?", [segment.name])
            db.execute("INSERT INTO segments VALUES (?, ?)", [segment.name, end])
            db.execute("COMMIT")
            # temporary tables outlive the transaction, and these are the batch once more
            db.execute("DROP TABLE IF EXISTS arrived; DROP TABLE IF EXISTS numbered")
        return done

    def _sift(self, lines: list[bytes]) -> tuple[list[bytes], list[bytes]]:
        """Tell lines that can be loaded from those that cannot, by halves.

        What reaches the spool has been checked, so this should never be needed. But one line
        that DuckDB refuses would otherwise hold back everything behind it for ever.
        """
        try:
            with self._transaction() as db:
                self._load_events(db, lines)
                db.execute("ROLLBACK")
            return lines, []
        except self._unsound:
            if len(lines) == 1:
                return [], lines
        middle = len(lines) // 2
        sound, refused = self._sift(lines[:middle])
        more_sound, more_refused = self._sift(lines[middle:])
        return sound + more_sound, refused + more_refused

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[DuckDBPyConnection]:
        db = self.warehouse.connection()
        db.execute("BEGIN")
        try:
            yield db
        except BaseException:
            self.warehouse.roll_back(db)
            raise

    @contextlib.contextmanager
    def _staged(self, payloads: list[bytes]) -> Iterator[str]:
        """Put payloads where DuckDB can read them; not synced, the segment still has them."""
        path = self.warehouse.staging / "batch.ndjson"
        try:
            flags = os.O_CREAT | os.O_TRUNC | os.O_WRONLY
            with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
                file.writelines(payloads)
            yield str(path)
        finally:
            path.unlink(missing_ok=True)

    def _load_bad_rows(self, db: DuckDBPyConnection, payloads: list[bytes]) -> Loaded:
        with self._staged(payloads) as path:
            db.execute(_READ_BAD, [path])
        (count,) = db.execute(load_sql.BAD).fetchall()[0]
        db.execute(load_sql.COUNT_BAD)
        return Loaded(bad=count)

    def _load_events(self, db: DuckDBPyConnection, payloads: list[bytes]) -> Loaded:
        with self._staged(payloads) as path:
            db.execute(_READ, [path])
        read, first, last = db.execute(
            "SELECT count(*), min(received), max(received) FROM arrived"
        ).fetchall()[0]
        db.execute(load_sql.FRESH, {"first": first, "last": last})
        stored, low, high = db.execute(
            "SELECT count(*), min(derived), max(derived) FROM fresh"
        ).fetchall()[0]
        if stored:
            db.execute(load_sql.PEOPLE)
            (claims,) = db.execute("SELECT count(*) FROM claims").fetchall()[0]
            if claims:
                db.execute(load_sql.CLAIM)
            db.execute(load_sql.STORE)
            db.execute(
                load_sql.TOUCHED, {"low": low - SESSION_GAP_MS, "high": high + SESSION_GAP_MS}
            )
            if claims:
                db.execute(load_sql.CLAIMED)
            db.execute(load_sql.SESSIONS)
        db.execute(load_sql.COUNT)
        return Loaded(stored=stored, duplicates=read - stored)


def _mark(segment: Path) -> Path:
    """The empty file that stands beside a segment in which damage was found."""
    return segment.with_suffix(".has-damage")


def _bad_row(line: bytes, message: str) -> bytes:
    row = {
        "id": new_id(),
        "received": time_ns() // 1_000_000,
        "reason": "unloadable",
        "message": message,
        "raw": base64.b64encode(line).decode("ascii"),
    }
    return msgspec.json.encode(row) + b"\n"
