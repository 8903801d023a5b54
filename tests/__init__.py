"""A package, so that `tests.support` has one name from every room; the rooms themselves are none."""
