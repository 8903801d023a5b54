"""The section of changed answers: which images an engine answers otherwise, and what each class lost."""

from __future__ import annotations

from dmformer.evaluation.flips import Flip, Flips
from dmformer.evaluation.report.markup import Html, items, joined, number, picture, table, tag
from dmformer.evaluation.report.material import Examined


def changes(bundle: Examined) -> Html:
    """The answers of one bundle that differ from the reference's, with the images."""
    flips = bundle.flips
    parts: list[Html] = [tag("h3", bundle.name), tag("p", difference(flips))]
    if bundle.by_class:
        parts.append(losses(bundle))
    if flips.shown:
        kind = "flips wide" if flips.shown[0].views else "flips"
        parts.append(items((flip_card(bundle, flip) for flip in flips.shown), class_=kind))
    if flips.confusion:
        rows = [(bundle.label(old), bundle.label(new), count) for old, new, count in flips.confusion[:40]]
        of = "images" if flips.decisions == flips.images else "pixels"
        grid = table("Changed answers by class", ("PyTorch said", "the engine says", of), rows, texts=(1,))
        parts.append(tag("details", tag("summary", "From which class to which"), grid))
    if flips.classes:
        parts.append(tag("details", tag("summary", "Right answers by class"), class_table(bundle)))
    return joined(parts)


def difference(flips: Flips) -> str:
    """How many answers differ, in a sentence."""
    if flips.decisions == flips.images:
        return f"{flips.count} of {flips.images} answers on {flips.data} differ from PyTorch's."
    if not flips.decisions:
        return f"Nothing is decided of the {flips.images} images of {flips.data}."
    share = flips.changed / flips.decisions
    return (
        f"{share:.2%} of the pixels on {flips.data} differ from PyTorch's, in {flips.count} of {flips.images} images. "
        "Those of which most changed come first."
    )


def losses(bundle: Examined) -> Html:
    """What each class lost, the largest loss first; classes that are nowhere are left out."""
    known = sorted(bundle.scored, key=lambda one: -(one[1].drop or 0.0))
    rows = [
        (name, number(score.reference), f"{score.engine:.2f}", number(score.drop and -score.drop, "{:+.2f}"))
        for name, score in known
    ]
    grid = table("IoU of each class, %", ("Class", "PyTorch", "engine", "change in points"), rows)
    return tag("details", tag("summary", "What each class lost"), grid, open="open")


def flip_card(bundle: Examined, flip: Flip) -> Html:
    """One image with both answers: side by side as pictures, or by their names."""
    if flip.views:
        return dense_card(bundle, flip)
    before, after = bundle.label(flip.before), bundle.label(flip.after)
    truth = "" if flip.label is None else f"It is {bundle.label(flip.label)}."
    shown = picture(flip.image, f"An image that PyTorch calls {before} and the engine {after}. {truth}")
    lines = [tag("div", Html("PyTorch: ") + _marked(before, flip.before, flip.label))]
    lines.append(tag("div", Html("engine: ") + _marked(after, flip.after, flip.label)))
    lines.append(tag("div", f"{truth} Margin {flip.margin:.2f}", class_="soft"))
    return joined([shown, *lines])


def dense_card(bundle: Examined, flip: Flip) -> Html:
    """One image, what is right for it and both answers, as pictures."""
    views = [("image", flip.image), *((view.title, view.pixels) for view in flip.views)]
    shown = [tag("div", picture(pixels, f"The {title}"), tag("span", title)) for title, pixels in views]
    most = f"mostly {bundle.label(flip.before)} became {bundle.label(flip.after)}"
    return joined([tag("div", *shown, class_="views"), tag("div", f"{flip.share:.2%} of it changed, {most}")])


def _marked(name: str, index: int, label: int | None) -> Html:
    if label is None:
        return tag("span", name)
    # The mark comes first: behind a long name it would stand alone in a line.
    return tag("span", f"{'✓' if index == label else '✗'} {name}", class_="good" if index == label else "bad")


def class_table(bundle: Examined) -> Html:
    """Right answers of both sides, by class."""
    rows = [
        (
            bundle.label(change.index),
            change.images,
            f"{change.before_right / change.images:.2%}",
            f"{change.after_right / change.images:.2%}",
            f"{change.after_right - change.before_right:+d}",
        )
        for change in bundle.flips.classes
    ]
    return table("Right answers by class", ("Class", "images", "PyTorch", "engine", "change"), rows)
