"""A slow and simple reader of tp2 payloads, which finds what any report must show."""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

from trackway.testing.workload import (
    AGENTS,
    BOTS,
    STEPS,
    Cohort,
    DayCount,
    PageCount,
    Share,
    Step,
    Truth,
)

Payload = dict[str, str]
MINUTE = 60_000


class Seen(NamedTuple):
    """An event as the oracle sees it."""

    person: str
    time: int
    payload: Payload

    @property
    def is_view(self) -> bool:
        return self.payload["e"] == "pv"

    @property
    def path(self) -> str:
        return urlsplit(self.payload["url"]).path

    @property
    def name(self) -> str | None:
        call = inner_json(self.payload)
        return call["data"]["data"]["name"] if call else None


def inner_json(payload: Payload) -> Any:
    if "ue_px" in payload:
        return json.loads(urlsafe_b64decode(payload["ue_px"]))
    return json.loads(payload["ue_pr"]) if "ue_pr" in payload else None


def is_sound(payload: Payload) -> bool:
    if not {"e", "p", "tv"} <= payload.keys() or not payload["ttm"].isdigit():
        return False
    if payload["e"] not in {"pv", "pp", "se", "ue", "tr", "ti"}:
        return False
    try:
        inner_json(payload)
    except ValueError:
        return False
    return bool(re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", payload["eid"]))


SERVICES = {
    "www.google.com": ("Google", "Organic Search"),
    "duckduckgo.com": ("DuckDuckGo", "Organic Search"),
    "www.bing.com": ("Bing", "Organic Search"),
    "t.co": ("Twitter", "Organic Social"),
    "www.facebook.com": ("Facebook", "Organic Social"),
    "news.ycombinator.com": ("Hacker News", "Organic Social"),
    "www.some-blog.example": ("some-blog.example", "Referral"),
}
#: A known service has one name, whichever way it came.
NAMES = {"google": "Google", "facebook": "Facebook"}
CAMPAIGNS = {"email": "Email", "cpc": "Paid Search", "paid_social": "Paid Social"}


def source_of(payload: Payload) -> tuple[str | None, str]:
    query = parse_qs(urlsplit(payload["url"]).query)
    if query:
        name = query["utm_source"][0]
        return NAMES.get(name, name), CAMPAIGNS[query["utm_medium"][0]]
    return SERVICES[urlsplit(payload["refr"]).netloc] if "refr" in payload else (None, "Direct")


class Oracle:
    """Applies the definitions one event after the other, to the payloads and nothing else."""

    def __init__(self, payloads: Iterable[Payload]) -> None:
        first_user: dict[str, str] = {}
        kept: dict[str, Payload] = {}
        self.repeated: list[Payload] = []
        self.broken: list[Payload] = []
        for payload in payloads:
            if not is_sound(payload):
                self.broken.append(payload)
            elif payload["eid"] in kept:
                self.repeated.append(kept[payload["eid"]])
            else:
                kept[payload["eid"]] = payload
                if "uid" in payload:
                    first_user.setdefault(payload["duid"], payload["uid"])
        bots = {bot.text for bot in BOTS}
        self.stored = list(kept.values())
        self.bots = [payload for payload in self.stored if payload["ua"] in bots]
        self.events = sorted(
            (
                Seen(
                    payload.get("uid") or first_user.get(payload["duid"]) or payload["duid"],
                    int(payload["ttm"]),
                    payload,
                )
                for payload in self.stored
                if payload["ua"] not in bots
            ),
            key=lambda seen: (seen.person, seen.time),
        )

    def sessions(self) -> Iterator[list[Seen]]:
        for _, events in groupby(self.events, key=lambda seen: seen.person):
            session: list[Seen] = []
            for seen in events:
                if session and seen.time - session[-1].time > 30 * MINUTE:
                    yield session
                    session = []
                session.append(seen)
            yield session

    def truth(self, start: date, end: date, time_zone: str) -> Truth:
        zone = ZoneInfo(time_zone)

        def day_of(time: int) -> date:
            second = datetime.fromtimestamp(time // 1000, UTC)
            return second.astimezone(zone).date()

        def inside(time: int) -> bool:
            return start <= day_of(time) < end

        events = [seen for seen in self.events if inside(seen.time)]
        views = [seen for seen in events if seen.is_view]
        visits = [
            session
            for session in self.sessions()
            if inside(session[0].time) and any(seen.is_view for seen in session)
        ]
        entries = [next(seen for seen in visit if seen.is_view) for visit in visits]
        dates = [start + timedelta(days=n) for n in range((end - start).days)]
        return Truth(
            start=start,
            end=end,
            time_zone=time_zone,
            visitors=len({seen.person for seen in views}),
            visits=len(visits),
            page_views=len(views),
            visit_views=sum(seen.is_view for visit in visits for seen in visit),
            bounces=sum(len(visit) == 1 for visit in visits),
            visit_ms=sum(visit[-1].time - visit[0].time for visit in visits),
            days=tuple(
                DayCount(
                    day,
                    len({seen.person for seen in views if day_of(seen.time) == day}),
                    sum(day_of(visit[0].time) == day for visit in visits),
                    sum(day_of(seen.time) == day for seen in views),
                )
                for day in dates
            ),
            pages=tuple(
                sorted(
                    (
                        PageCount(path, count, len({s.person for s in views if s.path == path}))
                        for path, count in Counter(seen.path for seen in views).items()
                    ),
                    key=lambda page: (-page.views, page.path),
                )
            ),
            entry_pages=shares((entry.path, entry.person) for entry in entries),
            sources=shares((source_of(entry.payload)[0], entry.person) for entry in entries),
            channels=shares((source_of(entry.payload)[1], entry.person) for entry in entries),
            devices=shares((device_of(entry.payload), entry.person) for entry in entries),
            funnel=funnel(events),
            retention=self.retention(dates, day_of),
            stored=sum(inside(int(payload["ttm"])) for payload in self.stored),
            bots=sum(inside(int(payload["ttm"])) for payload in self.bots),
            duplicates=sum(inside(int(payload["ttm"])) for payload in self.repeated),
            # A broken event has the device time of the good one that it resembles.
            bad_rows=sum(inside(int(payload["dtm"])) for payload in self.broken),
        )

    def retention(self, dates: list[date], day_of: Any) -> tuple[Cohort, ...]:
        days_of: dict[str, set[date]] = defaultdict(set)
        for seen in self.events:
            days_of[seen.person].add(day_of(seen.time))
        return tuple(
            Cohort(
                first,
                tuple(
                    sum(min(days) == first and day in days for days in days_of.values())
                    for day in dates[n:]
                ),
            )
            for n, first in enumerate(dates)
        )


def device_of(payload: Payload) -> str:
    return next(agent.device for agent in AGENTS if agent.text == payload["ua"])


def shares(named: Iterable[tuple[str | None, str]]) -> tuple[Share, ...]:
    people: dict[str | None, list[str]] = defaultdict(list)
    for name, person in named:
        people[name].append(person)
    found = [Share(name, len(all_), len(set(all_))) for name, all_ in people.items()]
    return tuple(sorted(found, key=lambda share: (-share.visits, str(share.name))))


def funnel(events: list[Seen]) -> tuple[Step, ...]:
    reached = []
    for _, mine in groupby(events, key=lambda seen: seen.person):
        done = 0
        for seen in mine:
            if done < len(STEPS) and seen.name == STEPS[done]:
                done += 1
        reached.append(done)
    return tuple(Step(name, sum(done > n for done in reached)) for n, name in enumerate(STEPS))
