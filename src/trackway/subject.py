"""Who and what an event is about: user, device and network facts that a tracker adds to events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from trackway.contracts import Contracts

#: Where an application may run, as the protocol names it.
PLATFORMS = ("web", "iot", "app", "mob", "pc", "cnsl", "tv", "srv", "headset")
#: The largest number that the protocol has room for.
_LARGEST = 2**31 - 1


class Subject:
    """Facts about the actor, set once and added to every event. Every setter returns the Subject.

    A setter replaces the facts as a whole, so a thread that is building an event sees either the
    old ones or the new ones. For one user per request prefer a scope (``tracker.scope(...)``): a
    Subject that several requests share can mix their users.

    ``platform``: where it runs: web, iot, app, mob, pc, cnsl, tv, srv or headset. ``strict``: what
    happens to a value that cannot be, as in ``Tracker``. Setting None takes a fact away, and so
    does a value that cannot be, where nothing is raised: no user is better than the wrong one.
    """

    def __init__(self, platform: str = "srv", *, strict: bool | None = None) -> None:
        self.contracts = Contracts(strict)
        #: The facts by their names as fields of Event; replaced as a whole, never changed.
        self.facts: Mapping[str, Any] = {"platform": "srv"}
        self.set_platform(platform)

    def _set(self, **facts: Any) -> Self:
        merged = {**self.facts, **facts}
        self.facts = {field: value for field, value in merged.items() if value is not None}
        return self

    def _set_text(self, setter: str, field: str, argument: str, value: Any) -> Self:
        return self._set(**{field: self.contracts.text(f"Subject.{setter}", argument, value)})

    def _set_size(self, setter: str, field: str, width: Any, height: Any) -> Self:
        place = f"Subject.{setter}"
        wide = self.contracts.whole(place, "width", width, 1, _LARGEST)
        high = self.contracts.whole(place, "height", height, 1, _LARGEST)
        if (width is None) != (height is None):
            self.contracts.breach(place, "width and height", "given both", (width, height))
        return self._set(**{field: f"{wide}x{high}" if wide and high else None})

    def set_platform(self, value: str) -> Self:
        """Where it runs: web, iot, app, mob, pc, cnsl, tv, srv or headset.

        Anything else leaves it as it is: of an event without a platform a collector would refuse
        the whole request.
        """
        found = self.contracts.one_of("Subject.set_platform", "value", value, PLATFORMS)
        return self._set(platform=found) if found else self

    def set_user_id(self, user_id: str | None) -> Self:
        """The application's own id of the person."""
        return self._set_text("set_user_id", "user_id", "user_id", user_id)

    def set_screen_resolution(self, width: int, height: int) -> Self:
        """Size of the screen in pixels."""
        return self._set_size("set_screen_resolution", "resolution", width, height)

    def set_viewport(self, width: int, height: int) -> Self:
        """Size of the browser's viewport in pixels."""
        return self._set_size("set_viewport", "viewport", width, height)

    def set_color_depth(self, depth: int) -> Self:
        """Bits per pixel of the screen."""
        found = self.contracts.whole("Subject.set_color_depth", "depth", depth, 1, _LARGEST)
        return self._set(color_depth=None if found is None else str(found))

    def set_timezone(self, timezone: str | None) -> Self:
        """IANA name of the device's time zone, such as Europe/London."""
        return self._set_text("set_timezone", "time_zone", "timezone", timezone)

    def set_lang(self, lang: str | None) -> Self:
        """Language of the device, such as en-GB."""
        return self._set_text("set_lang", "language", "lang", lang)

    def set_domain_user_id(self, duid: str | None) -> Self:
        """First-party id of the browser."""
        return self._set_text("set_domain_user_id", "anonymous_id", "duid", duid)

    def set_domain_session_id(self, sid: str | None) -> Self:
        """Id of the browser's session, a UUID."""
        found = self.contracts.uuid("Subject.set_domain_session_id", "sid", sid)
        return self._set(session_id=found)

    def set_domain_session_index(self, vid: int | None) -> Self:
        """How many sessions the browser has had."""
        place = "Subject.set_domain_session_index"
        found = self.contracts.whole(place, "vid", vid, 0, _LARGEST)
        return self._set(session_index=found)

    def set_network_user_id(self, nuid: str | None) -> Self:
        """Third-party id of the browser, given by a collector."""
        return self._set_text("set_network_user_id", "network_id", "nuid", nuid)

    def set_ip_address(self, ip: str | None) -> Self:
        """Address of the client."""
        return self._set_text("set_ip_address", "ip", "ip", ip)

    def set_useragent(self, ua: str | None) -> Self:
        """User agent of the client."""
        return self._set_text("set_useragent", "user_agent", "ua", ua)
