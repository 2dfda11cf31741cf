"""The small shop of ``trackway demo``: a Flask application that is tracked by two lines."""

from __future__ import annotations

from html import escape
from typing import Any

import flask

from trackway.integrations.flask import Trackway

PRODUCTS = {
    "field-notebook": ("Field notebook", 12.0),
    "trail-map": ("Trail map", 9.5),
    "compass": ("Compass", 34.0),
    "head-torch": ("Head torch", 29.0),
    "wool-socks": ("Wool socks", 16.0),
    "tea-flask": ("Tea flask", 27.5),
    "rain-cape": ("Rain cape", 58.0),
    "tent": ("Two-person tent", 249.0),
}
POSTS = {
    "reading-a-map": "Reading a map in the rain",
    "first-night-out": "Your first night out",
    "what-to-pack": "What to pack, and what not",
}


def create_shop(endpoint: str) -> tuple[flask.Flask, Trackway]:
    """The shop, which sends its events to a collector at ``endpoint``."""
    shop = flask.Flask("trackway-demo-shop")
    shop.secret_key = "a demonstration needs no secret"
    trackway = Trackway(
        shop,
        endpoint=endpoint,
        app_id="shop",
        anonymous_id=True,
        user_id=lambda request: flask.session.get("user"),
    )
    tracker = trackway.tracker

    @shop.get("/")
    def home() -> str:
        return _page("Wayfarer", "".join(_link(f"/products/{p}") for p in PRODUCTS))

    @shop.get("/products/<slug>")
    def product(slug: str) -> str:
        name, price = PRODUCTS.get(slug) or flask.abort(404)
        return _page(name, f"<p>{price:.2f} EUR</p>{_link('/cart')}")

    @shop.get("/blog/<slug>")
    def post(slug: str) -> str:
        return _page(POSTS.get(slug) or flask.abort(404), _link("/"))

    @shop.get("/about")
    def about() -> str:
        return _page("About us", _link("/"))

    @shop.post("/cart")
    def add_to_cart() -> flask.typing.ResponseReturnValue:
        slug = flask.request.form.get("product", "")
        if slug not in PRODUCTS:
            flask.abort(400)
        tracker.track("Added to cart", {"product": slug, "price": PRODUCTS[slug][1]})
        flask.session["cart"] = [*flask.session.get("cart", []), slug]
        return flask.redirect("/cart")

    @shop.get("/cart")
    def cart() -> str:
        return _page("Your cart", _link("/checkout"))

    @shop.get("/checkout")
    def checkout() -> str:
        return _page("Checkout", _link("/cart"))

    @shop.post("/login")
    def login() -> flask.typing.ResponseReturnValue:
        flask.session["user"] = flask.request.form["user"]
        tracker.track("Logged in")
        return flask.redirect("/checkout")

    @shop.post("/orders")
    def order() -> flask.typing.ResponseReturnValue:
        items = flask.session.pop("cart", [])
        order_id = flask.request.form["id"]
        tracker.track_ecommerce_transaction(
            order_id,
            sum(PRODUCTS[slug][1] for slug in items),
            currency="EUR",
            items=[{"sku": s, "price": PRODUCTS[s][1], "quantity": 1} for s in items],
        )
        return flask.redirect("/thank-you")

    @shop.get("/thank-you")
    def thank_you() -> str:
        return _page("Thank you", _link("/"))

    return shop, trackway


def _page(title: str, body: str) -> str:
    return f"<!doctype html><title>{escape(title)}</title><h1>{escape(title)}</h1>{body}"


def _link(path: str) -> str:
    return f'<p><a href="{escape(path)}">{escape(path)}</a></p>'


def serve_shop(shop: flask.Flask) -> Any:
    """A real HTTP server for the shop on a free port; ``serve_forever`` runs it."""
    import logging

    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line per request is not news here
    return make_server("127.0.0.1", 0, shop, threaded=True)
