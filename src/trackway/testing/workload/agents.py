"""The browsers and bots of the workload: real user-agent strings with what they stand for."""

from __future__ import annotations

from typing import NamedTuple


class Agent(NamedTuple):
    """A user-agent string, the kind of device it runs on and how often people use it."""

    text: str
    device: str  # desktop, phone, tablet or bot
    browser: str
    os: str | None
    weight: float


_WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
_APPLE = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
_WINDOWS = "Windows NT 10.0; Win64; x64"
_MAC = "Macintosh; Intel Mac OS X 10_15_7"
_LINUX = "X11; Linux x86_64"


def _desktops() -> list[Agent]:
    agents = []
    for system, os, share in ((_WINDOWS, "Windows", 6), (_MAC, "macOS", 3), (_LINUX, "Linux", 1)):
        for version in (137, 138, 139):
            text = f"Mozilla/5.0 ({system}) {_WEBKIT} Chrome/{version}.0.0.0 Safari/537.36"
            agents.append(Agent(text, "desktop", "Chrome", os, share))
        for version in (128, 140, 141):
            text = f"Mozilla/5.0 ({system}; rv:{version}.0) Gecko/20100101 Firefox/{version}.0"
            agents.append(Agent(text, "desktop", "Firefox", os, share * 0.3))
    for version in (137, 138):
        chrome = f"Mozilla/5.0 ({_WINDOWS}) {_WEBKIT} Chrome/{version}.0.0.0 Safari/537.36"
        agents.append(Agent(f"{chrome} Edg/{version}.0.0.0", "desktop", "Edge", "Windows", 2))
        agents.append(
            Agent(f"{chrome} OPR/{version - 15}.0.0.0", "desktop", "Opera", "Windows", 0.4)
        )
    for release in ("17.6", "18.3", "18.5"):
        text = f"Mozilla/5.0 ({_MAC}) {_APPLE} Version/{release} Safari/605.1.15"
        agents.append(Agent(text, "desktop", "Safari", "macOS", 2))
    return agents


def _phones() -> list[Agent]:
    agents = []
    for release in ("17_6", "18_3", "18_5"):
        iphone = f"Mozilla/5.0 (iPhone; CPU iPhone OS {release} like Mac OS X) {_APPLE}"
        safari = f"{iphone} Version/{release.replace('_', '.')} Mobile/15E148 Safari/604.1"
        agents.append(Agent(safari, "phone", "Safari", "iOS", 5))
        chrome = f"{iphone} CriOS/138.0.7204.119 Mobile/15E148 Safari/604.1"
        agents.append(Agent(chrome, "phone", "Chrome", "iOS", 1))
    for model in ("Pixel 8", "Pixel 9 Pro", "SM-S911B", "SM-A546B", "moto g84 5G", "2201116SG"):
        for version in (137, 138):
            text = (
                f"Mozilla/5.0 (Linux; Android 14; {model}) {_WEBKIT} "
                f"Chrome/{version}.0.0.0 Mobile Safari/537.36"
            )
            agents.append(Agent(text, "phone", "Chrome", "Android", 1.5))
    text = "Mozilla/5.0 (Android 14; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0"
    agents.append(Agent(text, "phone", "Firefox", "Android", 0.8))
    text = (
        f"Mozilla/5.0 (Linux; Android 14; SM-S918B) {_WEBKIT} "
        "SamsungBrowser/27.0 Chrome/125.0.0.0 Mobile Safari/537.36"
    )
    agents.append(Agent(text, "phone", "Samsung Internet", "Android", 2))
    return agents


def _tablets() -> list[Agent]:
    agents = []
    for version in ("15_8", "16_7", "17_6"):
        text = (
            f"Mozilla/5.0 (iPad; CPU OS {version} like Mac OS X) {_APPLE} "
            f"Version/{version.replace('_', '.')} Mobile/15E148 Safari/604.1"
        )
        agents.append(Agent(text, "tablet", "Safari", "iOS", 1))
    for model in ("SM-X710", "SM-T870", "Lenovo TB-J606F"):
        text = f"Mozilla/5.0 (Linux; Android 13; {model}) {_WEBKIT} Chrome/138.0.0.0 Safari/537.36"
        agents.append(Agent(text, "tablet", "Chrome", "Android", 0.7))
    return agents


#: What people use.
AGENTS: tuple[Agent, ...] = (*_desktops(), *_phones(), *_tablets())

#: What bots that say who they are send.
BOTS: tuple[Agent, ...] = tuple(
    Agent(f"Mozilla/5.0 {rest}", "bot", name, None, 1)
    for name, rest in (
        ("Googlebot", "(compatible; Googlebot/2.1; +http://www.google.com/bot.html)"),
        ("bingbot", "(compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)"),
        ("YandexBot", "(compatible; YandexBot/3.0; +http://yandex.com/bots)"),
        ("AhrefsBot", "(compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)"),
        ("SemrushBot", "(compatible; SemrushBot/7~bl; +http://www.semrush.com/bot.html)"),
        (
            "GPTBot",
            f"{_WEBKIT.replace(')', '; compatible; GPTBot/1.2; +https://openai.com/gptbot)')}",
        ),
    )
)
