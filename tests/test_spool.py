"""The spool: whole frames or none, one owner, a bound, and no trace of a failed write."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import clean_environment
from trackway.delivery import spool as spool_module
from trackway.delivery.spool import MAX_FRAME, Spool, frame, read_frames
from trackway.errors import SpoolError

HEADER = 16


def payloads(path: Path, start: int = 0, end: int | None = None) -> list[bytes]:
    return [found.payload for found in read_frames(path, start, end)]


def run(script: str, *arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own and hand back what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)],
        capture_output=True,
        text=True,
        env=clean_environment(),
        timeout=60,
        **options,
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    one = Spool(tmp_path / "spool")
    yield one
    one.close()


# Frames ---------------------------------------------------------------------------------------


@given(
    st.lists(
        st.tuples(st.binary(max_size=200), st.integers(0, 255), st.integers(0, 2**32 - 1)),
        max_size=6,
    )
)
@settings(max_examples=100)
def test_frames_are_read_as_they_were_written(written: list[tuple[bytes, int, int]]) -> None:
    descriptor = os.memfd_create("segment")
    try:
        for payload, kind, records in written:
            os.write(descriptor, frame(payload, kind=kind, records=records))
        found = list(read_frames(Path(f"/proc/self/fd/{descriptor}")))
    finally:
        os.close(descriptor)
    assert [(one.payload, one.kind, one.records) for one in found] == written
    starts = [0, *(one.end for one in found)]
    assert [one.start for one in found] == starts[:-1]
    assert all(one.end - one.start == HEADER + len(one.payload) for one in found)


def test_a_segment_torn_off_anywhere_yields_the_frames_before_the_tear(tmp_path: Path) -> None:
    frames = [frame(b"x" * n, kind=1, records=1) for n in (5, 0, 17, 3)]
    whole = b"".join(frames)
    ends = [sum(map(len, frames[: n + 1])) for n in range(len(frames))]
    path = tmp_path / "segment"
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        expected = [n for n, end in enumerate(ends) if end <= length]
        assert [one.end for one in read_frames(path)] == [ends[n] for n in expected], length


def test_damage_anywhere_in_the_middle_costs_one_frame_and_shows_as_a_gap(tmp_path: Path) -> None:
    # "TW" is what a frame begins with: a false start inside a payload must mislead nobody
    frames = [frame(text, kind=1, records=1) for text in (b"one", b"TWTW\x01two", b"three", b"4")]
    whole = b"".join(frames)
    first, last = len(frames[0]), len(whole) - len(frames[3])
    path = tmp_path / "segment"
    for place in range(first, last):
        for change in (0x01, 0x80, 0xFF):
            damaged = bytearray(whole)
            damaged[place] ^= change
            path.write_bytes(damaged)
            found = list(read_frames(path))
            hit = 1 if place < first + len(frames[1]) else 2
            texts = [b"one", b"TWTW\x01two", b"three", b"4"]
            del texts[hit]
            assert [one.payload for one in found] == texts, (place, change)
            gaps = [b.start - a.end for a, b in itertools.pairwise(found)]
            assert sum(gaps) == len(frames[hit])


def test_bytes_in_front_of_the_first_frame_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "segment"
    path.write_bytes(b"\0" * 4096 + frame(b"here", kind=1, records=1) + b"\0" * 100)
    assert payloads(path) == [b"here"]


def test_a_frame_of_a_version_that_is_not_known_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "segment"
    other = bytearray(frame(b"other", kind=1, records=1))
    other[2] = spool_module.VERSION + 1
    path.write_bytes(bytes(other) + frame(b"ours", kind=1, records=1))
    assert payloads(path) == [b"ours"]


def test_reading_stops_at_the_end_that_is_given_and_begins_at_the_start(tmp_path: Path) -> None:
    one, two = frame(b"one", kind=1, records=1), frame(b"two", kind=1, records=1)
    path = tmp_path / "segment"
    path.write_bytes(one + two)
    assert payloads(path, end=len(one)) == [b"one"]
    assert payloads(path, end=len(one) + len(two) - 1) == [b"one"]
    assert payloads(path, start=len(one)) == [b"two"]
    assert [(f.start, f.end) for f in read_frames(path, len(one))] == [(19, 38)]
    assert payloads(path, start=len(one), end=len(one)) == []


def test_a_record_that_no_reader_would_believe_is_not_written() -> None:
    with pytest.raises(SpoolError, match="too large"):
        frame(b"x" * (MAX_FRAME + 1), kind=1, records=1)


# Segments -------------------------------------------------------------------------------------


def test_what_is_appended_is_in_the_active_segment_up_to_the_place_returned(spool: Spool) -> None:
    one, two = frame(b"one", kind=1, records=1), frame(b"two", kind=2, records=7)
    segment, end = spool.append(one)
    assert (segment, end) == (spool.active, len(one))
    assert spool.append(two) == (segment, len(one) + len(two))
    spool.sync()
    assert [(f.payload, f.kind, f.records) for f in read_frames(segment)] == [
        (b"one", 1, 1),
        (b"two", 2, 7),
    ]
    assert spool.segments() == [segment]


def test_segments_end_above_their_size_and_keep_their_order(tmp_path: Path) -> None:
    spool = Spool(tmp_path, segment_bytes=100)
    numbers = [b"%d" % n for n in range(40)]
    for number in numbers:
        spool.append(frame(number, kind=1, records=1))
    segments = spool.segments()
    assert len(segments) > 5
    assert segments[-1] == spool.active
    assert [p for segment in segments for p in payloads(segment)] == numbers
    assert all(segment.stat().st_size <= 100 + HEADER + 2 for segment in segments)
    assert spool.size == sum(segment.stat().st_size for segment in segments)
    for segment in segments[:-1]:
        spool.remove(segment)
    assert spool.size == segments[-1].stat().st_size
    assert spool.segments() == segments[-1:]
    spool.close()


def test_a_new_owner_begins_a_segment_of_its_own(tmp_path: Path) -> None:
    first = Spool(tmp_path)
    old, _ = first.append(frame(b"old", kind=1, records=1))
    first.close()
    with old.open("ab") as file:
        file.write(frame(b"torn", kind=1, records=1)[:-1])
    second = Spool(tmp_path)
    new, _ = second.append(frame(b"new", kind=1, records=1))
    second.close()
    assert new != old
    assert payloads(old) == [b"old"]
    assert payloads(new) == [b"new"]


def test_segments_stay_in_order_when_the_clock_is_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    for now in (2_000_000_000_000, 1_000_000_000_000, 1_000_000_000_000):
        monkeypatch.setattr(spool_module, "time_ns", lambda now=now: now * 1_000_000)
        spool = Spool(tmp_path, segment_bytes=10)
        made += [spool.append(frame(b"x", kind=1, records=1))[0] for _ in range(20)]
        spool.close()
    assert Spool(tmp_path).segments() == made


def test_files_that_are_no_segments_are_left_alone(spool: Spool) -> None:
    (spool.folder / "notes.txt").write_text("x")
    spool.append(frame(b"x", kind=1, records=1))
    assert len(spool.segments()) == 1


def test_a_new_segment_is_active_before_another_thread_can_see_its_file(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The loader removes every segment that it finds and that is not the active one.
    seen = []
    real_open = os.open

    def open_and_look(path: Any, *rest: Any, **more: Any) -> int:
        descriptor = real_open(path, *rest, **more)
        seen.append([segment == spool.active for segment in spool.segments()])
        return descriptor

    monkeypatch.setattr(os, "open", open_and_look)
    spool.append(frame(b"x", kind=1, records=1))
    assert seen == [[True], [True]]


# The bound ------------------------------------------------------------------------------------


def test_the_bound_holds_and_gives_way_when_segments_are_removed(tmp_path: Path) -> None:
    spool = Spool(tmp_path, segment_bytes=200, max_bytes=1000)
    one = frame(b"x" * 84, kind=1, records=1)
    for _ in range(10):
        spool.append(one)
    with pytest.raises(SpoolError, match="full"):
        spool.append(one)
    assert spool.size == 1000
    spool.remove(spool.segments()[0])
    spool.append(one)
    spool.close()


@pytest.mark.parametrize("max_bytes", [1_000, 10_000])
def test_a_small_bound_never_locks_the_writer_out_for_good(tmp_path: Path, max_bytes: int) -> None:
    # A loader can only remove what has ended: one active segment must never reach the bound.
    spool = Spool(tmp_path, max_bytes=max_bytes)
    one = frame(b"x" * 84, kind=1, records=1)
    for _ in range(5 * max_bytes // len(one)):
        try:
            spool.append(one)
        except SpoolError:
            for segment in spool.segments():
                if segment != spool.active:
                    spool.remove(segment)
            spool.append(one)
    spool.close()


def test_what_an_earlier_process_left_counts_against_the_bound(tmp_path: Path) -> None:
    first = Spool(tmp_path)
    first.append(frame(b"x" * 500, kind=1, records=1))
    first.close()
    second = Spool(tmp_path, max_bytes=1000)
    assert second.size == 516
    with pytest.raises(SpoolError, match="full"):
        second.append(frame(b"x" * 500, kind=1, records=1))
    second.close()


# Writes that fail -----------------------------------------------------------------------------

WRITE_OVER_A_LIMIT = """
    import resource, sys
    from pathlib import Path
    from trackway.delivery.spool import Spool, frame, read_frames
    from trackway.errors import SpoolError

    spool = Spool(Path(sys.argv[1]))
    segment, end = spool.append(frame(b"a" * 600, kind=1, records=1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
    try:
        spool.append(frame(b"b" * 600, kind=1, records=1))
    except SpoolError as error:
        print(error)
    assert segment.stat().st_size == end, segment.stat().st_size
    assert spool.append(frame(b"c" * 100, kind=1, records=1)) == (segment, end + 116)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    spool.append(frame(b"d" * 600, kind=1, records=1))
    spool.close()
    print(*(chr(f.payload[0]) for s in spool.segments() for f in read_frames(s)))
"""


def test_a_write_that_stops_short_leaves_no_torn_frame(tmp_path: Path) -> None:
    done = run(WRITE_OVER_A_LIMIT, tmp_path / "spool")
    assert done.stdout.splitlines() == ["cannot write to the spool: File too large", "a c d"]


def test_a_failed_sync_ends_the_segment(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = spool.append(frame(b"doubtful", kind=1, records=1))

    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fdatasync", fail)
        with pytest.raises(SpoolError, match="cannot sync the spool: Input/output error"):
            spool.sync()
    second, _ = spool.append(frame(b"sure", kind=1, records=1))
    spool.sync()
    assert second != first
    assert spool.segments() == [first, second]


def test_a_segment_whose_name_is_not_durable_is_not_written_to(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", fail)
        with pytest.raises(SpoolError):
            spool.append(frame(b"nameless", kind=1, records=1))
    assert spool.active is None
    doubtful = spool.segments()
    segment, _ = spool.append(frame(b"sure", kind=1, records=1))
    assert segment not in doubtful
    assert [p for s in spool.segments() for p in payloads(s)] == [b"sure"]


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolError, match="cannot be used: Not a directory"):
        Spool(tmp_path / "file" / "spool")


# One owner ------------------------------------------------------------------------------------

TRY_TO_OWN = """
    import sys
    from pathlib import Path
    from trackway.delivery.spool import Spool
    from trackway.errors import SpoolError
    try:
        Spool(Path(sys.argv[1]))
        print("owned")
    except SpoolError as error:
        print(error)
"""


def test_a_second_process_is_refused_until_the_first_has_let_go(spool: Spool) -> None:
    assert "is in use by another process" in run(TRY_TO_OWN, spool.folder).stdout
    spool.close()
    assert run(TRY_TO_OWN, spool.folder).stdout == "owned\n"


def test_an_owner_that_was_killed_owns_nothing(tmp_path: Path) -> None:
    script = """
        import sys, time
        from pathlib import Path
        from trackway.delivery.spool import Spool
        spool = Spool(Path(sys.argv[1]))
        print("owned", flush=True)
        time.sleep(60)
    """
    owner = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)],
        stdout=subprocess.PIPE,
        env=clean_environment(),
    )
    assert owner.stdout is not None
    with owner.stdout:
        assert owner.stdout.readline() == b"owned\n"
        assert "in use" in run(TRY_TO_OWN, tmp_path).stdout
        owner.kill()
        owner.wait()
    assert run(TRY_TO_OWN, tmp_path).stdout == "owned\n"


FORK = """
    import os, sys
    from pathlib import Path
    from trackway.delivery.spool import Spool, frame
    from trackway.errors import SpoolError

    spool = Spool(Path(sys.argv[1]))
    spool.append(frame(b"x", kind=1, records=1))
    closed, opened = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        try:
            Spool(Path(sys.argv[1]))
            print("the child owned the parent's spool", flush=True)
        except SpoolError as error:
            print("child:", str(error).rpartition(" is ")[2], flush=True)
        os.write(opened[1], b".")
        os.read(closed[0], 1)
        os._exit(0)
    os.read(opened[0], 1)
    spool.close()
    # The child is alive and has the lock's descriptor, and yet does not hold the folder.
    again = os.fork()
    if again == 0:
        Spool(Path(sys.argv[1]))
        print("another process owns it", flush=True)
        os._exit(0)
    os.waitpid(again, 0)
    os.write(closed[1], b".")
    os.waitpid(child, 0)
"""


def test_a_forked_child_does_not_own_the_spool(tmp_path: Path) -> None:
    done = run(FORK, tmp_path / "spool")
    assert done.stdout.splitlines() == [
        "child: in use by another process",
        "another process owns it",
    ]
