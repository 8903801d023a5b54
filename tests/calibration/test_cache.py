"""The cache: keyed by content, whole or absent."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from dmformer.calibration.cache import Cache, cache_key
from dmformer.calibration.plan import PrecisionPlan
from dmformer.files import user_cache
from tests.support import invoke, one_line, run

PLAN = PrecisionPlan(groups={"stem": "float"})
PARTS: dict[str, str | int | float | bool | None] = {"graph": "a", "images": "b", "method": "mse", "version": "1"}


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.mark.parametrize("part", PARTS)
def test_any_changed_input_is_another_key(cache: Cache, part: str) -> None:
    cache.put("plan", cache_key(PARTS), PLAN)
    assert cache.get("plan", cache_key(dict(reversed(PARTS.items()))), PrecisionPlan) == PLAN
    assert cache.get("plan", cache_key({**PARTS, part: "changed"}), PrecisionPlan) is None


def test_kinds_are_apart(cache: Cache) -> None:
    cache.put("plan", cache_key(PARTS), PLAN)
    assert cache.get("ranges", cache_key(PARTS), PrecisionPlan) is None


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"key": 1}', "null", "[" * 100_000])
def test_damaged_entries_are_ignored_and_replaced(cache: Cache, damage: str) -> None:
    key = cache_key(PARTS)
    cache.put("plan", key, PLAN)
    (cache.directory / f"plan-{key}.json").write_text(damage)
    assert cache.get("plan", key, PrecisionPlan) is None
    assert cache.put("plan", key, PLAN)
    assert cache.get("plan", key, PrecisionPlan) == PLAN


def test_edited_entries_are_ignored(cache: Cache) -> None:
    key = cache_key(PARTS)
    cache.put("plan", key, PLAN)
    path = cache.directory / f"plan-{key}.json"
    stored = json.loads(path.read_text())
    stored["document"]["groups"]["stem"] = "int8"
    path.write_text(json.dumps(stored))
    assert cache.get("plan", key, PrecisionPlan) is None


def test_list_and_clear(cache: Cache) -> None:
    assert cache.entries() == []
    cache.put("plan", cache_key(PARTS), PLAN)
    cache.put("ranges", cache_key({}), PLAN)
    stranger = cache.directory / "notes-of-mine.json"
    stranger.write_text("{}")
    assert [(entry.kind, entry.key) for entry in cache.entries()] == [
        ("plan", cache_key(PARTS)),
        ("ranges", cache_key({})),
    ]
    assert cache.clear() == 2
    assert list(cache.directory.iterdir()) == [stranger]


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert not Cache(tmp_path / "file" / "cache").put("plan", cache_key(PARTS), PLAN)


def test_nothing_is_left_behind(cache: Cache) -> None:
    cache.put("plan", cache_key(PARTS), PLAN)
    assert [path.name for path in cache.directory.iterdir()] == [f"plan-{cache_key(PARTS)}.json"]


def test_the_users_own_directory() -> None:
    directory = user_cache()
    assert directory is not None
    assert directory.name == "dmformer"


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root becomes a user that is none")
def test_a_user_without_a_home_has_no_cache() -> None:
    code = """
import os, platformdirs.unix, pwd
from dmformer.files import user_cache
os.setuid(54321)
for name in ("HOME", "XDG_CACHE_HOME"):
    os.environ.pop(name, None)
assert user_cache() is None
"""
    done = run(code=code)
    assert done.returncode == 0, done.stderr


def test_no_cache_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("dmformer.pipeline.caching.user_cache", lambda: None)
    code, _, err = invoke(capsys, "cache")
    assert code == 2
    assert "no home directory" in one_line(err)
