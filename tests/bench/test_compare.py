"""Two measurements against each other: what counts as slower, and as less accurate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dmformer.errors import UsageError
from dmformer.evaluation.latency.comparison import CompareDocument, compare_documents
from tests.documents import make_accuracy, make_document, make_result
from tests.support import invoke, one_line


def judged(before_ms: float, after_ms: float) -> CompareDocument:
    return compare_documents(
        make_document(make_result(ms=before_ms)), make_document(make_result(ms=after_ms, seed=1)), 0.05, 0.1
    )


@pytest.mark.parametrize(
    ("after", "verdict", "passed"),
    [(10.0, "same", True), (8.0, "faster", True), (10.4, "same", True), (12.0, "slower", False)],
)
def test_time(after: float, verdict: str, passed: bool) -> None:
    found = judged(10.0, after)
    assert (found.changes[0].verdict, found.passed) == (verdict, passed)
    assert found == judged(10.0, after)


def test_accuracy() -> None:
    old, new = make_result(accuracy=make_accuracy()), make_result(accuracy=make_accuracy(top1=92.0))
    found = compare_documents(make_document(old), make_document(new), 0.05, 0.1)
    assert (found.changes[0].verdict, found.passed) == ("less accurate", False)
    assert "top-1 fell by 0.50 points" in found.changes[0].reasons[0]
    assert compare_documents(make_document(old), make_document(new), 0.05, 0.6).passed


def test_accuracy_on_another_set_is_not_compared() -> None:
    old = make_result(accuracy=make_accuracy())
    new = make_result(accuracy=make_accuracy(top1=50.0, data="another set"))
    assert compare_documents(make_document(old), make_document(new), 0.05, 0.1).passed


def test_what_differs_is_noted() -> None:
    before = make_document(make_result(), make_result("gone"))
    machine = before.environment.model_copy(update={"cpu": "Another CPU"})
    after = make_document(make_result(seed=1), environment=machine, warnings=("noisy",))
    notes = " ".join(compare_documents(before, after, 0.05, 0.1).notes)
    assert "Another CPU" in notes
    assert "only before: gone" in notes
    assert "after: noisy" in notes


def test_what_cannot_be_compared_is_refused() -> None:
    before = make_document()
    with pytest.raises(UsageError, match="no candidate in common"):
        compare_documents(before, make_document(make_result("other")), 0.05, 0.1)
    other = before.model_copy(update={"settings": before.settings.model_copy(update={"boundary": "file"})})
    with pytest.raises(UsageError, match="boundary is engine in one, file in the other"):
        compare_documents(before, other, 0.05, 0.1)


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = []
    for name, ms in (("a", 10.0), ("b", 15.0)):
        paths.append(tmp_path / f"{name}.json")
        paths[-1].write_text(make_document(make_result("[bold]evil[/bold]", ms=ms)).to_json())
    code, stdout, stderr = invoke(capsys, "compare", *paths, "--json")
    found = json.loads(stdout)
    assert (code, found["schema"], found["passed"]) == (1, "dmformer.compare/2", False)
    assert "[bold]evil[/bold]" in stderr
    assert invoke(capsys, "compare", paths[0], paths[0])[0] == 0
    assert invoke(capsys, "compare", paths[0], paths[1], "--tolerance", "0.9")[0] == 0
    code, _, stderr = invoke(capsys, "compare", paths[0], tmp_path / "nothing.json")
    assert code == 2
    assert "nothing.json" in one_line(stderr)
