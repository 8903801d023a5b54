"""The accuracy of every target and float precision on all 10,000 embedded test images, against PyTorch."""

from __future__ import annotations

import tempfile
from pathlib import Path

from dmformer.pipeline.export import export_bundles
from dmformer.pipeline.options import ExportOptions
from dmformer.precision import Precision
from dmformer.summary import summarize
from dmformer.targets import TARGETS

PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16")


def main() -> None:
    figures = f"{'top-1':>7}{'PyTorch':>9}{'agreement':>11}{'SQNR':>7}{'max error':>11}"
    print(f"{'target':<13}{'precision':<10}{'executes':<38}{figures}")
    with tempfile.TemporaryDirectory() as scratch:
        for precision in PRECISIONS:
            options = ExportOptions(tuple(TARGETS), precision=precision, output=Path(scratch))
            for outcome in export_bundles(None, options):
                row = summarize(outcome.bundle, outcome.proof)
                print(
                    f"{row['target']:<13}{precision:<10}{row['executes']:<38}{row['top1']:7.2f}{row['reference_top1']:9.2f}"
                    f"{row['agreement']:11.2%}{row['sqnr_db']:7.1f}{row['max_abs_error']:11.1e}"
                )


if __name__ == "__main__":
    main()
