"""From a user agent to browser, system, kind of device, and whether it is a robot."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from trackway.errors import MissingExtra
from trackway.event import Event

#: Programs that fetch pages without a person looking, beyond what the parser knows as spiders.
_ROBOT = re.compile(  # a CUBOT is a phone
    r"(?<!cu)bot\b|bot/|crawl|spider|slurp|headless|lighthouse|pingdom|uptime|monitor|scrapy|phantomjs|"
    r"python-requests|python-urllib|python-httpx|aiohttp|curl/|wget/|go-http-client|java/|"
    r"okhttp|libwww|httpclient|axios/|node-fetch|facebookexternalhit|preview|feed(?:fetcher|ly)",
    re.IGNORECASE,
)
_TABLET = re.compile(r"iPad|Tablet|Kindle|Silk/|PlayBook|Nexus (?:7|9|10)\b|SM-T\d", re.IGNORECASE)
_TELEVISION = re.compile(r"TV\b|SmartTV|SMART-TV|AppleTV|BRAVIA|Roku|CrKey", re.IGNORECASE)
_PHONE_SYSTEMS = frozenset(("iOS", "Windows Phone", "BlackBerry OS", "KaiOS", "Firefox OS"))
_DESKTOP_SYSTEMS = frozenset(
    ("Windows", "Mac OS X", "macOS", "Linux", "Ubuntu", "Fedora", "Debian", "Chrome OS", "FreeBSD")
)

#: What we call families that the parser splits finer than anybody wants to read.
_BROWSERS = {
    "Chrome Mobile": "Chrome",
    "Chrome Mobile iOS": "Chrome",
    "Chrome Mobile WebView": "Chrome",
    "Mobile Safari": "Safari",
    "Mobile Safari UI/WKWebView": "Safari",
    "Firefox Mobile": "Firefox",
    "Firefox iOS": "Firefox",
    "Edge Mobile": "Edge",
    "Opera Mobile": "Opera",
    "Opera Mini": "Opera",
}
_SYSTEMS = {"Mac OS X": "macOS"}


class Agent(NamedTuple):
    """What a user agent says; None is not known."""

    browser: str | None
    browser_version: str | None
    os: str | None
    os_version: str | None
    device: str
    is_bot: bool


def parse_agent(text: str) -> Agent:
    """Read a user agent. Raises MissingExtra without ua-parser."""
    try:
        from ua_parser import parse
    except ImportError:
        raise MissingExtra("ua-parser", "server") from None
    found = parse(text)
    browser, system, device = found.user_agent, found.os, found.device
    is_bot = bool(_ROBOT.search(text)) or (device is not None and device.family == "Spider")
    family = browser.family if browser else None
    os_family = system.family if system else None
    return Agent(
        _BROWSERS.get(family or "", family),
        _version(browser.major, browser.minor) if browser else None,
        _SYSTEMS.get(os_family or "", os_family),
        _version(system.major, system.minor) if system else None,
        "bot" if is_bot else _device(text, os_family),
        is_bot,
    )


def _version(major: str | None, minor: str | None) -> str | None:
    return f"{major}.{minor}" if major and minor else major


def _device(text: str, system: str | None) -> str:
    if _TELEVISION.search(text):
        return "tv"
    # Android tablets leave out the word that Android phones carry (Chrome's user agent guide).
    if _TABLET.search(text) or (system == "Android" and "Mobile" not in text):
        return "tablet"
    if system in _PHONE_SYSTEMS or system == "Android":
        return "phone"
    return "desktop" if system in _DESKTOP_SYSTEMS else "other"


@lru_cache(maxsize=10_000)
def _facts(text: str) -> Mapping[str, Any]:
    return {field: value for field, value in parse_agent(text)._asdict().items() if value}


def agent_facts(event: Event) -> Mapping[str, Any]:
    """For the enrichment step: browser, system, device and ``is_bot`` from ``user_agent``."""
    return _facts(event.user_agent) if event.user_agent else {}
