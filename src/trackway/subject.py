"""Who and what an event is about: user, device and network facts that a tracker adds to events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Subject:
    """Facts about the actor, set once and added to every event. Every setter returns the Subject.

    A setter replaces the facts as a whole, so a thread that is building an event sees either the
    old ones or the new ones. For one user per request prefer a scope (``tracker.scope(...)``): a
    Subject that several requests share can mix their users.
    """

    def __init__(self, platform: str = "srv") -> None:
        #: The facts by their names as fields of Event; replaced as a whole, never changed.
        self.facts: Mapping[str, Any] = {"platform": platform}

    def _set(self, **facts: Any) -> Subject:
        merged = {**self.facts, **facts}
        self.facts = {field: value for field, value in merged.items() if value is not None}
        return self

    def set_platform(self, value: str) -> Subject:
        """Where it runs: web, iot, app, mob, pc, cnsl, tv, srv or headset."""
        return self._set(platform=value)

    def set_user_id(self, user_id: str | None) -> Subject:
        """The application's own id of the person."""
        return self._set(user_id=None if user_id is None else str(user_id))

    def set_screen_resolution(self, width: int, height: int) -> Subject:
        """Size of the screen in pixels."""
        return self._set(resolution=f"{width}x{height}")

    def set_viewport(self, width: int, height: int) -> Subject:
        """Size of the browser's viewport in pixels."""
        return self._set(viewport=f"{width}x{height}")

    def set_color_depth(self, depth: int) -> Subject:
        """Bits per pixel of the screen."""
        return self._set(color_depth=str(depth))

    def set_timezone(self, timezone: str) -> Subject:
        """IANA name of the device's time zone, such as Europe/London."""
        return self._set(time_zone=timezone)

    def set_lang(self, lang: str) -> Subject:
        """Language of the device, such as en-GB."""
        return self._set(language=lang)

    def set_domain_user_id(self, duid: str) -> Subject:
        """First-party id of the browser."""
        return self._set(anonymous_id=duid)

    def set_domain_session_id(self, sid: str) -> Subject:
        """Id of the browser's session, a UUID."""
        return self._set(session_id=sid)

    def set_domain_session_index(self, vid: int) -> Subject:
        """How many sessions the browser has had."""
        return self._set(session_index=vid)

    def set_network_user_id(self, nuid: str) -> Subject:
        """Third-party id of the browser, given by a collector."""
        return self._set(network_id=nuid)

    def set_ip_address(self, ip: str) -> Subject:
        """Address of the client."""
        return self._set(ip=ip)

    def set_useragent(self, ua: str) -> Subject:
        """User agent of the client."""
        return self._set(user_agent=ua)
