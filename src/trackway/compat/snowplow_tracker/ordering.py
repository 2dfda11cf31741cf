"""Orders, their items and carts, with the signatures and contracts of the old tracker."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from time import time_ns
from typing import Any

from trackway.compat.snowplow_tracker import rules
from trackway.compat.snowplow_tracker.answers import Answering
from trackway.compat.snowplow_tracker.arguments import Context, When
from trackway.compat.snowplow_tracker.contracts import contract
from trackway.compat.snowplow_tracker.subject import Subject
from trackway.compat.snowplow_tracker.timestamp import DeviceTimestamp

#: Stands for a needed argument that may be given under another name.
_MISSING: Any = object()

_ORDER = {
    "order_id": rules.NON_EMPTY_TEXT,
    "total_value": rules.NUMBER,
    **dict.fromkeys(("tax_value", "shipping"), rules.OPTIONAL_NUMBER),
    **rules.texts("affiliation", "city", "state", "country", "currency"),
    "items": rules.ITEMS,
}
_SOLD = {
    "sku": rules.NON_EMPTY_TEXT,
    "quantity": rules.WHOLE,
    **rules.texts("name", "category", "currency"),
    **rules.OF_EVERY_EVENT,
}
_ITEM = {"order_id": rules.NON_EMPTY_TEXT, "id": rules.NON_EMPTY_TEXT, "price": rules.NUMBER}
_CART = {"unit_price": rules.OPTIONAL_NUMBER}


class Ordering(Answering):
    """The ``track`` methods of versions 0.4 to 1.1 for orders and carts."""

    contract_name = "Tracker"

    @contract(**_ORDER, **rules.OF_EVERY_EVENT)
    def track_ecommerce_transaction(
        self,
        order_id: str,
        total_value: float,
        affiliation: str | None = None,
        tax_value: float | None = None,
        shipping: float | None = None,
        city: str | None = None,
        state: str | None = None,
        country: str | None = None,
        currency: str | None = None,
        items: Iterable[Mapping[str, Any]] | None = None,
        context: Context = None,
        tstamp: When = None,
        event_subject: Subject | None = None,
        **options: Any,
    ) -> Any:
        """An order, and one event for each of its items; all have the same times.

        An item is a dictionary with ``sku``, ``price``, ``quantity`` and perhaps ``name``,
        ``category`` and ``context``; it is not changed. Version 0.4 returns a dictionary of
        statuses: ``transaction_result`` and ``item_results``.
        """
        more = self._common(context, tstamp, event_subject, options)
        if more["tstamp"] is None:
            more["tstamp"] = time_ns() // 1_000_000
        where = (affiliation, tax_value, shipping, city, state, country, currency)
        super().track_ecommerce_transaction(order_id, total_value, *where, None, **more)
        result = self._answer()
        more.pop("event_id", None)
        more |= {"currency": currency, "tstamp": DeviceTimestamp(more["tstamp"])}
        results = [
            self._track_item(order_id, item, more)
            for item in self._order_items("track_ecommerce_transaction", items)
        ]
        if self.compatibility == "0.4":
            return {"transaction_result": result, "item_results": results}
        return self

    def _track_item(self, order_id: str, item: Mapping[str, Any], more: dict[str, Any]) -> Any:
        names = ("sku", "price", "quantity", "name", "category", "context")
        said = {name: item.get(name) for name in names}
        return self.track_ecommerce_transaction_item(order_id, **more | said)

    @contract(**_ITEM, **_SOLD)
    def track_ecommerce_transaction_item(
        self,
        order_id: Any = _MISSING,
        sku: Any = _MISSING,
        price: Any = _MISSING,
        quantity: Any = _MISSING,
        name: str | None = None,
        category: str | None = None,
        currency: str | None = None,
        context: Context = None,
        tstamp: When = None,
        event_subject: Subject | None = None,
        *,
        id: str | None = None,
        **options: Any,
    ) -> Any:
        """One item of an order; the first four arguments are needed. ``id`` is ``order_id``."""
        if order_id is _MISSING and id is not None:
            order_id = id
        needed = {"order_id": order_id, "sku": sku, "price": price, "quantity": quantity}
        missing = [argument for argument, value in needed.items() if value is _MISSING]
        if missing:
            raise TypeError(f"track_ecommerce_transaction_item() needs {' and '.join(missing)}")
        more = self._common(context, tstamp, event_subject, options)
        super().track_ecommerce_transaction_item(
            order_id, sku, price, quantity, name, category, currency, **more
        )
        return self._answer()

    @contract(**_CART, **_SOLD)
    def track_add_to_cart(
        self,
        sku: str,
        quantity: int,
        name: str | None = None,
        category: str | None = None,
        unit_price: float | None = None,
        currency: str | None = None,
        context: Context = None,
        tstamp: When = None,
        event_subject: Subject | None = None,
        **options: Any,
    ) -> Any:
        """Something was put into the cart."""
        more = self._common(context, tstamp, event_subject, options)
        super().track_add_to_cart(sku, quantity, name, category, unit_price, currency, **more)
        return self._answer()

    @contract(**_CART, **_SOLD)
    def track_remove_from_cart(
        self,
        sku: str,
        quantity: int,
        name: str | None = None,
        category: str | None = None,
        unit_price: float | None = None,
        currency: str | None = None,
        context: Context = None,
        tstamp: When = None,
        event_subject: Subject | None = None,
        **options: Any,
    ) -> Any:
        """Something was taken out of the cart."""
        more = self._common(context, tstamp, event_subject, options)
        super().track_remove_from_cart(sku, quantity, name, category, unit_price, currency, **more)
        return self._answer()
