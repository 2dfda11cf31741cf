"""Where a view came from: parts of the URLs, referrer, campaign, and the channel they make up.

Names of mediums and campaign fields follow Snowplow's referer and campaign enrichments; channels
follow the default channel groups that web analysts know.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from trackway.event import Event

_SEARCH = {
    "google": "Google",
    "bing.com": "Bing",
    "duckduckgo.com": "DuckDuckGo",
    "yahoo": "Yahoo",
    "yandex": "Yandex",
    "baidu.com": "Baidu",
    "ecosia.org": "Ecosia",
    "startpage.com": "Startpage",
    "qwant.com": "Qwant",
    "search.brave.com": "Brave",
    "kagi.com": "Kagi",
    "naver.com": "Naver",
    "seznam.cz": "Seznam",
    "sogou.com": "Sogou",
    "so.com": "360 Search",
    "perplexity.ai": "Perplexity",
    "chatgpt.com": "ChatGPT",
    "chat.openai.com": "ChatGPT",
}
_SOCIAL = {
    "facebook.com": "Facebook",
    "fb.me": "Facebook",
    "instagram.com": "Instagram",
    "t.co": "Twitter",
    "twitter.com": "Twitter",
    "x.com": "Twitter",
    "linkedin.com": "LinkedIn",
    "lnkd.in": "LinkedIn",
    "reddit.com": "Reddit",
    "news.ycombinator.com": "Hacker News",
    "lobste.rs": "Lobsters",
    "pinterest": "Pinterest",
    "tiktok.com": "TikTok",
    "threads.net": "Threads",
    "threads.com": "Threads",
    "bsky.app": "Bluesky",
    "mastodon.social": "Mastodon",
    "tumblr.com": "Tumblr",
    "vk.com": "VK",
    "quora.com": "Quora",
    "stackoverflow.com": "Stack Overflow",
    "discord.com": "Discord",
    "telegram.org": "Telegram",
    "t.me": "Telegram",
    "whatsapp.com": "WhatsApp",
    "dev.to": "DEV",
    "medium.com": "Medium",
    "producthunt.com": "Product Hunt",
}
_VIDEO = {
    "youtube.com": "YouTube",
    "youtu.be": "YouTube",
    "vimeo.com": "Vimeo",
    "twitch.tv": "Twitch",
}
_EMAIL = {
    "mail.google.com": "Gmail",
    "outlook.live.com": "Outlook",
    "outlook.office.com": "Outlook",
    "outlook.office365.com": "Outlook",
    "mail.yahoo.com": "Yahoo Mail",
    "mail.proton.me": "Proton Mail",
    "app.fastmail.com": "Fastmail",
}
_KNOWN: dict[str, tuple[str, str]] = {}
for _medium, _table in (
    ("search", _SEARCH),
    ("social", _SOCIAL),
    ("video", _VIDEO),
    ("email", _EMAIL),
):
    _KNOWN |= {host: (_medium, name) for host, name in _table.items()}
#: Services with one host for each country: google.de, www.google.co.uk.
_BY_LABEL = frozenset(host for host in _KNOWN if "." not in host)
_COUNTRY_SUFFIX = re.compile(r"(?:com?|[a-z]{2,3})(?:\.[a-z]{2})?")

#: The query parameter in which a search engine passes the words on, where it still does.
_TERMS = ("q", "query", "p", "text", "wd")

#: Click identifiers of advertising networks, by query parameter.
_CLICK_IDS = {
    "gclid": "Google",
    "gbraid": "Google",
    "wbraid": "Google",
    "dclid": "DoubleClick",
    "msclkid": "Microsoft",
    "fbclid": "Facebook",
    "ttclid": "TikTok",
    "twclid": "Twitter",
    "li_fat_id": "LinkedIn",
}
#: A Facebook click id is on organic links as well, so it tells the network, not that it was paid.
_PAID_CLICKS = frozenset(_CLICK_IDS) - {"fbclid", "li_fat_id", "twclid"}

_PAID = re.compile(r"^(?:.*cp.*|ppc|retargeting|paid.*)$", re.IGNORECASE)
_EMAIL_WORD = re.compile(r"^e[-_ ]?mail$|^newsletter$", re.IGNORECASE)
_DISPLAY = frozenset(("display", "banner", "expandable", "interstitial", "cpm"))
_SOCIAL_MEDIUM = frozenset(
    ("social", "social-network", "social-media", "sm", "social network", "social media")
)
_SHOPPING = re.compile(r"^(?:.*[^a-df-z])?shop.*$", re.IGNORECASE)


class Page(NamedTuple):
    """The parts of a page URL, and the campaign that its query names."""

    scheme: str | None
    host: str | None
    path: str | None
    query: str | None
    fragment: str | None
    medium: str | None = None
    source: str | None = None
    term: str | None = None
    content: str | None = None
    campaign: str | None = None
    click_id: str | None = None
    click_network: str | None = None
    paid_click: bool = False


class Referrer(NamedTuple):
    """The parts of a referrer, and the service behind it if we know it."""

    host: str | None
    path: str | None
    medium: str | None
    source: str | None
    term: str | None


_NO_PAGE = Page(None, None, None, None, None)
_NO_REFERRER = Referrer(None, None, None, None, None)


def parse_page(url: str) -> Page:
    """Split a page URL; what is no URL has no parts."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return _NO_PAGE
    if not parts.query:
        return Page(
            parts.scheme or None, host, parts.path or ("/" if host else None), None,
            parts.fragment or None,
        )  # fmt: skip
    query = {key.lower(): value for key, value in parse_qsl(parts.query, errors="replace")}
    click = next((key for key in _CLICK_IDS if key in query), None)
    return Page(
        parts.scheme or None,
        host,
        parts.path or ("/" if host else None),
        parts.query,
        parts.fragment or None,
        query.get("utm_medium"),
        query.get("utm_source") or query.get("ref") or query.get("source"),
        query.get("utm_term"),
        query.get("utm_content"),
        query.get("utm_campaign"),
        query[click] if click else None,
        _CLICK_IDS[click] if click else None,
        click in _PAID_CLICKS,
    )


