"""The pages of the planted shop: paths, titles and the prices of its products."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trackway.testing.workload.dice import Flags, Floats, Ints

_FIXED = (("/", "Home"), ("/pricing", "Pricing"), ("/sale", "Spring sale"), ("/about", "About us"))
_QUALITIES = ("oak", "walnut", "steel", "grün", "low", "folding", "round", "small", "tall", "blue")
_THINGS = ("chair", "table", "lamp", "shelf", "bench", "stool", "desk", "sofa", "bed", "mirror")


@dataclass(frozen=True)
class Pages:
    """A catalogue of pages, most visited first; visits follow Zipf's law with exponent 1."""

    paths: tuple[str, ...]
    titles: tuple[str, ...]
    is_product: Flags
    weights: Floats
    products: Ints  # the numbers of the pages that show a product
    cents: Ints  # price of each page's product

    @classmethod
    def of(cls, count: int) -> Pages:
        """``count`` pages, at least five: a few fixed ones, then products and articles."""
        paths, titles = map(list, zip(*_FIXED, strict=True))
        for number in range(count - len(_FIXED)):
            quality = _QUALITIES[number % 10]
            thing = _THINGS[number // 10 % 10]
            name, slug = f"{quality} {thing}", f"{quality}-{thing}-{number}".replace("ü", "ue")
            # three products to one article; the first is a product, so that there always is one
            is_article = number % 4 == 3
            paths.append(f"/blog/{slug}" if is_article else f"/products/{slug}")
            titles.append(f"How to care for a {name}" if is_article else f"{name.title()} – Shop")
        is_product = np.array([path.startswith("/products/") for path in paths])
        numbers = np.arange(len(paths), dtype=np.int64)
        return cls(
            paths=tuple(paths),
            titles=tuple(titles),
            is_product=is_product,
            weights=1.0 / (numbers + 1).astype(np.float64),
            products=numbers[is_product],
            cents=1990 + numbers * 730 % 50_000,
        )
