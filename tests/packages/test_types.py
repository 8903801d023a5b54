"""A user's script is checked against the installed wheel: what it gets has types, and what cannot be is an error."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tests.packages.conftest import call

SCRIPT = """
import dmformer

bundle = dmformer.export("best.pt", "openvino", int8=True, data="val/")
reveal_type(bundle)
reveal_type(bundle.verify(data="val/").verified)
reveal_type(dmformer.verify(bundle.path).per_layer)
reveal_type(dmformer.bench([bundle, "other"], threads=1).results[0].p50_ms)
reveal_type(bundle.bench().to_json())
reveal_type(dmformer.embed(bundle, "cpp", "project").commands)
reveal_type(dmformer.load(bundle).labels)
with dmformer.Classifier(bundle.path) as classifier:
    reveal_type(classifier.predict("photo.png")[0][0].logit)
try:
    dmformer.Bundle.load("build/x").verify()
except dmformer.errors.BundleError as error:
    reveal_type(error.hint)
dmformer.export("best.pt", int8="yes")
dmformer.exprot("best.pt")
"""
REVEALED = [
    "dmformer.pipeline.api.Bundle",
    "bool | None",
    "dmformer.pipeline.verifying.PerLayer | None",
    "float",
    "str",
    "tuple[str, ...]",
    "tuple[str, ...]",
    "float",
    "str | None",
]


def test_a_user_s_script_sees_types(device: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    options = ("--strict", "--no-incremental", "--config-file=", "--python-executable", device)
    done = call(sys.executable, "-m", "mypy", *options, script, cwd=tmp_path)
    revealed = re.findall(r'note: Revealed type is "(.*)"', done.stdout)
    assert [text.replace("builtins.", "") for text in revealed] == REVEALED, done.stdout + done.stderr
    errors = re.findall(r"script.py:(\d+): error: .*\[([\w-]+)\]", done.stdout)
    last = len(SCRIPT.splitlines())
    assert errors == [(str(last - 1), "arg-type"), (str(last), "attr-defined")], done.stdout
