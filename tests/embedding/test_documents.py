"""The helper that runs a page's commands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.embedding.documents import Block, blocks_of, examples_of, run_page
from tests.support import ROOT

PAGE = """# A page

```console
$ echo one \\
>   > first    # a comment
one
$ dmformer --version
```

```python
never()
```

<!-- not run: needs a Jetson -->

```sh
touch never
```

```sh
test "$WORD" = two
cat first
```
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "page.md"
    path.write_text(text)
    return path


def test_commands_are_told_from_output_and_from_other_languages(tmp_path: Path) -> None:
    assert blocks_of(write(tmp_path, PAGE)) == [
        Block("echo one \\\n  > first    # a comment\ndmformer --version", None),
        Block("touch never", "needs a Jetson"),
        Block('test "$WORD" = two\ncat first', None),
    ]

    assert examples_of(write(tmp_path, PAGE)) == ["never()\n"]


def test_a_page_is_run_in_one_folder_and_one_shell(tmp_path: Path) -> None:
    done = run_page(write(tmp_path, PAGE), tmp_path, WORD="two")
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "first").read_text() == "one\n"
    assert not (tmp_path / "never").exists()


def test_the_first_command_that_fails_ends_the_page(tmp_path: Path) -> None:
    done = run_page(write(tmp_path, "```console\n$ false | true\n$ touch after\n```\n"), tmp_path)
    assert done.returncode == 1
    assert not (tmp_path / "after").exists()


def test_what_a_failing_page_started_is_ended(tmp_path: Path) -> None:
    done = run_page(write(tmp_path, "```console\n$ sleep 1000 &\n$ false\n```\n"), tmp_path)
    assert done.returncode == 1


@pytest.mark.parametrize("name", ["cpp", "python", "swift", "web"])
def test_every_kind_of_block_in_a_page_of_applications_is_one_that_a_test_runs(name: str) -> None:
    run = {"cpp": {"cmake", "cpp"}, "python": {"python"}, "swift": {"swift"}, "web": {"js"}}
    text = (ROOT / "docs" / f"embed-{name}.md").read_text(encoding="utf-8")
    opened = re.findall(r"^ *```(\S.*)$", text, re.M)
    assert set(opened) <= {"console"} | run[name]
    assert text.count("```") == 2 * len(opened)
