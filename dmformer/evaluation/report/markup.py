"""HTML that cannot be broken by what it shows: text goes in escaped, markup only as `Html`."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

THUMBNAIL = 96


class Html(str):
    """Finished markup. Everything else is escaped when it is put into some, or added behind it."""

    __slots__ = ()

    def __add__(self, other: str) -> Html:
        return Html(str.__add__(self, text(other)))


def text(value: object) -> Html:
    """Any value as text; letters that cannot be printed become question marks."""
    if isinstance(value, Html):
        return value
    return Html(escape("".join(letter if letter.isprintable() else "?" for letter in str(value)), quote=True))


def joined(parts: Iterable[object]) -> Html:
    """Several pieces behind one another."""
    return Html("".join(text(part) for part in parts))


def tag(name: str, *content: object, **attributes: str) -> Html:
    """One element. An attribute's trailing underscore is dropped (``class_``), inner ones become hyphens."""
    given = "".join(f' {key.rstrip("_").replace("_", "-")}="{text(value)}"' for key, value in attributes.items())
    return Html(f"<{name}{given}>{joined(content)}</{name}>")


def items(lines: Iterable[object], **attributes: str) -> Html:
    """A list."""
    return tag("ul", *(tag("li", line) for line in lines), **attributes)


def facts(pairs: Iterable[tuple[str, object]]) -> Html:
    """Names and what they stand for; those without a value are left out."""
    known = [(name, value) for name, value in pairs if value not in (None, "", ())]
    return tag("dl", *(part for name, value in known for part in (tag("dt", name), tag("dd", value))))


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[object]], texts: Sequence[int] = ()) -> Html:
    """A table that scrolls sideways by itself, and by the keyboard; the first column names the row.

    Args:
        caption: What it shows.
        head: Names of the columns.
        rows: Their values.
        texts: Columns that hold words rather than numbers.
    """
    columns = [tag("th", name, scope="col", **_kind(index, (0, *texts))) for index, name in enumerate(head)]
    body = [
        tag("tr", tag("th", row[0], scope="row"), *(tag("td", v, **_kind(i, texts)) for i, v in enumerate(row[1:], 1)))
        for row in rows
    ]
    grid = tag("table", tag("caption", tag("span", caption)), tag("thead", tag("tr", *columns)), tag("tbody", *body))
    return tag("div", grid, class_="scroll", tabindex="0", role="region", aria_label=caption)


def _kind(index: int, texts: Sequence[int]) -> dict[str, str]:
    return {"class_": "text"} if index in texts else {}


def figure(title: str, chart: str, caption: object = "") -> Html:
    """A chart with its title and what to see in it."""
    return tag("figure", tag("h3", title), Html(chart), tag("figcaption", caption))


def picture(image: NDArray[np.uint8], alternative: str) -> Html:
    """An image inside the page, small.

    Args:
        image: uint8 HWC.
        alternative: What it shows, for those who do not see it.
    """
    small = Image.fromarray(np.ascontiguousarray(image.squeeze()))
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    small.convert("RGB").save(buffer, "PNG", optimize=True)
    source = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    return Html(f'<img src="{source}" alt="{text(alternative)}" width="{small.width}" height="{small.height}">')


def number(value: float | None, pattern: str = "{:.2f}") -> str:
    """A figure, or a dash where there is none."""
    return "–" if value is None else pattern.format(value)
