"""What can be tracked but orders, with the signatures and contracts of the old tracker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trackway.compat.snowplow_tracker import rules
from trackway.compat.snowplow_tracker.answers import Answering
from trackway.compat.snowplow_tracker.arguments import Context, When
from trackway.compat.snowplow_tracker.contracts import breach, contract, contracts_enabled
from trackway.compat.snowplow_tracker.describing import Describing, to_native
from trackway.compat.snowplow_tracker.subject import Subject

_COMMON = rules.OF_EVERY_EVENT
_PAGE = {"page_url": rules.NON_EMPTY_TEXT, **rules.texts("page_title", "referrer"), **_COMMON}
_OFFSETS = dict.fromkeys(("min_x", "max_x", "min_y", "max_y"), rules.OPTIONAL_WHOLE)
_SCREEN = rules.texts(
    "id_", "type", "previous_name", "previous_id", "previous_type", "transition_type"
)


class Tracking(Answering):
    """The ``track`` methods of versions 0.4 to 1.1 for pages, screens, links, forms, searches and
    events of one's own."""

    contract_name = "Tracker"

    # -- pages and screens

    @contract(**_PAGE)
    def track_page_view(
        self,
        page_url: str,
        page_title: str | None = None,
        referrer: str | None = None,
        context: Context = None,
        tstamp: When = None,
        event_subject: Subject | None = None,
        **options: Any,
    ) -> Any:
        """A page was shown."""
        more = self._common(context, tstamp, event_subject, options)
        super().track_page_view(page_url, page_title, referrer, **more)
        return self._answer()

    @contract(**_PAGE, **_OFFSETS)
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
        tstamp: When = None,
        event_subject: Subject | None = None,
        **options: Any,
    ) -> Any:
        """A page is still being looked at; scroll offsets in pixels since the last ping."""
        more = self._common(context, tstamp, event_subject, options)
        super().track_page_ping(page_url, page_title, referrer, min_x, max_x, min_y, max_y, **more)
        return self._answer()

    @contract(**rules.texts("name", "id_", "id"), **_COMMON)
    def track_screen_view(
        self,
        name: str | None = None,
        id_: str | None = None,
        context: Context = None,
        tstamp: When = None,
        event_subject: Subject | None = None,
        *,
        id: str | None = None,
        **options: Any,
    ) -> Any:
        """A screen was shown; at least one of name and id is needed."""
        id_ = id_ if id_ is not None else id
        if not (name or id_) and contracts_enabled():
            place = "Tracker:track_screen_view()"
            raise breach(place, "name", name, "non-empty str, or id_", self)
        super().track_screen_view(
            name, id_, **self._common(context, tstamp, event_subject, options)
        )
        return self._answer()

    @contract(name=rules.NON_EMPTY_TEXT, **_SCREEN, **_COMMON)
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
        tstamp: When = None,
        event_subject: Subject | None = None,
        **options: Any,
    ) -> Any:
        """A screen of a mobile application was shown; ``id_`` is a UUID, by itself a new one."""
        more = self._common(context, tstamp, event_subject, options)
        super().track_mobile_screen_view(
            name, id_, type, previous_name, previous_id, previous_type, transition_type, **more
        )
        return self._answer()

    # -- events of one's own

    @contract(
        category=rules.NON_EMPTY_TEXT,
        action=rules.NON_EMPTY_TEXT,
        **rules.texts("label", "property_", "property"),
        value=rules.OPTIONAL_NUMBER,
        **_COMMON,
    )
    def track_struct_event(
        self,
        category: str,
        action: str,
        label: str | None = None,
        property_: str | None = None,
        value: float | None = None,
        context: Context = None,
        tstamp: When = None,
        event_subject: Subject | None = None,
        *,
        property: str | None = None,
        **options: Any,
    ) -> Any:
        """Something with a category and an action. ``property`` is ``property_``."""
        more = self._common(context, tstamp, event_subject, options)
        property_ = property_ if property_ is not None else property
        super().track_struct_event(category, action, label, property_, value, **more)
        return self._answer()

    @contract(event_json=rules.DESCRIBING, **_COMMON)
    def track_unstruct_event(
        self,
        event_json: Describing,
        context: Context = None,
        tstamp: When = None,
        event_subject: Subject | None = None,
        **options: Any,
    ) -> Any:
        """Something whose shape a schema describes: a SelfDescribingJson, a dictionary with
        ``schema`` and ``data``, or a pair of these."""
        return self.track_self_describing_event(
            event_json, context, tstamp, event_subject, **options
        )

    @contract(event_json=rules.DESCRIBING, **_COMMON)
    def track_self_describing_event(
        self,
        event_json: Describing,
        context: Context = None,
        tstamp: When = None,
        event_subject: Subject | None = None,
        **options: Any,
    ) -> Any:
        """The newer name of ``track_unstruct_event``."""
        place = "Tracker:track_self_describing_event()"
        event = to_native(event_json, place, "event_json", self.json_encoder)
        more = self._common(context, tstamp, event_subject, options)
        super().track_self_describing_event(event, **more)
        return self._answer()

    # -- what people do on a page

    @contract(
        target_url=rules.NON_EMPTY_TEXT,
        **rules.texts("element_id", "element_target", "element_content"),
        element_classes=rules.OPTIONAL_TEXTS,
        **_COMMON,
    )
    def track_link_click(
        self,
        target_url: str,
        element_id: str | None = None,
        element_classes: Sequence[str] | None = None,
        element_target: str | None = None,
        element_content: str | None = None,
        context: Context = None,
        tstamp: When = None,
        event_subject: Subject | None = None,
        **options: Any,
    ) -> Any:
        """A link was followed."""
        more = self._common(context, tstamp, event_subject, options)
        super().track_link_click(
            target_url, element_id, element_classes, element_target, element_content, **more
        )
        return self._answer()

    @contract(
        form_id=rules.NON_EMPTY_TEXT,
        element_id=rules.NON_EMPTY_TEXT,
        node_name=rules.NODE_NAME,
        **rules.texts("value", "type_"),
        element_classes=rules.OPTIONAL_TEXTS,
        **_COMMON,
    )
    def track_form_change(
        self,
        form_id: str,
        element_id: str,
        node_name: str,
        value: str | None,
        type_: str | None = None,
        element_classes: Sequence[str] | None = None,
        context: Context = None,
        tstamp: When = None,
        event_subject: Subject | None = None,
        **options: Any,
    ) -> Any:
        """A field of a form was changed; ``node_name`` is INPUT, TEXTAREA or SELECT."""
        more = self._common(context, tstamp, event_subject, options)
        super().track_form_change(
            form_id, element_id, node_name, value, type_, element_classes, **more
        )
        return self._answer()

    @contract(
        form_id=rules.NON_EMPTY_TEXT,
        form_classes=rules.OPTIONAL_TEXTS,
        elements=rules.FORM_ELEMENTS,
        **_COMMON,
    )
    def track_form_submit(
        self,
        form_id: str,
        form_classes: Sequence[str] | None = None,
        elements: Sequence[Mapping[str, Any]] | None = None,
        context: Context = None,
        tstamp: When = None,
        event_subject: Subject | None = None,
        **options: Any,
    ) -> Any:
        """A form was sent; each of ``elements`` has ``name``, ``value`` and ``nodeName``."""
        more = self._common(context, tstamp, event_subject, options)
        super().track_form_submit(form_id, form_classes, elements, **more)
        return self._answer()

    @contract(
        terms=rules.NON_EMPTY_TEXTS,
        filters=rules.FILTERS,
        total_results=rules.OPTIONAL_WHOLE,
        page_results=rules.OPTIONAL_WHOLE,
        **_COMMON,
    )
    def track_site_search(
        self,
        terms: Sequence[str],
        filters: Mapping[str, str | bool] | None = None,
        total_results: int | None = None,
        page_results: int | None = None,
        context: Context = None,
        tstamp: When = None,
        event_subject: Subject | None = None,
        **options: Any,
    ) -> Any:
        """Somebody searched the site."""
        more = self._common(context, tstamp, event_subject, options)
        terms = terms if isinstance(terms, list | tuple) else []
        super().track_site_search(terms, filters, total_results, page_results, **more)
        return self._answer()
