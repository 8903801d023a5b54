"""Classify image files with a bundle: the shortest program.

python examples/python/classify.py BUNDLE IMAGE...
"""

from __future__ import annotations

import sys

from dmformer import Classifier


def main() -> None:
    bundle, *images = sys.argv[1:]
    with Classifier(bundle) as classifier:
        for image, best in zip(images, classifier.predict(images, top_k=3), strict=True):
            print(image, *(f"{guess.label} {guess.probability:.1%}" for guess in best), sep="  ")


if __name__ == "__main__":
    main()
