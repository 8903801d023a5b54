"""Whether the images that ranges were measured on are like those that the engine is judged by."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dmformer.calibration.factors import rescaled
from dmformer.calibration.observe import run_over
from dmformer.calibration.ranges import Ranges
from dmformer.graph.qdq.graph import Graph
from dmformer.graph.qdq.sites import site_values

if TYPE_CHECKING:
    import onnx

FAR_BEYOND, MANY = 1.5, 0.03
"""A place is unlike whose largest value is so many times its range's end; from this share of the places on it is said.

This project's choice: 32 images beside 16 like them reached 1.49 times at most, beside 128 of one class or dark ones
they were beyond 1.5 in a twentieth of the places, beside noise in a half.
"""


def unlike(model: onnx.ModelProto, ranges: Ranges, images: Iterable[NDArray[np.float32]]) -> str | None:
    """What to tell the user where images reach far beyond calibrated ranges.

    Args:
        model: The canonical float32 graph, to which the ranges belong.
        ranges: They.
        images: Some of those that the engine will see, preprocessed: float32 ``[n, C, H, W]``.

    Returns:
        One line; None where they are alike.
    """
    balanced = rescaled(model, ranges.channel_scales())
    values = site_values(Graph(balanced))
    sites = [site for site in ranges.sites if site in values]
    reach = dict.fromkeys(sites, 0.0)
    for arrays in run_over(balanced, [values[site] for site in sites], lambda: images):
        for site in sites:
            reach[site] = max(reach[site], float(np.abs(arrays[values[site]]).max()))
    ends = {site: max(abs(ranges.sites[site].low), abs(ranges.sites[site].high)) for site in sites}
    used = np.array([reach[site] / ends[site] for site in sites if ends[site] > 0])
    beyond = int((used > FAR_BEYOND).sum())
    if not beyond or beyond < MANY * len(used):
        return None
    return f"values reach up to {used.max():.1f} times beyond the calibrated ranges, in {beyond} of {len(used)} places"