def parse_referrer(url: str, page_host: str | None) -> Referrer:
    """Split a referrer. ``medium`` is internal, search, social, video, email or unknown."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return _NO_REFERRER
    if not host:
        return _NO_REFERRER
    if page_host and _bare(host) == _bare(page_host):
        return Referrer(host, parts.path or None, "internal", None, None)
    medium, name = _service(host) or ("unknown", None)
    term = None
    if medium == "search" and parts.query:
        words = dict(parse_qsl(parts.query, errors="replace"))
        term = next((words[key] for key in _TERMS if words.get(key)), None)
    return Referrer(host, parts.path or None, medium, name, term)


def _bare(host: str) -> str:
    return host.removeprefix("www.")


def _service(host: str) -> tuple[str, str] | None:
    labels = host.split(".")
    for start in range(len(labels) - 1):
        known = _KNOWN.get(".".join(labels[start:]))
        if known:
            return known
        label, suffix = labels[start], ".".join(labels[start + 1 :])
        if label in _BY_LABEL and _COUNTRY_SUFFIX.fullmatch(suffix):
            return _KNOWN[label]
    return None


def source_and_channel(page: Page, referrer: Referrer) -> tuple[str | None, str]:
    """What to call the source of a view (None: direct), and the channel it belongs to."""
    outside = referrer if referrer.medium not in (None, "internal") else _NO_REFERRER
    named = _named_service(page.source)
    source = named[1] if named else page.source
    source = source or outside.source or (outside.host and _bare(outside.host))
    return source or page.click_network, _channel(page, outside)


def _channel(page: Page, referrer: Referrer) -> str:
    medium = (page.medium or "").lower()
    named = _named_service(page.source) or _named_service(page.click_network)
    service = named[0] if named else referrer.medium
    paid = page.paid_click or bool(_PAID.match(medium))
    if (page.campaign or "").lower() == "cross-network":
        return "Cross-network"
    if paid and _SHOPPING.match(page.campaign or ""):
        return "Paid Shopping"
    if paid and (service == "search" or page.paid_click):
        return "Paid Search"
    if paid and service in ("social", "video"):
        return "Paid Social" if service == "social" else "Paid Video"
    if medium in _DISPLAY:
        return "Display"
    if paid:
        return "Paid Other"
    if _EMAIL_WORD.match(medium) or _EMAIL_WORD.match(page.source or "") or service == "email":
        return "Email"
    if medium == "affiliate":
        return "Affiliates"
    if medium in ("sms", "push", "audio"):
        return {"sms": "SMS", "push": "Push", "audio": "Audio"}[medium]
    if service == "social" or medium in _SOCIAL_MEDIUM:
        return "Organic Social"
    if service == "video" or "video" in medium:
        return "Organic Video"
    if service == "search" or medium == "organic":
        return "Organic Search"
    if page.campaign or medium not in ("", "referral", "link", "app"):
        return "Campaign"
    if page.source or referrer.host or medium:
        return "Referral"
    return "Direct"


@lru_cache(maxsize=1_000)
def _named_service(source: str | None) -> tuple[str, str] | None:
    """The medium and name of a service that a campaign names by host or name, such as google."""
    if not source:
        return None
    name = source.lower()
    return _service(name) if "." in name else _KNOWN.get(name) or _KNOWN.get(f"{name}.com")


def _facts(page_url: str | None, referrer_url: str | None) -> dict[str, str]:
    """The fields of Event that follow from the two URLs; only those that have a value."""
    page = parse_page(page_url) if page_url else _NO_PAGE
    referrer = parse_referrer(referrer_url, page.host) if referrer_url else _NO_REFERRER
    source, channel = source_and_channel(page, referrer)
    facts = {
        "page_scheme": page.scheme,
        "page_host": page.host,
        "page_path": page.path,
        "page_query": page.query,
        "page_fragment": page.fragment,
        "campaign_medium": page.medium,
        "campaign_source": page.source,
        "campaign_term": page.term,
        "campaign_content": page.content,
        "campaign_name": page.campaign,
        "click_id": page.click_id,
        "click_network": page.click_network,
        "referrer_host": referrer.host,
        "referrer_path": referrer.path,
        "referrer_medium": referrer.medium,
        "referrer_source": referrer.source,
        "referrer_term": referrer.term,
        "source": source,
        "channel": channel,
    }
    return {field: value for field, value in facts.items() if value}


_known_facts = lru_cache(maxsize=10_000)(_facts)
#: Longer URLs are not remembered, so that the memory of 10,000 answers stays small.
_MEMORABLE = 600


def source_facts(event: Event) -> Mapping[str, Any]:
    """For the enrichment step: parts of the URLs, campaign, referrer, source and channel."""
    page, referrer = event.page_url, event.referrer
    if page is None and referrer is None:
        return {}
    known = len(page or "") + len(referrer or "") <= _MEMORABLE
    return (_known_facts if known else _facts)(page, referrer)
