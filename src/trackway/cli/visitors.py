"""Simulated visitors of the demo shop: people with browsers, habits and second thoughts."""

from __future__ import annotations

import heapq
import random
import threading
from collections.abc import Callable, Iterator
from time import monotonic, time
from typing import Any, NamedTuple
from urllib.parse import urlencode

import urllib3

from trackway.cli.shop import POSTS, PRODUCTS
from trackway.ids import new_id
from trackway.tracker import Tracker

DAY = 86_400.0

_BROWSERS = (
    ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
     "Chrome/142.0.0.0 Safari/537.36", 30),
    ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
     "Version/18.5 Safari/605.1.15", 12),
    ("Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0", 10),
    ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
     "Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0", 8),
    ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
     "Gecko) Version/18.5 Mobile/15E148 Safari/604.1", 22),
    ("Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) "
     "Chrome/142.0.0.0 Mobile Safari/537.36", 16),
    ("Mozilla/5.0 (iPad; CPU OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
     "Version/18.5 Mobile/15E148 Safari/604.1", 4),
)  # fmt: skip
_SOURCES = (
    (None, "", 34),
    ("https://www.google.com/", "", 30),
    ("https://duckduckgo.com/", "", 7),
    ("https://www.bing.com/", "", 5),
    ("https://news.ycombinator.com/item?id=1", "", 6),
    ("https://www.reddit.com/r/hiking/", "", 6),
    ("https://hill-walker.example/best-maps", "", 5),
    (None, "?utm_source=newsletter&utm_medium=email&utm_campaign=autumn", 5),
    ("https://www.google.com/", "?utm_source=google&utm_medium=cpc&utm_campaign=tents", 2),
)
_LANGUAGES = ("en-GB", "en-US", "de-DE", "fr-FR", "nl-NL")


class Person(NamedTuple):
    """One visitor's browser, and where it comes from today."""

    agent: str
    language: str
    referrer: str | None
    campaign: str


class Step(NamedTuple):
    """One thing a visitor does: a request, and how long until the next (seconds)."""

    method: str
    path: str
    form: dict[str, str]
    pause: float


def somebody(dice: random.Random) -> Person:
    """A person drawn by the shares of browsers and sources."""
    agent = dice.choices([b[0] for b in _BROWSERS], [b[1] for b in _BROWSERS])[0]
    referrer, campaign, _ = dice.choices(_SOURCES, [s[2] for s in _SOURCES])[0]
    return Person(agent, dice.choice(_LANGUAGES), referrer, campaign)


def walk(dice: random.Random, campaign: str) -> Iterator[Step]:
    """One visit: a landing page, a look around, and sometimes an order."""

    def pause() -> float:
        return dice.uniform(0.4, 4.0)

    products = list(PRODUCTS)
    weights = [1 / (rank + 1) for rank in range(len(products))]
    landing = dice.choices(
        ["/", f"/blog/{dice.choice(list(POSTS))}", f"/products/{dice.choice(products)}"], [5, 2, 3]
    )[0]
    yield Step("GET", landing + campaign, {}, pause())
    if dice.random() < 0.42:
        return
    for _ in range(dice.choice((1, 1, 2, 3, 4))):
        slug = dice.choices(products, weights)[0]
        yield Step("GET", f"/products/{slug}", {}, pause())
        if dice.random() < 0.3:
            yield Step("POST", "/cart", {"product": slug}, pause())
            if dice.random() < 0.5:
                yield Step("GET", "/checkout", {}, pause())
                if dice.random() < 0.6:
                    user = f"customer-{dice.randrange(400)}"
                    yield Step("POST", "/login", {"user": user}, pause())
                    yield Step("POST", "/orders", {"id": new_id()[:8]}, pause())
                return
    if dice.random() < 0.15:
        yield Step("GET", "/about", {}, 0.0)


