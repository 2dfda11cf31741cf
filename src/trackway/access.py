"""Who may look: a login link, a signed cookie, and a token for the command line."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import stat
import time
from collections.abc import Callable
from pathlib import Path

from trackway.errors import SettingError

#: How long a login lasts.
SESSION_SECONDS = 30 * 24 * 60 * 60

_SECRET_FORM = re.compile(r"[0-9a-f]{64}")


class Access:
    """The keys of a data folder, made on first use.

    The file ``secret`` signs logins: whoever deletes it (and restarts) ends every session and
    makes every login link void. The file ``token`` opens the HTTP API to programs. Both are
    readable by their owner only; a file that others can read is refused, as ssh does.

    Raises SettingError if a file cannot be made, read or trusted.
    """

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._clock = clock
        self._secret = bytes.fromhex(_kept(folder / "secret"))
        self.token = _kept(folder / "token")

    @property
    def login_key(self) -> str:
        """The key of the login link; the same at each start, until ``secret`` is deleted."""
        return self._sign("login")

    def login_path(self) -> str:
        """The path and query of the login link."""
        return f"/login?key={self.login_key}"

    def is_login_key(self, key: str) -> bool:
        """Whether this is the key of the login link."""
        return _same(key, self.login_key)

    def new_session(self) -> str:
        """What a session cookie holds: when it ends, and the proof that we wrote that."""
        expires = int(self._clock()) + SESSION_SECONDS
        return f"{expires}.{self._sign(f'session {expires}')}"

    def is_session(self, cookie: str) -> bool:
        """Whether we issued this session and it has not ended."""
        expires, _, proof = cookie.partition(".")
        # The proof first: only what we signed is read as a number.
        if not _same(proof, self._sign(f"session {expires}")):
            return False
        return int(expires) > self._clock()

    def is_bearer(self, authorization: str) -> bool:
        """Whether an ``Authorization`` header carries the token (RFC 6750)."""
        scheme, _, token = authorization.partition(" ")
        return scheme.lower() == "bearer" and _same(token.strip(), self.token)

    def key(self, purpose: str) -> bytes:
        """A key of its own for another purpose, such as the daily hash of visitors."""
        return hmac.new(self._secret, f"key {purpose}".encode(), hashlib.sha256).digest()

    def _sign(self, text: str) -> str:
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()


def _same(given: str, expected: str) -> bool:
    # Bytes, because compare_digest refuses text beyond ASCII and anything can be given.
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())


def _kept(path: Path) -> str:
    """The 64 hexadecimal digits in a file, which is made if it is not there."""
    try:
        if not path.exists():
            _make(path)
        _refuse_open_file(path)
        text = path.read_text("ascii", "replace").strip()
    except OSError as error:
        raise SettingError(f"{path} cannot be used: {error}") from error
    if not _SECRET_FORM.fullmatch(text):
        raise SettingError(f"{path} is damaged: delete it, and a new one is made at the next start")
    return text


def _make(path: Path) -> None:
    """Write a new secret; of several processes that try at once one wins, and no other ever sees
    half a file: it gets its name only when it is complete, and only if the name is free."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(secrets.token_hex(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        draft.unlink(missing_ok=True)


def _refuse_open_file(path: Path) -> None:
    # Windows keeps no such bits; there the folder's own permissions count.
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise SettingError(f"{path} can be read by others: delete it, or run chmod 600 {path}")
