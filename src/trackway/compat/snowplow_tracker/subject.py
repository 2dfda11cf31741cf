"""Who and what the events of a tracker are about, with the setters' old contracts."""

from __future__ import annotations

from typing import Any, Self

from trackway import subject as native
from trackway.compat.snowplow_tracker import rules
from trackway.compat.snowplow_tracker.compatibility import Compatibility, chosen
from trackway.compat.snowplow_tracker.contracts import contract
from trackway.compat.snowplow_tracker.typing import PayloadDict
from trackway.event import Event
from trackway.wires.snowplow import encode


class Subject(native.Subject):
    """Facts about the actor. Every setter returns the Subject; the platform is ``pc`` at first."""

    def __init__(self, platform: str = "pc", *, compatibility: Compatibility | None = None) -> None:
        self.compatibility = chosen(compatibility)
        super().__init__(platform, strict=False)

    @contract(value=rules.PLATFORM)
    def set_platform(self, value: str) -> Self:
        """Where it runs: web, iot, app, mob, pc, cnsl, tv, srv or headset."""
        super().set_platform(value)
        return self

    @contract(user_id=rules.TEXT)
    def set_user_id(self, user_id: str | None) -> Self:
        """The application's own id of the person."""
        super().set_user_id(user_id)
        return self

    @contract(width=rules.POSITIVE, height=rules.POSITIVE)
    def set_screen_resolution(self, width: int, height: int) -> Self:
        """Size of the screen in pixels."""
        super().set_screen_resolution(width, height)
        return self

    @contract(width=rules.POSITIVE, height=rules.POSITIVE)
    def set_viewport(self, width: int, height: int) -> Self:
        """Size of the window in pixels."""
        super().set_viewport(width, height)
        return self

    @contract(depth=rules.WHOLE)
    def set_color_depth(self, depth: int) -> Self:
        """Bits per pixel of the screen."""
        super().set_color_depth(depth)
        return self

    @contract(timezone=rules.TEXT)
    def set_timezone(self, timezone: str | None) -> Self:
        """Name of the time zone, such as Europe/London."""
        super().set_timezone(timezone)
        return self

    def timezone(self, timezone: str) -> Self:
        """``set_timezone`` as the manual of 0.7 once writes it."""
        return self.set_timezone(timezone)

    @contract(lang=rules.TEXT)
    def set_lang(self, lang: str | None) -> Self:
        """Language of the user, such as en."""
        super().set_lang(lang)
        return self

    @contract(duid=rules.TEXT)
    def set_domain_user_id(self, duid: str | None) -> Self:
        """First-party id of the browser."""
        super().set_domain_user_id(duid)
        return self

    @contract(sid=rules.TEXT)
    def set_domain_session_id(self, sid: str | None) -> Self:
        """Id of the browser's session, a UUID."""
        super().set_domain_session_id(sid)
        return self

    @contract(vid=rules.WHOLE)
    def set_domain_session_index(self, vid: int | None) -> Self:
        """How many sessions the browser has had."""
        super().set_domain_session_index(vid)
        return self

    @contract(ip=rules.TEXT)
    def set_ip_address(self, ip: str | None) -> Self:
        """Address of the user; kept as text, whatever it is."""
        super().set_ip_address(ip)
        return self

    @contract(ua=rules.TEXT)
    def set_useragent(self, ua: str | None) -> Self:
        """User agent of the browser."""
        super().set_useragent(ua)
        return self

    @contract(nuid=rules.TEXT)
    def set_network_user_id(self, nuid: str | None) -> Self:
        """Third-party id of the browser; sent as ``tnuid``."""
        super().set_network_user_id(nuid)
        return self

    @property
    def standard_nv_pairs(self) -> PayloadDict:
        """The facts under their wire keys; a copy."""
        return wire_pairs(self)

    def combine_subject(self, subject: native.Subject | None) -> PayloadDict:
        """The facts under their wire keys, completed by those of ``subject``; own values win."""
        below = {} if subject is None else wire_pairs(subject)
        return {**below, **wire_pairs(self)}


def wire_pairs(subject: native.Subject) -> PayloadDict:
    """The facts of any subject under their wire keys."""
    payload: dict[str, Any] = dict(encode(Event(id="", **subject.facts)))
    return {key: value for key, value in payload.items() if key not in ("e", "eid")}
