"""What can happen: one method of the tracker for each kind of event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from trackway.errors import ContractNotRespected
from trackway.event import Kind, SelfDescribingJson
from trackway.ids import new_id
from trackway.wires.snowplow import TRACK_SCHEMA, VENDOR

Describing = SelfDescribingJson | Mapping[str, Any]
Context = Sequence[Describing] | None

_MOBILE = "iglu:com.snowplowanalytics.mobile"


class Verbs:
    """The ``track`` methods, which give facts, by the names of Event's fields in JSON, to
    ``_capture``. All of them take ``context``, a list of self-describing JSON; ``tstamp``, when
    the event was created (milliseconds since 1970); and ``options``: ``true_timestamp``, when it
    counts as having happened; ``event_subject`` instead of the tracker's subject; ``event_id``;
    and any field of Event. They return the tracker, but ``track`` the id of the event.
    """

    def _capture(
        self,
        verb: str,
        kind: Kind,
        required: tuple[str, ...],
        facts: dict[str, Any],
        context: Context,
        tstamp: float | None,
        options: dict[str, Any],
    ) -> str:
        raise NotImplementedError

    def _describe(
        self,
        verb: str,
        schema: str,
        required: tuple[str, ...],
        data: dict[str, Any],
        context: Context,
        tstamp: float | None,
        options: dict[str, Any],
    ) -> Self:
        """One of Snowplow's own self-describing events; what is None is not said."""
        try:
            event = SelfDescribingJson(schema, self._fit_data(verb, data, required))
            self._capture(verb, "unstruct", (), {"properties": event}, context, tstamp, options)
        except ContractNotRespected:
            raise
        except Exception as error:  # the values' own methods
            self._failed(verb, error)
        return self

    def _fit_data(
        self, verb: str, data: dict[str, Any], required: tuple[str, ...]
    ) -> dict[str, Any]:
        raise NotImplementedError

    def _text(self, verb: str, argument: str, value: Any, limit: int = 0) -> str | None:
        raise NotImplementedError

    def _breach(self, verb: str, argument: str, expected: str, value: Any) -> None:
        raise NotImplementedError

    def _failed(self, verb: str, error: Exception) -> None:
        raise NotImplementedError

    # -- in the application's own words

    def track(self, name: str, properties: Mapping[str, Any] | None = None, **options: Any) -> str:
        """Something happened, in the application's own words: ``track("Signed up", {...})``.

        Travels as a self-describing event of our schema ``dev.trackway/track``. Returns the id of
        the event.
        """
        try:
            if not (name := self._text("track", "name", name, 255) or ""):
                self._breach("track", "name", "a text that is not empty", name)
            if not isinstance(properties, Mapping | None):
                self._breach("track", "properties", "a mapping", properties)
                properties = None
            data = {"name": name or "track", "properties": dict(properties or {})}
        except ContractNotRespected:
            raise
        except Exception as error:  # the values' own methods
            self._failed("track", error)
            data = {"name": name if type(name) is str else "track", "properties": {}}
        facts = {"properties": SelfDescribingJson(TRACK_SCHEMA, data)}
        context, tstamp = options.pop("context", None), options.pop("tstamp", None)
        return self._capture("track", "unstruct", (), facts, context, tstamp, options)

    def track_self_describing_event(
        self,
        event_json: Describing,
        context: Context = None,
        tstamp: float | None = None,
        **options: Any,
    ) -> Self:
        """Something whose shape a schema of your own describes."""
        facts = {"properties": event_json}
        verb = "track_self_describing_event"
        self._capture(verb, "unstruct", (), facts, context, tstamp, options)
        return self

    def track_unstruct_event(
        self,
        event_json: Describing,
        context: Context = None,
        tstamp: float | None = None,
        **options: Any,
    ) -> Self:
        """The older name of ``track_self_describing_event``."""
        return self.track_self_describing_event(event_json, context, tstamp, **options)

    def track_struct_event(
        self,
        category: str,
        action: str,
        label: str | None = None,
        property_: str | None = None,
        value: float | None = None,
        context: Context = None,
        tstamp: float | None = None,
        **options: Any,
    ) -> Self:
        """Something with a category and an action, as Google Analytics once named events."""
        facts = {
            "se_ca": category,
            "se_ac": action,
            "se_la": label,
            "se_pr": property_,
            "se_va": value,
        }
        required = ("se_ca", "se_ac")
        self._capture("track_struct_event", "struct", required, facts, context, tstamp, options)
        return self

    # -- pages and screens

    def track_page_view(
        self,
        page_url: str,
        page_title: str | None = None,
        referrer: str | None = None,
        context: Context = None,
        tstamp: float | None = None,
        **options: Any,
    ) -> Self:
        """A page was shown."""
        facts = {"url": page_url, "page": page_title, "refr": referrer}
        self._capture("track_page_view", "page_view", _URL, facts, context, tstamp, options)
        return self

    def track_page_ping(
        self,
        page_url: str,
        page_title: str | None = None,
        referrer: str | None = None,
        min_x: int | None = None,
        max_x: int | None = None,
        min_y: int | None = None,
        max_y: int | None = None,
        context: Context = None,
        tstamp: float | None = None,
        **options: Any,
    ) -> Self:
        """A page is still being looked at; scroll offsets in pixels since the last ping."""
        facts = {
            "url": page_url,
            "page": page_title,
            "refr": referrer,
            "pp_mix": min_x,
            "pp_max": max_x,
            "pp_miy": min_y,
            "pp_may": max_y,
        }
        self._capture("track_page_ping", "page_ping", _URL, facts, context, tstamp, options)
        return self

    def track_screen_view(
        self,
        name: str | None = None,
        id_: str | None = None,
        context: Context = None,
        tstamp: float | None = None,
        **options: Any,
    ) -> Self:
        """A screen of an application was shown; at least one of name and id."""
        verb = "track_screen_view"
        data = {"name": self._text(verb, "name", name), "id": self._text(verb, "id_", id_)}
        if not any(data.values()):
            self._breach(verb, "name", "given, or id_", name)
        schema = f"{VENDOR}/screen_view/jsonschema/1-0-0"
        return self._describe(verb, schema, (), data, context, tstamp, options)

    def track_mobile_screen_view(
        self,
        name: str,
        id_: str | None = None,
        type: str | None = None,
        previous_name: str | None = None,
        previous_id: str | None = None,
        previous_type: str | None = None,
        transition_type: str | None = None,
        context: Context = None,
        tstamp: float | None = None,
        **options: Any,
    ) -> Self:
        """A screen of a mobile application was shown; ``id_`` is a UUID (None: a new one)."""
        data = {
            "name": name,
            "id": new_id() if id_ is None else id_,
            "type": type,
            "previousName": previous_name,
            "previousId": previous_id,
            "previousType": previous_type,
            "transitionType": transition_type,
        }
        schema = f"{_MOBILE}/screen_view/jsonschema/1-0-0"
        verb = "track_mobile_screen_view"
        return self._describe(verb, schema, ("name",), data, context, tstamp, options)

    # -- what people do on a page

    def track_link_click(
        self,
        target_url: str,
        element_id: str | None = None,
        element_classes: Sequence[str] | None = None,
        element_target: str | None = None,
        element_content: str | None = None,
        context: Context = None,
        tstamp: float | None = None,
        **options: Any,
    ) -> Self:
        """A link was followed."""
        data = {
            "targetUrl": target_url,
            "elementId": element_id,
            "elementClasses": element_classes,
            "elementTarget": element_target,
            "elementContent": element_content,
        }
        schema = f"{VENDOR}/link_click/jsonschema/1-0-1"
        verb = "track_link_click"
        return self._describe(verb, schema, ("targetUrl",), data, context, tstamp, options)

    def track_add_to_cart(
        self,
        sku: str,
        quantity: int,
        name: str | None = None,
        category: str | None = None,
        unit_price: float | None = None,
        currency: str | None = None,
        context: Context = None,
        tstamp: float | None = None,
        **options: Any,
    ) -> Self:
        """Something was put into the cart."""
        data = _cart(sku, quantity, name, category, unit_price, currency)
        schema = f"{VENDOR}/add_to_cart/jsonschema/1-0-0"
        return self._describe("track_add_to_cart", schema, _CART, data, context, tstamp, options)

    def track_remove_from_cart(
        self,
        sku: str,
        quantity: int,
        name: str | None = None,
        category: str | None = None,
        unit_price: float | None = None,
        currency: str | None = None,
        context: Context = None,
        tstamp: float | None = None,
        **options: Any,
    ) -> Self:
        """Something was taken out of the cart."""
        data = _cart(sku, quantity, name, category, unit_price, currency)
        schema = f"{VENDOR}/remove_from_cart/jsonschema/1-0-0"
        verb = "track_remove_from_cart"
        return self._describe(verb, schema, _CART, data, context, tstamp, options)

    def track_form_change(
        self,
        form_id: str,
        element_id: str,
        node_name: str,
        value: str | None,
        type_: str | None = None,
        element_classes: Sequence[str] | None = None,
        context: Context = None,
        tstamp: float | None = None,
        **options: Any,
    ) -> Self:
        """A field of a form was changed; ``node_name`` is INPUT, TEXTAREA or SELECT."""
        data = {
            "formId": form_id,
            "elementId": element_id,
            "nodeName": node_name,
            "value": value,
            "type": type_,
            "elementClasses": element_classes,
        }
        schema = f"{VENDOR}/change_form/jsonschema/1-0-0"
        verb, required = "track_form_change", ("formId", "elementId", "nodeName")
        return self._describe(verb, schema, required, data, context, tstamp, options)

    def track_form_submit(
        self,
        form_id: str,
        form_classes: Sequence[str] | None = None,
        elements: Sequence[Mapping[str, Any]] | None = None,
        context: Context = None,
        tstamp: float | None = None,
        **options: Any,
    ) -> Self:
        """A form was sent; each of ``elements`` has ``name``, ``value`` and ``nodeName``."""
        data = {
            "formId": form_id,
            "formClasses": form_classes,
            "elements": elements,
        }
        schema = f"{VENDOR}/submit_form/jsonschema/1-0-0"
        verb = "track_form_submit"
        return self._describe(verb, schema, ("formId",), data, context, tstamp, options)

    def track_site_search(
        self,
        terms: Sequence[str],
        filters: Mapping[str, str | bool] | None = None,
        total_results: int | None = None,
        page_results: int | None = None,
        context: Context = None,
        tstamp: float | None = None,
        **options: Any,
    ) -> Self:
        """Somebody searched the site."""
        data = {
            "terms": terms,
            "filters": filters,
            "totalResults": total_results,
            "pageResults": page_results,
        }
        schema = f"{VENDOR}/site_search/jsonschema/1-0-0"
        verb = "track_site_search"
        return self._describe(verb, schema, ("terms",), data, context, tstamp, options)


_URL = ("url",)
_CART = ("sku", "quantity")


def _cart(
    sku: str,
    quantity: int,
    name: str | None,
    category: str | None,
    unit_price: float | None,
    currency: str | None,
) -> dict[str, Any]:
    return {
        "sku": sku,
        "quantity": quantity,
        "name": name,
        "category": category,
        "unitPrice": unit_price,
        "currency": currency,
    }