class Visitors(threading.Thread):
    """Walks ``rate`` new visitors per second through the shop at ``url``, over real HTTP."""

    def __init__(self, url: str, rate: float, dice: random.Random) -> None:
        super().__init__(name="trackway-demo-visitors", daemon=True)
        self.url = url
        self.rate = rate
        self.dice = dice
        self.people = 0
        self.requests = 0
        self._over = threading.Event()
        self._http = urllib3.PoolManager(maxsize=4, retries=False)

    def stop(self) -> None:
        """No further requests; returns when the last one is answered."""
        self._over.set()
        self.join()

    def run(self) -> None:
        waiting: list[tuple[float, int, Callable[[], float | None]]] = []
        arrival = monotonic()
        while not self._over.is_set():
            now = monotonic()
            while arrival <= now:
                arrival += self.dice.expovariate(self.rate)
                self.people += 1
                heapq.heappush(waiting, (now, self.people, self._visit()))
            if waiting and waiting[0][0] <= now:
                _, number, go_on = heapq.heappop(waiting)
                pause = go_on()
                if pause is not None:
                    heapq.heappush(waiting, (now + pause, number, go_on))
                continue
            due = min(arrival, waiting[0][0] if waiting else arrival)
            self._over.wait(max(0.0, due - monotonic()))

    def _visit(self) -> Callable[[], float | None]:
        """A visit that goes one step at each call, and says how long until the next."""
        person = somebody(self.dice)
        steps = walk(self.dice, person.campaign)
        cookies: dict[str, str] = {}
        referrer = [person.referrer]

        def go_on() -> float | None:
            step = next(steps, None)
            if step is None:
                return None
            self._request(step.method, step.path, step.form, person, cookies, referrer)
            return step.pause

        return go_on

    def _request(
        self,
        method: str,
        path: str,
        form: dict[str, str],
        person: Person,
        cookies: dict[str, str],
        referrer: list[str | None],
    ) -> None:
        headers = {"User-Agent": person.agent, "Accept-Language": person.language}
        if referrer[0]:
            headers["Referer"] = referrer[0]
        if cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        body = urlencode(form).encode() if form else None
        if body:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        answer = self._http.request(
            method, self.url + path, headers=headers, body=body, redirect=False, timeout=10.0
        )
        self.requests += 1
        for cookie in answer.headers.getlist("Set-Cookie"):
            name, _, value = cookie.split(";", 1)[0].partition("=")
            cookies[name] = value
        referrer[0] = self.url + path
        if answer.status in (301, 302, 303):
            self._request("GET", answer.headers["Location"], {}, person, cookies, referrer)


def send_history(tracker: Tracker, url: str, dice: random.Random, days: int = 60) -> int:
    """Past visits of about ``days`` days, told to the tracker with their true times; how many.

    People come in the daytime, more each week, and some of them come back.
    """
    now = time()
    regulars = [(new_id(), somebody(dice)) for _ in range(150)]
    visits = 0
    for day in range(days, 0, -1):
        growth = 1.0 - day / days * 0.45
        weekend = 0.7 if int((now / DAY - day + 4) % 7) in (5, 6) else 1.0
        for _ in range(int(dice.gauss(110, 12) * growth * weekend)):
            if dice.random() < 0.25:
                device, person = dice.choice(regulars)
            else:
                device, person = new_id(), somebody(dice)
            moment = now - day * DAY + dice.triangular(0, DAY, DAY * 0.6)
            _past_visit(tracker, url, dice, device, person, min(moment, now - 3600))
            visits += 1
    return visits


def _past_visit(
    tracker: Tracker, url: str, dice: random.Random, device: str, person: Person, moment: float
) -> None:
    referrer = person.referrer
    facts: dict[str, Any] = {
        "anonymous_id": device,
        "user_agent": person.agent,
        "language": person.language,
    }
    for step in walk(dice, person.campaign):
        page = url + step.path
        with tracker.scope(**facts, platform="web", page_url=page, referrer=referrer):
            at = int(moment * 1000)
            if step.method == "GET":
                title = step.path.rsplit("/", 1)[-1].partition("?")[0].replace("-", " ")
                tracker.track_page_view(page, title.capitalize() or "Wayfarer", true_timestamp=at)
            elif step.path == "/cart":
                tracker.track("Added to cart", step.form, true_timestamp=at)
            elif step.path == "/orders":
                tracker.track_ecommerce_transaction(
                    step.form["id"], dice.choice((16.0, 29.0, 58.0)), true_timestamp=at
                )
        referrer = page
        moment += step.pause * 15  # people in the past took their time
