"""What ``dmformer compare`` does: two measurements that were written down."""

from __future__ import annotations

from dmformer.evaluation.latency.comparison import CompareDocument, compare_documents
from dmformer.evaluation.latency.kept import read_document
from dmformer.pipeline.requests import CompareOptions
from dmformer.progress import Progress


def compare(options: CompareOptions, progress: Progress | None = None) -> CompareDocument:
    """Compares two measurements.

    Raises:
        DataError: A file is none.
        UsageError: See `compare_documents`.
    """
    before, after = read_document(options.before), read_document(options.after)
    return compare_documents(before, after, options.tolerance, options.max_drop)
