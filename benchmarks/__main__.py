"""``python -m benchmarks [--only NAME]``: measure, print the table, keep the figures."""

from __future__ import annotations

import argparse
import sys

from benchmarks import collector, disk, lost, results, tracker, year

PARTS = {
    "tracker": tracker.measure,
    "lost": lost.measure,
    "collector": collector.measure,
    "disk": disk.measure,
    "year": year.measure,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", choices=PARTS, help="one part (make bench ONLY=name)")
    options = parser.parse_args()
    found = []
    for name, measure in PARTS.items():
        if options.only in (None, name):
            for one in measure():
                print(f"{one.name}: {one.value:,.4g} {one.unit}", file=sys.stderr, flush=True)
                found.append(one)
    results.show(found)
    results.save(found)


if __name__ == "__main__":
    main()
