"""The workload as tp2 payloads, the key-value form in which trackers send events."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np

from trackway.testing.workload.arrivals import Arrivals
from trackway.testing.workload.devices import (
    ALL_AGENTS,
    PLACES,
    SCREENS,
    Devices,
    address_text,
    uuid_texts,
    uuid_words,
)
from trackway.testing.workload.dice import Ints
from trackway.testing.workload.events import ITEM, ORDER, PING, STEP, STRUCT, TRACK, VIEW
from trackway.testing.workload.pages import Pages
from trackway.testing.workload.parameters import STEPS
from trackway.testing.workload.population import Population
from trackway.testing.workload.sources import SOURCES
from trackway.wires.snowplow import TRACK_SCHEMA, UNSTRUCT_SCHEMA

Payload = dict[str, str]

TRACKER, NAMESPACE, CURRENCY = "workload-1", "workload", "EUR"
#: The wire's code for each kind of event.
CODES = {VIEW: "pv", PING: "pp", STRUCT: "se", TRACK: "ue", ORDER: "tr", ITEM: "ti"} | {
    STEP + n: "ue" for n in range(len(STEPS))
}
#: The names of the events that travel as a native ``track`` call.
TRACKED = {TRACK: "Played video"} | {STEP + n: name for n, name in enumerate(STEPS)}

#: Neither base64 nor JSON.
_CUT_OFF = '{"schema":'

#: The ways to break an event; whatever is done to it, a collector must refuse it.
FLAWS: tuple[Callable[[Payload], object], ...] = (
    lambda payload: payload.pop("e"),
    lambda payload: payload.pop("p"),
    lambda payload: payload.pop("tv"),
    lambda payload: payload.update(e="zz"),
    lambda payload: payload.update(eid="not-a-uuid"),
    lambda payload: payload.update(ttm="yesterday"),
    lambda payload: payload.update(e="ue", ue_px=_CUT_OFF, ue_pr=_CUT_OFF),
)


class Payloads:
    """Turns arrivals into payloads; keeps what many of them have in common."""

    def __init__(self, population: Population, pages: Pages) -> None:
        self._population = population
        self._pages = pages
        self._site = f"https://{population.parameters.host}"
        self._detail = cache(self._make_detail)
        self._entry = cache(self._make_entry)

    def of(self, arrivals: Arrivals) -> Iterator[Payload]:
        """One payload for each arrival."""
        events = arrivals.events
        ids = uuid_texts(*uuid_words(self._population.dice, "event id", events.key))
        numbers, which = np.unique(events.device, return_inverse=True)
        devices = self._make_devices(numbers)
        for code, id_, device, time, sent, page, before, source, person, named, flaw in zip(
            events.kind.tolist(),
            ids,
            which.tolist(),
            map(str, events.time.tolist()),
            map(str, arrivals.arrival.tolist()),
            events.page.tolist(),
            events.before.tolist(),
            events.source.tolist(),
            events.person.tolist(),
            events.identified.tolist(),
            arrivals.flaw.tolist(),
            strict=True,
        ):
            payload = {"eid": id_, "dtm": time, "ttm": time, "stm": sent} | devices[device]
            payload |= self._detail(code, page)
            if named:
                payload["uid"] = user_id(person)
            if source >= 0:
                payload |= self._entry(source, page)
            elif before >= 0:
                payload["refr"] = self._site + self._pages.paths[before]
            if code == ORDER:
                payload["tr_id"] = order_id(person)
            elif code == ITEM:
                payload["ti_id"] = order_id(person)
            if flaw:
                FLAWS[flaw - 1](payload)
            yield payload

    def _make_devices(self, number: Ints) -> list[Payload]:
        devices = Devices.of(self._population.dice, number)
        payloads = []
        for agent, place, screen, address, id_, is_bot in zip(
            devices.agent.tolist(),
            devices.place.tolist(),
            devices.screen.tolist(),
            devices.address.tolist(),
            uuid_texts(devices.id_high, devices.id_low),
            (number < 0).tolist(),
            strict=True,
        ):
            language, time_zone, _ = PLACES[place]
            resolution, viewport = SCREENS[screen]
            payload = {
                "p": "web",
                "tv": TRACKER,
                "tna": NAMESPACE,
                "aid": self._population.parameters.site,
                "ua": ALL_AGENTS[agent].text,
                "lang": language,
                "tz": time_zone,
                "res": resolution,
                "vp": viewport,
                "ip": address_text(address),
            }
            if not is_bot:
                payload["duid"] = id_
            payloads.append(payload)
        return payloads

    def _make_entry(self, source: int, page: int) -> Payload:
        """What the first page view of a visit says about its source."""
        entry = SOURCES[source]
        payload = {}
        if entry.query:
            payload["url"] = f"{self._site}{self._pages.paths[page]}?{entry.query}"
        if entry.referrer:
            payload["refr"] = entry.referrer
        return payload

    def _make_detail(self, kind: int, page: int) -> Payload:
        """What an event says about its page and about itself."""
        pages = self._pages
        payload = {
            "e": CODES[kind],
            "url": self._site + pages.paths[page],
            "page": pages.titles[page],
        }
        price = price_text(int(pages.cents[page]))
        if kind == PING:
            payload |= {"pp_mix": "0", "pp_max": "0", "pp_miy": "0", "pp_may": str(page * 7)}
        elif kind == STRUCT:
            payload |= {"se_ca": "catalogue", "se_ac": "sort", "se_la": "price", "se_va": price}
        elif kind == ORDER:
            payload |= {"tr_tt": price, "tr_tx": "0", "tr_cu": CURRENCY}
        elif kind == ITEM:
            payload |= {"ti_sk": sku(page), "ti_nm": pages.titles[page], "ti_pr": price}
            payload |= {"ti_qu": "1", "ti_cu": CURRENCY}
        elif kind in TRACKED:
            text = json.dumps(
                {"schema": UNSTRUCT_SCHEMA, "data": track_call(kind, page, price)},
                separators=(",", ":"),
            )
            # Both forms that the protocol knows, by turns.
            if page % 2:
                payload["ue_pr"] = text
            else:
                payload["ue_px"] = urlsafe_b64encode(text.encode()).decode()
        return payload


def track_call(kind: int, page: int, price: str) -> dict[str, object]:
    """The self-describing JSON of a native ``track`` call."""
    properties = {"sku": sku(page), "price": float(price)}
    return {"schema": TRACK_SCHEMA, "data": {"name": TRACKED[kind], "properties": properties}}


def user_id(person: int) -> str:
    """How the site names a person."""
    return f"user-{person}"


def order_id(person: int) -> str:
    """The one order of a person."""
    return f"order-{person}"


def sku(page: int) -> str:
    """How the site names the product of a page."""
    return f"sku-{page}"


def price_text(cents: int) -> str:
    """A price in euros."""
    return f"{cents // 100}.{cents % 100:02}"
