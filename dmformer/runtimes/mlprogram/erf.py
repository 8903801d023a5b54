"""The error function in float32, which NumPy lacks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

REACH = np.float32(4)
"""Beyond it the error function is 1 in float32."""
NUMERATOR = (-2.72614225801306e-10, 2.77068142495902e-08, -2.10102402082508e-06, -5.69250639462346e-05,
             -7.34990630326855e-04, -2.95459980854025e-03, -1.60960333262415e-02)  # fmt: skip
DENOMINATOR = (-1.45660718464996e-05, -2.13374055278905e-04, -1.68282697438203e-03, -7.37332916720468e-03,
               -1.42647390514189e-02)  # fmt: skip


def erf(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Error function of each value, to about 4e-7: the rational function that Eigen has for float32."""
    clipped = np.clip(x, -REACH, REACH)
    square = clipped * clipped
    return clipped * _polynomial(square, NUMERATOR) / _polynomial(square, DENOMINATOR)


def _polynomial(x: NDArray[np.float32], coefficients: tuple[float, ...]) -> NDArray[np.float32]:
    found = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        found *= x
        found += np.float32(coefficient)
    return found
