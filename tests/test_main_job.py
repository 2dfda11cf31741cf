"""The main job end to end: planted traffic goes in over HTTP, and the page shows its numbers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import urllib3

from trackway.testing.workload import Workload
from trackway.testing.workload.truth import Share, Truth

TP2 = "/com.snowplowanalytics.snowplow/tp2"
ZONES = ("Europe/Berlin", "Asia/Kathmandu")


@pytest.fixture(scope="module")
def workload() -> Workload:
    """Five weeks around the day on which Berlin sets its clocks forward, with every trap."""
    return Workload.small(seed=11, days=35, people=700)


@pytest.fixture
def filled(server, workload):
    """A server that took the whole workload over HTTP, in order, and has loaded it."""
    running = server()
    http = urllib3.PoolManager()
    for body in workload.bodies(batch=50):
        answer = http.request("POST", running.url + TP2, body=body)
        assert answer.status == 200, answer.data
    truth = workload.truth()
    running.wait_for_events(truth.stored)
    return running


def asked(running, truth: Truth) -> dict[str, Any]:
    """The overview of the truth's period, as the API serves it."""
    last = truth.end - timedelta(days=1)
    query = f"period=custom&from={truth.start}&to={last}&tz={truth.time_zone}"
    token = (running.data / "token").read_text().strip()
    answer = urllib3.request(
        "GET",
        f"{running.url}/s/shop/overview.json?{query}",
        headers={"Authorization": f"Bearer {token}"},
    )
    assert answer.status == 200, answer.data
    found: dict[str, Any] = answer.json()
    return found


def shares(planted: tuple[Share, ...]) -> dict[str, tuple[int, int]]:
    return {share.name or "": (share.visits, share.visitors) for share in planted}


def listed(found: dict[str, Any], key: str, second: str) -> dict[str, tuple[int, int]]:
    return {row["value"] or "": (row[second], row["visitors"]) for row in found["lists"][key]}


def test_every_report_shows_what_the_generator_planted(filled, workload) -> None:
    whole = workload.truth()
    counts = filled.sql("SELECT outcome, sum(events) AS n FROM ingest GROUP BY ALL")
    outcomes = {row["outcome"]: int(row["n"]) for row in counts}
    assert outcomes["stored"] == whole.stored
    assert outcomes["duplicate"] == whole.duplicates
    assert sum(n for name, n in outcomes.items() if name.startswith("bad:")) == whole.bad_rows
    assert filled.sql("SELECT count(*) AS n FROM events WHERE is_bot")[0]["n"] == whole.bots

    for zone in (workload.time_zone, *ZONES):
        start = workload.start + timedelta(days=3)
        truth = workload.truth(start, start + timedelta(days=20), zone)
        found = asked(filled, truth)
        totals = found["totals"]
        assert (totals["visitors"], totals["visits"], totals["page_views"]) == (
            truth.visitors,
            truth.visits,
            truth.page_views,
        )
        assert totals["views_per_visit"] == pytest.approx(truth.views_per_visit)
        assert totals["bounce_rate"] == pytest.approx(truth.bounce_rate)
        assert totals["visit_duration"] == pytest.approx(truth.visit_seconds)
        assert [(day["visitors"], day["page_views"]) for day in found["series"]] == [
            (day.visitors, day.page_views) for day in truth.days
        ]
        top = listed(found, "page", "page_views")
        planted = {page.path: (page.views, page.visitors) for page in truth.pages}
        assert top and all(planted[path] == counts for path, counts in top.items())
        assert listed(found, "device", "visits") == shares(truth.devices)
        assert listed(found, "channel", "visits") == shares(truth.channels)
        sources = shares(truth.sources)
        assert all(sources[name] == row for name, row in listed(found, "source", "visits").items())


def test_the_page_in_a_browser_shows_what_the_generator_planted(filled, workload, chromium) -> None:
    from playwright.sync_api import sync_playwright

    start = workload.start + timedelta(days=5)
    truth = workload.truth(start, start + timedelta(days=7), "Europe/Berlin")
    query = f"period=custom&from={truth.start}&to={truth.end - timedelta(days=1)}&tz=Europe/Berlin"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(chromium), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page()
        page.goto(filled.login_url)
        page.goto(f"{filled.url}/s/shop?{query}")
        page.locator("#panel-pages tbody tr").first.wait_for()

        shown = {
            name: page.locator(f"#{name}").get_attribute("value")
            for name in ("visitors", "visits", "page_views", "bounce_rate", "visit_duration")
        }
        assert all(shown.values())
        assert int(shown["visitors"] or "") == truth.visitors
        assert int(shown["visits"] or "") == truth.visits
        assert int(shown["page_views"] or "") == truth.page_views
        assert float(shown["bounce_rate"] or "nan") == pytest.approx(truth.bounce_rate)
        assert float(shown["visit_duration"] or "nan") == pytest.approx(truth.visit_seconds)

        planted = {one.path: [one.visitors, one.views] for one in truth.pages}
        rows = page.locator("#panel-pages tbody tr").all()
        assert len(rows) == 9
        for row in rows:
            path, *numbers = row.locator("td, th").all_inner_texts()
            assert [int(number) for number in numbers[:2]] == planted[path.strip()], path
        browser.close()
