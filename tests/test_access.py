"""Access: keys are made once, signatures hold, and nothing is open by accident."""

from __future__ import annotations

import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackway.access import SESSION_SECONDS, Access
from trackway.errors import SettingError


@pytest.fixture
def access(tmp_path: Path) -> Access:
    return Access(tmp_path)


def test_the_files_are_for_their_owner_only(tmp_path: Path, access: Access) -> None:
    for name in ("secret", "token"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert (tmp_path / "token").read_text().strip() == access.token


def test_the_files_hold_what_nobody_can_guess(tmp_path: Path) -> None:
    made = [Access(tmp_path / str(n)) for n in range(3)]
    secrets = {(tmp_path / str(n) / "secret").read_text() for n in range(3)}
    assert len(secrets | {one.token for one in made}) == 6
    assert all(len(secret.strip()) == 64 for secret in secrets)


def test_nothing_else_is_left_in_the_folder(tmp_path: Path, access: Access) -> None:
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secret", "token"]


def test_the_login_link_works_until_the_secret_is_deleted(tmp_path: Path, access: Access) -> None:
    again = Access(tmp_path)
    assert again.login_path() == access.login_path() == f"/login?key={access.login_key}"
    assert again.is_login_key(access.login_key)
    assert again.is_session(access.new_session())
    (tmp_path / "secret").unlink()
    anew = Access(tmp_path)
    assert not anew.is_login_key(access.login_key)
    assert not anew.is_session(access.new_session())
    assert anew.token == access.token


def test_a_session_ends_after_thirty_days(tmp_path: Path) -> None:
    now = 1_000_000.0
    access = Access(tmp_path, clock=lambda: now)
    session = access.new_session()
    now += SESSION_SECONDS - 1
    assert access.is_session(session)
    now += 1
    assert not access.is_session(session)


def test_a_session_cannot_be_prolonged_or_made_from_another_signature(access: Access) -> None:
    expires, _, proof = access.new_session().partition(".")
    assert not access.is_session(f"{int(expires) + 1}.{proof}")
    assert not access.is_session(f"{expires}.{access.login_key}")
    assert not access.is_session(f"{expires}.")
    assert not access.is_login_key(proof)


@given(given=st.text())
def test_nothing_made_up_opens_anything(
    given: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    access = Access(tmp_path_factory.getbasetemp() / "made-up")
    assert not access.is_session(given)
    assert not access.is_login_key(given)
    assert not access.is_bearer(given)
    assert not access.is_bearer(f"Bearer {given}")


def test_the_token_is_checked_as_a_bearer(access: Access) -> None:
    assert access.is_bearer(f"Bearer {access.token}")
    assert access.is_bearer(f"bearer  {access.token}")
    assert not access.is_bearer(access.token)
    assert not access.is_bearer(f"Basic {access.token}")
    assert not access.is_bearer("Bearer " + access.token[:-1])


def test_keys_for_other_purposes_differ_from_each_other_and_stay(
    tmp_path: Path, access: Access
) -> None:
    assert access.key("visitor") == Access(tmp_path).key("visitor")
    assert len({access.key("visitor"), access.key("other"), access.login_key.encode()}) == 3


MAKE = """
import sys
from pathlib import Path
from trackway.access import Access
access = Access(Path(sys.argv[1]))
print(access.login_key, access.token)
"""


def test_processes_that_start_at_once_agree(tmp_path: Path) -> None:
    def start(_: int) -> str:
        command = [sys.executable, "-c", MAKE, str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(start, range(6)))) == 1


def test_threads_that_start_at_once_agree(tmp_path: Path) -> None:
    for n in range(20):
        folder = tmp_path / str(n)
        with ThreadPoolExecutor(8) as pool:
            keys = set(pool.map(lambda _, where=folder: Access(where).login_key, range(8)))
        assert len(keys) == 1


@pytest.mark.parametrize("text", ["", "\n", "abc", "0" * 63, "g" * 64, "0" * 65, "\ud7ff" * 3])
def test_a_damaged_file_is_refused_with_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / "secret").write_text(text)
    (tmp_path / "secret").chmod(0o600)
    with pytest.raises(SettingError, match="is damaged: delete it"):
        Access(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps no such bits")
@pytest.mark.parametrize("name", ["secret", "token"])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, access: Access, name: str) -> None:
    (tmp_path / name).chmod(0o640)
    with pytest.raises(SettingError, match="chmod 600"):
        Access(tmp_path)


def test_a_folder_that_cannot_be_written_is_a_setting_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingError, match="cannot be used"):
        Access(tmp_path / "file")
