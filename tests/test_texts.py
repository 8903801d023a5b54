"""Texts of a manifest that somebody else wrote: what reaches a terminal, a shell or a library is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmformer.bundle import Bundle, read_manifest
from dmformer.errors import BundleError
from dmformer.fields import MAX_ELEMENTS
from dmformer.manifest import Manifest
from dmformer.targets import TARGETS, check_options
from dmformer.texts import MAX_TEXT, is_plain, plain, plain_document, problem_in
from tests.support import edit_manifest, invoke, one_line

TEXTS: dict[str, Callable[[dict[str, Any], str], object]] = {
    "label": lambda m, text: m["labels"].__setitem__(0, text),
    "name": lambda m, text: m.update(name=text),
    "target": lambda m, text: m.update(target=text),
    "version": lambda m, text: m["runtime"].update(version=text),
    "note": lambda m, text: m["source"].update(notes=[text]),
    "executes": lambda m, text: m["precision"].update(executes=text),
    "group": lambda m, text: m["precision"].update(groups={text: "int8"}),
    "cpu": lambda m, text: m["host"].update(cpu=text),
    "tool": lambda m, text: m["tools"].update({"x": text}),
    "latency": lambda m, text: m.update(latency={"a": [{text: 1}]}),
    "data": lambda m, text: m["proof"]["comparisons"][0].update(data=text),
    "unknown field": lambda m, text: m.update({text: 1}),
}
HOSTILE = {
    "escape": "a\x1b]0;x\x07b",
    "null": "a\0b",
    "line break": "a\nb",
    "C1": "a\x9bb",
    "surrogate": "\ud800",
    "reversed": "a\u202eb",
    "isolate": "a\u2066b",
    "paragraph": "a\u2029b",
    "long": "a" * (MAX_TEXT + 1),
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("where", TEXTS)
def test_a_text_that_is_not_safe_to_print_is_refused_in_one_safe_line(copied: Path, where: str, text: str) -> None:
    edit_manifest(copied, lambda manifest: TEXTS[where](manifest, text))
    with pytest.raises(BundleError) as caught:
        read_manifest(copied)
    shown = caught.value.message.removeprefix(str(copied))
    assert len(shown) < 200
    assert shown.isprintable()


def test_nothing_of_it_reaches_the_terminal(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit_manifest(copied, lambda manifest: TEXTS["label"](manifest, HOSTILE["escape"]))
    code, stdout, stderr = invoke(capsys, "verify", copied)
    assert (code, stdout) == (2, "")
    assert "\x1b]" not in stderr


@pytest.mark.parametrize("depth", [40, 900, 5_000])
def test_what_is_nested_too_deep_is_refused(copied: Path, depth: int) -> None:
    text = (copied / "manifest.json").read_text()
    nested = '{"a":' * depth + "1" + "}" * depth
    (copied / "manifest.json").write_text(text.replace('"not_deterministic": []', f'"not_deterministic": {nested}'))
    with pytest.raises(BundleError, match=r"nested|recursion"):
        read_manifest(copied)


def test_a_foreign_schema_is_quoted_in_part(copied: Path) -> None:
    edit_manifest(copied, lambda manifest: manifest.update(schema="x\x1b" * 100_000))
    with pytest.raises(BundleError) as caught:
        read_manifest(copied)
    assert len(caught.value.message) < 300 and "\x1b" not in caught.value.message


@given(st.text() | st.text(st.characters(categories=["Cc", "Cs", "Cf", "Zl", "Zp"])))
def test_plain_text_is_plain_and_stays_what_it_is(text: str) -> None:
    made = plain(text)
    assert is_plain(made)
    assert len(made) <= MAX_TEXT
    assert made == text or not is_plain(text) or len(text) > MAX_TEXT
    assert problem_in(plain_document({text: [text]})) is None


def test_what_is_written_can_be_read_again(exported: Callable[..., Path]) -> None:
    manifest = Bundle.load(exported("onnxruntime")).manifest
    noted = manifest.model_copy(
        update={"source": manifest.source.model_copy(update={"notes": ("a\x1b[31mb\n", "long " * 1000)})}
    )
    document = json.loads(noted.to_json())
    assert problem_in(document) is None
    assert Manifest.model_validate(document).source.notes[0] == "a\ufffd[31mb\ufffd"


NAMES = [
    "/etc/passwd", "../x", "a/../../x", "a\\b", "C:x", "a$(id).onnx", "a`id`.onnx", "a b.onnx", "a\u00e4.onnx", "-rf",
    ".hidden", "a/.hidden", "a//b", "a/", "a;b", "a|b", "a'b", 'a"b', "a<b>", "a&b", "a*", "~/x", "a#b", "a%b", "a]b",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_file_name_that_no_exporter_writes_is_refused(copied: Path, name: str) -> None:
    edit_manifest(copied, lambda manifest: manifest["files"].update({name: manifest["files"]["model.onnx"]}))
    with pytest.raises(BundleError, match="the path"):
        read_manifest(copied)


@pytest.mark.parametrize(
    ("target", "options"),
    [
        ("openvino", {"CACHE_DIR": "/any/where"}),
        ("openvino", {"INFERENCE_PRECISION_HINT": "f32 "}),
        ("openvino", {"INFERENCE_PRECISION_HINT": "f32\n"}),
        ("openvino", {"inference_precision_hint": "f32"}),
        ("onnxruntime", {"INFERENCE_PRECISION_HINT": "f32"}),
        ("onnx", {"session.load_model_format": "ORT"}),
        ("coreml", {"compute_units": "npu"}),
        ("coreml", {"sizes": "1x"}),
        ("tensorrt", {"driver": "1;rm"}),
        ("tpu", {"a": "b"}),
    ],
)
def test_an_option_that_no_build_writes_is_refused(target: str, options: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="the runtime option"):
        check_options(target, options)


@given(st.sampled_from([*TARGETS]), st.text(min_size=1), st.text())
def test_no_other_option_comes_through(target: str, name: str, value: str) -> None:
    if name not in TARGETS[target].options:
        with pytest.raises(ValueError, match="the runtime option"):
            check_options(target, {name: value})


def test_a_manifest_with_a_cache_folder_is_refused_and_nothing_is_written(
    copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"CACHE_DIR": str(tmp_path / "cache")}
    edit_manifest(copied, lambda manifest: manifest.update(target="openvino"))
    edit_manifest(copied, lambda manifest: manifest["runtime"].update(options=options))
    code, _, stderr = invoke(capsys, "verify", copied)
    assert code == 2
    assert "CACHE_DIR" in stderr
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("batch", [400_000, 1 << 24, MAX_ELEMENTS // (3 * 32 * 32) + 1])
def test_an_input_larger_than_any_engine_s_is_refused(copied: Path, batch: int) -> None:
    edit_manifest(copied, lambda manifest: manifest["input"]["shape"].__setitem__(0, batch))
    with pytest.raises(BundleError, match="are allowed"):
        read_manifest(copied)


@pytest.mark.parametrize(("side", "dtype"), [("input", "float16"), ("output", "float16"), ("output", "uint8")])
def test_types_that_no_engine_has_are_refused(copied: Path, side: str, dtype: str) -> None:
    edit_manifest(copied, lambda manifest: manifest[side].update(dtype=dtype))
    with pytest.raises(BundleError, match="no engine takes"):
        read_manifest(copied)


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest["labels"].pop(),
        lambda manifest: manifest.update(extra=1),
        lambda manifest: manifest["preprocessing"].update(size=[64, 64]),
        lambda manifest: manifest["files"].update({"../x": {"sha256": "", "bytes": 0, "role": ""}}),
        lambda manifest: manifest["runtime"]["options"].update(LOG_LEVEL="1"),
    ],
)
def test_what_does_not_validate_is_said_in_our_words(
    copied: Path, capsys: pytest.CaptureFixture[str], change: Callable[[dict[str, Any]], object]
) -> None:
    edit_manifest(copied, change)
    code, _, stderr = invoke(capsys, "inspect", copied)
    assert code == 2
    assert f"{copied / 'manifest.json'}: " in one_line(stderr)
