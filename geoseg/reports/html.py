"""HTML by elements: text is escaped, and a page needs nothing from outside of its file."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from geoseg.reports.html_style import SCRIPT, STYLE

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff]")
_LONG = 16
"""Rows of a table that may be parted between pages."""
_EMPTY_ELEMENTS = ("img", "meta", "link", "br")


class Html(str):
    """Text that is HTML already; any other is escaped."""

    __slots__ = ()


Content = str | Html | Iterable["Content"]


@dataclass(frozen=True)
class Cell:
    """A cell of a table."""

    content: Content
    """What is read."""

    value: float | str | None = None
    """What rows are sorted by; None where it is undefined, which comes last."""

    style: str = ""
    """CSS of the cell."""

    is_name: bool = False
    """Whether it heads its row."""


def escaped(text: str) -> Html:
    """Text as HTML; what no page may hold (control characters, half surrogates) is replaced."""
    readable = text.encode("utf-8", "replace").decode("utf-8")
    return Html(html.escape(_CONTROL.sub("\N{REPLACEMENT CHARACTER}", readable), quote=True))


def joined(content: Content) -> Html:
    """Content of any depth as HTML."""
    if isinstance(content, Html):
        return content
    if isinstance(content, str):
        return escaped(content)
    return Html("".join(joined(part) for part in content))


def element(name: str, *content: Content, **attributes: str | bool | None) -> Html:
    """An element.

    Args:
        name: Such as `p`.
        content: What stands in it; text is escaped.
        attributes: `_` at the end is dropped (`class_`), others become `-`; True stands for the
            name alone, None and False for nothing.

    Examples:
        >>> element("p", "1 < 2", class_="note", hidden=True)
        '<p class="note" hidden>1 &lt; 2</p>'
    """
    words = [name]
    for key, value in attributes.items():
        key = key.rstrip("_").replace("_", "-")
        if value is True:
            words.append(key)
        elif value is not None and value is not False:
            words.append(f'{key}="{escaped(value)}"')
    start = Html(f"<{' '.join(words)}>")
    return start if name in _EMPTY_ELEMENTS else Html(f"{start}{joined(content)}</{name}>")


def table(
    head: Sequence[str], rows: Sequence[Sequence[Cell]], *, identity: str, sortable: bool = True
) -> Html:
    """A table that scrolls in itself where it is wider than the page.

    Args:
        head: Titles of the columns.
        rows: A cell for each.
        identity: `id` of the table.
        sortable: Whether rows are sorted by a click on a title.
    """
    titles = (element("th", element("span", title), scope="col") for title in head)
    body = element("tbody", (element("tr", map(_cell, row)) for row in rows))
    kind = "sortable" if sortable and len(rows) > 1 else None
    whole = element(
        "table", element("thead", element("tr", titles)), body, id=identity, class_=kind
    )
    return element("div", whole, class_="wide long" if len(rows) > _LONG else "wide")


def section(title: str, *content: Content, identity: str) -> Html:
    """A part of the page with its headline."""
    return element("section", element("h2", title), content, id=identity)


def data_uri(data: bytes, kind: str = "image/png") -> str:
    """A file as an address that holds it."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def picture(data: bytes, text: str, *, kind: str = "image/png", class_: str | None = None) -> Html:
    """An image that the page carries along.

    Args:
        data: Its file.
        text: What it shows, for those who cannot see it.
        kind: MIME type.
        class_: CSS class.
    """
    return element("img", src=data_uri(data, kind), alt=text, class_=class_)


def page(title: str, *content: Content) -> str:
    """A page that loads nothing and runs nothing but its own few lines, by its own order.

    Args:
        title: Of the window.
        content: The body.
    """
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode("ascii")
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        # http_equiv becomes http-equiv
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        element("link", rel="icon", href="data:,"),
        element("title", title),
        element("style", Html(STYLE)),
    )
    body = element("body", element("main", content), element("script", Html(SCRIPT)))
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _cell(cell: Cell) -> Html:
    value = "" if cell.value is None else str(cell.value)
    name = "th" if cell.is_name else "td"
    scope = "row" if cell.is_name else None
    return element(name, cell.content, scope=scope, style=cell.style or None, data_value=value)
