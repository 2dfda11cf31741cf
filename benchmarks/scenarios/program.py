"""The plain programs: ``python -m benchmarks.scenarios.program NAME [ARGUMENT ...]``.

Each prints ``leaving`` (monotonic seconds) when it has come to its own end.
"""

import itertools
import json
import mmap
import multiprocessing
import os
import struct
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks.scenarios.application import client, say, send


def leave(count: int) -> None:
    """Track and come to the end."""
    send(count)


def be_ended(count: int, how: int, before: int = 0) -> None:
    """Track, and get a signal at once. ``before``: how many more are tracked and sent before."""
    if before:
        send(before)
        client.flush(20)
        time.sleep(0.2)  # the worker looks for more, and comes to rest
    send(count)
    os.kill(os.getpid(), how)
    time.sleep(60)


def be_ended_while_tracking(after: float, how: int, counter: str) -> None:
    """Track without a pause until a signal comes after so many seconds.

    ``counter``: a file that holds how many calls have returned, eight bytes.
    """
    with Path(counter).open("w+b") as file:
        file.write(bytes(8))
        file.flush()
        page = mmap.mmap(file.fileno(), 8)
    threading.Timer(after, os.kill, (os.getpid(), how)).start()
    for returned in itertools.count(1):
        send(1)
        struct.pack_into("<Q", page, 0, returned)


def start_again() -> None:
    """The next start of an application that was ended: it makes its client, and flushes."""
    client.flush(20)


def fork(count: int, wait: float, parents: int = 0) -> None:
    """Track in a child of ``os.fork``, which waits a while and ends like any program.

    ``parents``: how many events the parent tracks before the fork, and again after it.
    """
    send(parents)
    child = os.fork()
    if child == 0:
        send(count)
        time.sleep(wait)
    else:
        send(parents)
        os.waitpid(child, 0)


def fork_and_vanish(count: int, flush: float) -> None:
    """Track in a child that ends with ``os._exit``, after a flush if there are seconds for it."""
    child = os.fork()
    if child == 0:
        send(count)
        if flush:
            client.flush(flush)
        os._exit(0)
    os.waitpid(child, 0)


def fork_storm(children: int, count: int, parents: int) -> None:
    """Fork again and again while a thread of the parent tracks; each child tracks and flushes."""

    def track() -> None:
        for _ in range(parents):
            send(1)
            time.sleep(0.0005)

    thread = threading.Thread(target=track)
    thread.start()
    for _ in range(children):
        child = os.fork()
        if child == 0:
            send(count)
            os._exit(client.flush(10))
        if os.waitpid(child, 0)[1]:
            sys.exit("a child could not send its events")
    thread.join()


def child_process(count: int, method: str, parents: int = 0) -> None:
    """Track in a multiprocessing child that returns."""
    multiprocessing.set_start_method(method)
    send(parents)
    child = multiprocessing.Process(target=send, args=(count,))
    child.start()
    child.join()


def generations(count: int, method: str) -> None:
    """Track in a multiprocessing child that has a child which tracks as well."""
    multiprocessing.set_start_method(method)
    child = multiprocessing.Process(target=_with_a_child, args=(count,))
    child.start()
    child.join()


def _with_a_child(count: int) -> None:
    send(count)
    child = multiprocessing.Process(target=send, args=(count,))
    child.start()
    child.join()


def executor(count: int, method: str) -> None:
    """Track in the two processes of an executor."""
    multiprocessing.set_start_method(method)
    with ProcessPoolExecutor(2) as processes:
        list(processes.map(send, [1] * count))


def pool(count: int, method: str) -> None:
    """Track in the two processes of a pool that is closed and joined."""
    multiprocessing.set_start_method(method)
    processes = multiprocessing.Pool(2)
    processes.map(send, [1] * count, chunksize=1)
    processes.close()
    processes.join()


def pool_is_terminated(count: int) -> None:
    """Track in the two processes of a pool that is left as a context, which terminates them."""
    with multiprocessing.get_context("fork").Pool(2) as processes:
        processes.map(send, [1] * count, chunksize=1)


if __name__ == "__main__":
    name, *texts = sys.argv[1:]
    globals()[name](*map(json.loads, texts))
    say(leaving=time.monotonic())
