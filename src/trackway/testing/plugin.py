"""The pytest plugin: a fixture with the events that a test has tracked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from trackway.testing.capture import Captured


@pytest.fixture
def captured() -> Iterator[Captured]:
    """The events that this test tracks, of every tracker; nothing is sent meanwhile.

    ``captured.assert_tracked("order placed", user_id="u1")``; see Trackway's guide "Testing".
    """
    # Here, because pytest loads this file in every project in which Trackway is installed.
    from trackway.testing.capture import capture

    with capture() as events:
        yield events
