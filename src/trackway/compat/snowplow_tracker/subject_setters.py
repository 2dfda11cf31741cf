"""The Subject's setters on the tracker, as the 0.7 manual prints some of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from trackway.compat.snowplow_tracker.subject import Subject


def _on_subject(name: str) -> Callable[..., Any]:
    def setter(self: Any, *args: Any, **kwargs: Any) -> Any:
        getattr(self.subject, name)(*args, **kwargs)
        return self

    setter.__name__ = name
    setter.__doc__ = f"``subject.{name}`` of the tracker's subject; returns the tracker."
    return setter


class SubjectSetters:
    """Each setter acts on ``self.subject`` and returns the tracker."""

    subject: Any

    set_platform = _on_subject("set_platform")
    set_user_id = _on_subject("set_user_id")
    set_screen_resolution = _on_subject("set_screen_resolution")
    set_viewport = _on_subject("set_viewport")
    set_color_depth = _on_subject("set_color_depth")
    set_timezone = _on_subject("set_timezone")
    set_lang = _on_subject("set_lang")
    set_domain_user_id = _on_subject("set_domain_user_id")
    set_domain_session_id = _on_subject("set_domain_session_id")
    set_domain_session_index = _on_subject("set_domain_session_index")
    set_ip_address = _on_subject("set_ip_address")
    set_useragent = _on_subject("set_useragent")
    set_network_user_id = _on_subject("set_network_user_id")

    def set_subject(self, subject: Any) -> Self:
        """Whom the following events are about; None: a Subject about whom nothing is known."""
        self.subject = subject if subject is not None else Subject()
        return self
