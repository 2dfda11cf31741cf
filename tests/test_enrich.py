"""Enrichment: what user agents, URLs, addresses and ids tell about an event."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackway.collector.intake import Intake, Request
from trackway.enrich import enrichment
from trackway.enrich.address import Proxies, anonymize, network_facts
from trackway.enrich.agent import agent_facts, parse_agent
from trackway.enrich.source import source_facts
from trackway.enrich.visitor import visitor_facts, visitor_of
from trackway.errors import SettingError
from trackway.event import Event
from trackway.wires.snowplow import PAYLOAD_SCHEMA

DAY = 24 * 60 * 60 * 1000
NOW = 1_790_000_000_000


def event(**facts: Any) -> Event:
    return Event(id="5e9e3a5c-3f6f-4f0b-8b1c-0d2f1a3b4c5d", **facts)


# User agents ----------------------------------------------------------------------------------

WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
APPLE = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
WINDOWS = f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT}"
IPHONE = f"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) {APPLE}"

PEOPLE: list[tuple[str, tuple[str | None, str | None, str | None, str]]] = [
    (f"{WINDOWS} Chrome/126.0.0.0 Safari/537.36", ("Chrome", "126.0", "Windows", "desktop")),
    (f"{WINDOWS} Chrome/126.0.0.0 Safari/537.36 Edg/126.0.2592.87",
     ("Edge", "126.0", "Windows", "desktop")),
    (f"{WINDOWS} Chrome/125.0.0.0 Safari/537.36 OPR/111.0.0.0",
     ("Opera", "111.0", "Windows", "desktop")),
    ("Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; rv:11.0) like Gecko",
     ("IE", "11.0", "Windows", "desktop")),
    (f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {APPLE} Version/17.5 Safari/605.1.15",
     ("Safari", "17.5", "macOS", "desktop")),
    ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
     ("Firefox", "128.0", "Linux", "desktop")),
    ("Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
     ("Firefox", "128.0", "Ubuntu", "desktop")),
    (f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {WEBKIT} Chrome/126.0.0.0 Safari/537.36",
     ("Chrome", "126.0", "Chrome OS", "desktop")),
    (f"{IPHONE} Version/17.5 Mobile/15E148 Safari/604.1", ("Safari", "17.5", "iOS", "phone")),
    (f"{IPHONE} CriOS/126.0.6478.54 Mobile/15E148 Safari/604.1",
     ("Chrome", "126.0", "iOS", "phone")),
    (f"{IPHONE} Mobile/15E148 [FBAN/FBIOS;FBAV/470.0.0.36.104]",
     ("Facebook", "470.0", "iOS", "phone")),
    (f"Mozilla/5.0 (iPad; CPU OS 16_7 like Mac OS X) {APPLE} Version/16.6 Mobile/15E148 "
     "Safari/604.1", ("Safari", "16.6", "iOS", "tablet")),
    (f"Mozilla/5.0 (Linux; Android 10; K) {WEBKIT} Chrome/126.0.0.0 Mobile Safari/537.36",
     ("Chrome", "126.0", "Android", "phone")),
    (f"Mozilla/5.0 (Linux; Android 13; SM-X906C) {WEBKIT} Chrome/126.0.0.0 Safari/537.36",
     ("Chrome", "126.0", "Android", "tablet")),
    (f"Mozilla/5.0 (Linux; Android 14; SAMSUNG SM-S921B) {WEBKIT} SamsungBrowser/25.0 "
     "Chrome/121.0.0.0 Mobile Safari/537.36", ("Samsung Internet", "25.0", "Android", "phone")),
    (f"Mozilla/5.0 (Linux; Android 9; CUBOT_X19) {WEBKIT} Chrome/126.0.0.0 Mobile Safari/537.36",
     ("Chrome", "126.0", "Android", "phone")),
    ("Mozilla/5.0 (Android 14; Mobile; rv:128.0) Gecko/128.0 Firefox/128.0",
     ("Firefox", "128.0", "Android", "phone")),
    ("Mozilla/5.0 (Android 14; Tablet; rv:128.0) Gecko/128.0 Firefox/128.0",
     ("Firefox", "128.0", "Android", "tablet")),
    (f"Mozilla/5.0 (SMART-TV; Linux; Tizen 6.5) {WEBKIT} SamsungBrowser/5.0 Chrome/85.0 TV "
     "Safari/537.36", ("Samsung Internet", "5.0", "Tizen", "tv")),
    ("something that nobody knows", (None, None, None, "other")),
    ("🎉" * 500, (None, None, None, "other")),
    ("", (None, None, None, "other")),
]  # fmt: skip

ROBOTS = [
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    f"Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) {WEBKIT} Chrome/126.0.0.0 Mobile "
    "Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2)",
    "Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)",
    "Mozilla/5.0 (compatible; Baiduspider/2.0)",
    "Mozilla/5.0 (compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)",
    "Mozilla/5.0 (compatible; Bytespider; spider-feedback@bytedance.com)",
    f"Mozilla/5.0 (X11; Linux x86_64) {WEBKIT} HeadlessChrome/126.0.0.0 Safari/537.36",
    "facebookexternalhit/1.1",
    "Slackbot-LinkExpanding 1.0",
    "Screaming Frog SEO Spider/20.1",
    "curl/8.5.0",
    "Wget/1.21",
    "python-requests/2.32.3",
    "Python-urllib/3.11",
    "Go-http-client/2.0",
    "Java/17.0.2",
    "okhttp/4.12.0",
]


@pytest.mark.parametrize(("text", "expected"), PEOPLE, ids=[text[:60] for text, _ in PEOPLE])
def test_a_persons_user_agent_is_read(
    text: str, expected: tuple[str | None, str | None, str | None, str]
) -> None:
    found = parse_agent(text)
    assert (found.browser, found.browser_version, found.os, found.device) == expected
    assert found.is_bot is False


@pytest.mark.parametrize("text", ROBOTS, ids=[text[:60] for text in ROBOTS])
def test_a_program_is_no_person(text: str) -> None:
    found = parse_agent(text)
    assert (found.is_bot, found.device) == (True, "bot")


def test_an_event_gets_what_its_user_agent_says() -> None:
    seen = enrichment(agent_facts)(
        event(user_agent=f"{IPHONE} Version/17.5 Mobile/15E148 Safari/604.1")
    )
    assert (seen.browser, seen.browser_version) == ("Safari", "17.5")
    assert (seen.os, seen.os_version, seen.device, seen.is_bot) == ("iOS", "17.5", "phone", False)
    bare = event()
    assert enrichment(agent_facts)(bare) == bare


@given(st.text(max_size=1000))
def test_no_user_agent_at_all_breaks_the_parser(text: str) -> None:
    assert parse_agent(text).device


# Sources and channels -------------------------------------------------------------------------

SHOP = "https://shop.example/"

#: The query of the page, its referrer, and the source and channel of the visit.
SOURCES: list[tuple[str, str | None, str | None, str]] = [
    ("", None, None, "Direct"),
    ("?q=1", None, None, "Direct"),
    ("?utm_source=", None, None, "Direct"),
    ("", "https://shop.example/cart", None, "Direct"),
    ("", "https://www.shop.example/", None, "Direct"),
    ("", "about:blank", None, "Direct"),
    ("", "https://some.blog/post?q=1", "some.blog", "Referral"),
    ("", "https://www.some.blog/", "some.blog", "Referral"),
    ("", "https://blog.shop.example/", "blog.shop.example", "Referral"),
    ("", "https://notgoogle.com/", "notgoogle.com", "Referral"),
    ("", "https://google.evil.example/", "google.evil.example", "Referral"),
    ("", "https://evilt.co/", "evilt.co", "Referral"),
    ("", "https://netflix.com/", "netflix.com", "Referral"),
    ("", "https://www.google.com/", "Google", "Organic Search"),
    ("", "https://google.de", "Google", "Organic Search"),
    ("", "https://www.google.co.uk/search?q=a", "Google", "Organic Search"),
    ("", "https://www.bing.com/search?q=x", "Bing", "Organic Search"),
    ("", "https://duckduckgo.com/", "DuckDuckGo", "Organic Search"),
    ("", "https://search.yahoo.com/?p=x", "Yahoo", "Organic Search"),
    ("", "https://yandex.ru/", "Yandex", "Organic Search"),
    ("", "https://mail.google.com/", "Gmail", "Email"),
    ("", "https://t.co/abc", "Twitter", "Organic Social"),
    ("", "https://x.com/a", "Twitter", "Organic Social"),
    ("", "https://l.facebook.com/l.php", "Facebook", "Organic Social"),
    ("", "https://old.reddit.com/r/x", "Reddit", "Organic Social"),
    ("", "https://www.pinterest.de/", "Pinterest", "Organic Social"),
    ("", "https://www.youtube.com/watch", "YouTube", "Organic Video"),
    ("?utm_source=news&utm_medium=email", None, "news", "Email"),
    ("?utm_source=newsletter", None, "newsletter", "Email"),
    ("?utm_medium=e-mail", None, None, "Email"),
    ("?utm_source=partner&utm_medium=affiliate", None, "partner", "Affiliates"),
    ("?utm_source=partner&utm_medium=referral", None, "partner", "Referral"),
    ("?utm_source=a&utm_medium=sms", None, "a", "SMS"),
    ("?utm_source=a&utm_medium=push", None, "a", "Push"),
    ("?utm_source=a&utm_medium=display", None, "a", "Display"),
    ("?utm_source=a&utm_medium=cpm", None, "a", "Display"),
    ("?utm_source=a&utm_medium=cpc", None, "a", "Paid Other"),
    ("?utm_source=google&utm_medium=cpc", None, "Google", "Paid Search"),
    ("?utm_source=bing&utm_medium=PPC", None, "Bing", "Paid Search"),
    ("?utm_source=google&utm_medium=organic", None, "Google", "Organic Search"),
    ("?utm_source=facebook&utm_medium=paid_social", None, "Facebook", "Paid Social"),
    ("?utm_source=fb&utm_medium=social", None, "fb", "Organic Social"),
    ("?utm_source=youtube&utm_medium=cpc", None, "YouTube", "Paid Video"),
    ("?utm_source=a&utm_medium=video", None, "a", "Organic Video"),
    ("?utm_source=a&utm_medium=cpc&utm_campaign=summer+shopping", None, "a", "Paid Shopping"),
    ("?utm_source=a&utm_medium=cpc&utm_campaign=workshop", None, "a", "Paid Other"),
    ("?utm_campaign=cross-network&utm_source=g", None, "g", "Cross-network"),
    ("?utm_campaign=spring", None, None, "Campaign"),
    ("?utm_source=a&utm_medium=poster", None, "a", "Campaign"),
    ("?gclid=1", None, "Google", "Paid Search"),
    ("?gclid=1", "https://www.google.com/", "Google", "Paid Search"),
    ("?msclkid=5", None, "Microsoft", "Paid Search"),
    ("?fbclid=1", "https://l.facebook.com/", "Facebook", "Organic Social"),
    ("?fbclid=1", None, "Facebook", "Organic Social"),
    ("?ref=some.list", None, "some.list", "Referral"),
    # What the link says about itself goes before where it was clicked.
    ("?utm_source=google&utm_medium=cpc", "https://some.blog/", "Google", "Paid Search"),
    ("?utm_source=news&utm_medium=email", "https://mail.google.com/", "news", "Email"),
    ("?UTM_Source=news&UTM_MEDIUM=Email", None, "news", "Email"),
]


@pytest.mark.parametrize(("query", "referrer", "source", "channel"), SOURCES)
def test_a_visit_has_a_source_and_a_channel(
    query: str, referrer: str | None, source: str | None, channel: str
) -> None:
    found = enrichment(source_facts)(event(page_url=SHOP + query, referrer=referrer))
    assert (found.source, found.channel) == (source, channel)


def test_the_parts_of_the_urls_and_of_the_campaign_are_kept() -> None:
    found = enrichment(source_facts)(
        event(
            page_url="https://Shop.example:8443/a%20b/c?utm_source=s%26s&utm_medium=m&utm_term=t+t"
            "&utm_content=c&utm_campaign=%C3%B6&gclid=G-1#top",
            referrer="https://www.google.de/search?q=gr%C3%BCne+lampe",
        )
    )
    assert (found.page_scheme, found.page_host, found.page_path) == (
        "https", "shop.example", "/a%20b/c",
    )  # fmt: skip
    assert found.page_query and found.page_query.startswith("utm_source=s%26s")
    assert found.page_fragment == "top"
    assert (found.campaign_source, found.campaign_medium) == ("s&s", "m")
    assert (found.campaign_term, found.campaign_content) == ("t t", "c")
    assert (found.campaign_name, found.click_id, found.click_network) == ("ö", "G-1", "Google")
    assert (found.referrer_host, found.referrer_path) == ("www.google.de", "/search")
    assert (found.referrer_medium, found.referrer_source) == ("search", "Google")
    assert found.referrer_term == "grüne lampe"


@pytest.mark.parametrize(
    ("url", "host", "path"),
    [
        ("https://shop.example", "shop.example", "/"),
        ("/only/a/path", None, "/only/a/path"),
        ("//shop.example/a", "shop.example", "/a"),
        ("https://[::1]:80/a", "::1", "/a"),
        ("https://[broken/a", None, None),
        ("not a url", None, "not a url"),
        ("https://user:password@shop.example/a", "shop.example", "/a"),
        ("https://münchen.example/ö", "münchen.example", "/ö"),
    ],
)
def test_a_page_may_be_any_text(url: str, host: str | None, path: str | None) -> None:
    found = enrichment(source_facts)(event(page_url=url))
    assert (found.page_host, found.page_path) == (host, path)


def test_an_event_without_a_page_has_no_source() -> None:
    bare = event()
    assert enrichment(source_facts)(bare) == bare


@given(st.text(max_size=200), st.text(max_size=200) | st.none())
def test_no_url_at_all_breaks_enrichment(url: str, referrer: str | None) -> None:
    assert enrichment(source_facts)(event(page_url=url, referrer=referrer)).channel
    assert enrichment(source_facts)(
        event(page_url=f"http://x/?{url}", referrer=f"http://{referrer}")
    ).channel


# Addresses ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.77", "203.0.113.0"),
        ("203.0.113.0", "203.0.113.0"),
        ("127.0.0.1", "127.0.0.0"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
        ("::1", "::"),
        ("::ffff:203.0.113.77", "203.0.113.0"),
        ("fe80::1%eth0", "fe80::"),
        ("203.0.113", None),
        ("203.0.113.077", None),
        ("203.0.113.77.5", None),
        ("localhost", None),
        ("", None),
        ("٢٠٣.0.113.77", None),
    ],
)
def test_of_an_address_only_the_network_is_left(address: str, network: str | None) -> None:
    assert anonymize(address) == network
    assert enrichment(network_facts)(event(ip=address)).ip == network


@given(st.ip_addresses().map(str) | st.text(max_size=50))
def test_no_host_is_left_of_any_address(address: str) -> None:
    network = anonymize(address)
    if network is None:
        return
    assert network.endswith(".0") or network.endswith("::")
    assert anonymize(network) == network


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "client"),
    [
        ("127.0.0.1", "127.0.0.1", None, "127.0.0.1"),
        ("127.0.0.1", "127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", "127.0.0.1", " , ", "127.0.0.1"),
        ("127.0.0.1", "127.0.0.1", "1.1.1.1", "1.1.1.1"),
        ("127.0.0.1", "9.9.9.9", "1.1.1.1", "9.9.9.9"),
        ("", "127.0.0.1", "1.1.1.1", "127.0.0.1"),
        ("127.0.0.1", "127.0.0.1", "6.6.6.6, 1.1.1.1", "1.1.1.1"),
        ("127.0.0.1,10.0.0.0/8", "127.0.0.1", "6.6.6.6, 1.1.1.1, 10.2.3.4", "1.1.1.1"),
        ("127.0.0.1, 10.0.0.0/8", "10.0.0.9", "10.1.1.1, 10.2.3.4", "10.1.1.1"),
        ("::1", "::1", "2001:db8::5", "2001:db8::5"),
        ("127.0.0.1", "127.0.0.1", "1.1.1.1:5678", "1.1.1.1"),
        ("127.0.0.1", "127.0.0.1", "[2001:db8::5]:5678", "2001:db8::5"),
        ("127.0.0.1", "127.0.0.1", "unknown", "unknown"),
        ("*", "9.9.9.9", "1.1.1.1, 2.2.2.2", "1.1.1.1"),
        ("*", None, "1.1.1.1", None),
        ("127.0.0.1", None, None, None),
    ],
)
def test_the_client_is_the_first_from_the_right_that_is_no_proxy_of_ours(
    trusted: str, peer: str | None, forwarded: str | None, client: str | None
) -> None:
    assert Proxies(trusted).client(peer, forwarded) == client


def test_a_proxy_that_is_no_address_is_refused() -> None:
    with pytest.raises(SettingError, match="trusted_proxies"):
        Proxies("127.0.0.1, proxy.example")


# Visitors -------------------------------------------------------------------------------------

SECRET = b"secret"
NOBODY = "00000000-0000-0000-0000-000000000000"


@pytest.mark.parametrize(
    ("facts", "visitor"),
    [
        ({"user_id": "5", "anonymous_id": "d", "network_id": "n"}, "u:5"),
        ({"anonymous_id": "d", "network_id": "n"}, "a:d"),
        ({"anonymous_id": "5"}, "a:5"),
        ({"network_id": "n"}, "n:n"),
        ({"user_id": "", "anonymous_id": "d"}, "a:d"),
    ],
)
def test_the_best_id_says_who_the_visitor_is(facts: dict[str, str], visitor: str) -> None:
    assert visitor_of(event(**facts), SECRET) == visitor
    assert enrichment(visitor_facts(SECRET))(event(**facts)).visitor == visitor


def anonymous(**facts: Any) -> str:
    known = {"received": NOW, "site": "s", "ip": "203.0.113.7", "user_agent": "UA"} | facts
    return visitor_of(event(**known), SECRET)


def test_without_an_id_a_hash_of_the_day_says_it() -> None:
    visitor = anonymous()
    assert visitor.startswith("d:")
    assert anonymous() == visitor
    assert anonymous(network_id=NOBODY) == visitor
    midnight = NOW - NOW % DAY
    assert anonymous(received=midnight) == anonymous(received=midnight + DAY - 1)
    assert anonymous(received=midnight + DAY) != visitor


@pytest.mark.parametrize(
    "change",
    [
        {"ip": "203.0.113.8"},
        {"ip": None},
        {"user_agent": "UB"},
        {"site": "t"},
        {"received": NOW + DAY},
        {"ip": "203.0.113.7\0UA", "user_agent": ""},
    ],
)
def test_another_day_site_address_or_agent_is_another_visitor(change: dict[str, Any]) -> None:
    assert anonymous(**change) != anonymous()


def test_the_hash_tells_nothing_without_the_secret() -> None:
    one = event(received=NOW, site="s", ip="203.0.113.7", user_agent="UA")
    assert visitor_of(one, b"other") != visitor_of(one, SECRET)
    assert "203" not in visitor_of(one, SECRET)


# All of it ------------------------------------------------------------------------------------


def test_the_visitor_is_found_before_the_address_is_cut() -> None:
    intake = Intake(secret=SECRET)
    visitors = set()
    for address in ("203.0.113.7", "203.0.113.8"):
        taken = intake.pixel(b"e=pv", Request("/i", address, "UA"))
        (line,) = taken.events
        assert b'"ip":"203.0.113.0"' in line
        visitors.add(line.partition(b'"visitor":"')[2][:34])
    assert len(visitors) == 2


def test_no_address_is_stored_when_enrichment_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(text: str) -> dict[str, Any]:
        raise RuntimeError("no such browser")

    monkeypatch.setattr("trackway.enrich.agent._facts", broken)
    (line,) = Intake(secret=SECRET).pixel(b"e=pv", Request("/i", "203.0.113.7", "UA")).events
    assert b"203.0" not in line


@given(
    st.dictionaries(
        st.sampled_from(["e", "p", "tv", "url", "refr", "ua", "ip", "uid", "se_va", "co", "xx"]),
        st.text(max_size=30) | st.integers() | st.floats() | st.booleans() | st.none(),
    ),
)
def test_the_intake_loses_no_event_whatever_it_holds(payload: dict[str, Any]) -> None:
    intake = Intake(secret=SECRET)
    payloads = [payload, {"e": "pv", "p": "web", "tv": "x"} | payload]
    body = json.dumps({"schema": PAYLOAD_SCHEMA, "data": payloads})
    taken = intake.body(body.encode(), {}, Request("/i", "203.0.113.7", "UA"))
    assert len(taken.events) + len(taken.bad) == 2
    # nothing of one request is left for the next
    assert intake.pixel(b"e=pv", Request("/i")).events != []
    assert len(intake.pixel(b"e=pv", Request("/i")).events) == 1
