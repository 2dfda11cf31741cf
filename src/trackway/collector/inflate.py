"""Compressed request bodies, opened within a bound."""

from __future__ import annotations

import zlib

from trackway.errors import InvalidBody, InvalidEvent

#: zlib's number for: find out by the header whether it is gzip or zlib.
_EITHER = 47


def too_large(most: int) -> InvalidEvent:
    """What is said of a body above the bound, however it came."""
    return InvalidEvent("body_too_large", f"the body is larger than {most} bytes; split the batch")


def inflate(body: bytes, encoding: bytes, most: int) -> bytes:
    """The body without its Content-Encoding (RFC 9110, 8.4): gzip, deflate or none.

    Raises InvalidEvent ``body_too_large`` for what would become larger than ``most`` bytes, before
    it does: a few kilobytes can say gigabytes. Raises InvalidBody ``invalid_encoding``.
    """
    coding = encoding.strip().lower()
    if coding in (b"", b"identity"):
        return body
    if coding not in (b"gzip", b"x-gzip", b"deflate"):
        named = coding.decode("latin-1")[:40]
        raise InvalidBody("invalid_encoding", f"Content-Encoding {named!r} is not gzip or deflate")
    opener = zlib.decompressobj(_EITHER)
    try:
        opened = opener.decompress(body, most + 1)
    except zlib.error as error:
        raise InvalidBody(
            "invalid_encoding", f"the body is not {coding.decode()}: {error}"
        ) from None
    if len(opened) > most:
        raise too_large(most)
    if not opener.eof or opener.unused_data:
        raise InvalidBody("invalid_encoding", f"the {coding.decode()} body is cut off or continues")
    return opened
