"""What is known without any library: versions, plans, stamps, command lines, DLA rules, progress."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest

from dmformer.bundle import Bundle
from dmformer.errors import BundleError, EngineError, OutputError, UsageError
from dmformer.fields import TensorSpec
from dmformer.graph.dla import dla_report, refusals
from dmformer.runtimes.tensorrt.gpu import Gpu
from dmformer.runtimes.tensorrt.libraries import TENSORRT, TENSORRT_RTX, Library, parse_version
from dmformer.runtimes.tensorrt.memory import check_memory
from dmformer.runtimes.tensorrt.plan import (
    GIB,
    BuildPlan,
    check_dla,
    check_gpu,
    check_plan,
    make_plan,
    read_plan,
)
from dmformer.runtimes.tensorrt.session import choose_gpu
from dmformer.runtimes.tensorrt.stamp import check_stamp
from dmformer.runtimes.tensorrt.timing_cache import TimingCache, default_cache
from dmformer.runtimes.tensorrt.trtexec import command_text, trtexec_command
from dmformer.runtimes.tensorrt.watching import Log, Phases
from tests.tensorrt.helpers import ORIN, RTX_4090

STATIC = TensorSpec(name="image", shape=(1, 3, 224, 224))
OPEN = TensorSpec(name="image", shape=(None, 3, 224, 224))


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("10.3.0.30", True),
        ("10.7.0.23", True),
        ("10.8.0.43", False),
        ("11.3.1", False),
        ("11.4.0", False),
        ("11.4.1.2", True),
        ("12.0", True),
    ],
)
def test_versions_with_a_dla(version: str, expected: bool) -> None:
    assert TENSORRT.has_dla(parse_version(version)) is expected
    assert not TENSORRT_RTX.has_dla(parse_version(version))


def test_versions_are_numbers() -> None:
    assert parse_version("10.13.0.35rc1") == (10, 13, 0)
    assert parse_version("newest") == ()


@pytest.mark.parametrize("part", ["²", "٣", "9" * 5000, "1_0", " 1", "-1", ""])
def test_a_part_of_a_version_is_a_short_number_of_ascii_digits(part: str) -> None:
    assert parse_version(f"10.{part}.1") == (10,)
    assert parse_version(part) == ()


def test_plans_survive_the_disk(tmp_path: Path) -> None:
    plan = make_plan(opt_batch=4, max_batch=8, workspace_gib=1.5, portable=True, dla_core=None)
    path = tmp_path / "build.json"
    path.write_text(plan.to_json())
    assert read_plan(path) == plan


@pytest.mark.parametrize(
    "text", ["", "[]", '{"schema": "dmformer.tensorrt-build/2"}', '{"exec": "rm"}', '{"max_batch": 0}', "[" * 10_000]
)
def test_damaged_plans_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "build.json"
    path.write_text(text)
    with pytest.raises(BundleError, match=r"build\.json"):
        read_plan(path)


@pytest.mark.parametrize(
    ("library", "plan", "message"),
    [
        (TENSORRT_RTX, BuildPlan(portable=True), "--portable"),
        (TENSORRT_RTX, BuildPlan(dla_core=0), "DLA"),
        (TENSORRT, BuildPlan(compute_capabilities=("8.6",)), "cannot build for compute capability 8.6"),
    ],
)
def test_plans_must_fit_the_library(library: Library, plan: BuildPlan, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_plan(plan, library)


def stamped(bundle: Bundle, version: str, **options: str) -> Bundle:
    runtime = bundle.manifest.runtime.model_copy(update={"version": version, "options": options})
    return Bundle(bundle.path, bundle.manifest.model_copy(update={"runtime": runtime}))


@pytest.mark.parametrize(
    ("library", "version", "options", "gpu", "problem"),
    [
        (TENSORRT, "10.3.0", {"compute_capability": "8.7"}, ORIN, None),
        (TENSORRT, "10.2.0", {"compute_capability": "8.7"}, ORIN, r"built by TensorRT 10\.2\.0, here is 10\.3\.0"),
        (TENSORRT, "10.2.0", {"compute_capability": "8.0", "portable": "true"}, ORIN, None),
        (TENSORRT, "9.3.0", {"compute_capability": "8.0", "portable": "true"}, ORIN, None),
        (TENSORRT, "10.4.0", {"compute_capability": "8.0", "portable": "true"}, ORIN, r"built by TensorRT 10\.4\.0"),
        (TENSORRT, "11.2.0", {"compute_capability": "8.0", "portable": "true"}, ORIN, "built by TensorRT 11"),
        (TENSORRT, "10.3.0", {"compute_capability": "8.6"}, ORIN, r"built for compute capability 8\.6, Orin has 8\.7"),
        (TENSORRT, "10.3.0", {"compute_capability": "8.9", "portable": "true"}, ORIN, r"compute capability 8\.9"),
        (TENSORRT, "10.3.0", {"system": "QNX aarch64"}, ORIN, "built for QNX aarch64"),
        (TENSORRT_RTX, "10.3.0", {"system": "Windows AMD64"}, RTX_4090, None),
        (TENSORRT_RTX, "10.3.0", {}, Gpu("H200", "9.0", "13.0", 1, False), r"8\.0, 8\.6, 8\.9, 12\.0, H200 has 9\.0"),
        (TENSORRT_RTX, "10.3.0", {}, Gpu("later", "13.0", "14.0", 1, False), None),
        (TENSORRT_RTX, "10.3.0", {"built_for": "12.0"}, RTX_4090, r"is for compute capability 12\.0"),
        (TENSORRT_RTX, "10.3.0", {"built_for": "8.6, 8.9"}, RTX_4090, None),
    ],
)
def test_an_engine_of_another_place_is_refused_with_the_way_out(
    buildable: Bundle, library: Library, version: str, options: dict[str, str], gpu: Gpu, problem: str | None
) -> None:
    bundle = stamped(buildable, version, **options)
    if problem is None:
        check_stamp(bundle, library, "10.3.0", gpu)
        return
    with pytest.raises(EngineError, match=problem) as caught:
        check_stamp(bundle, library, "10.3.0", gpu)
    assert caught.value.hint == f"build it on this machine: dmformer build {bundle.path}"


def test_the_command_line_of_each_version() -> None:
    plan = BuildPlan(opt_batch=4, max_batch=8, workspace_gib=2, portable=True)
    ten = trtexec_command(TENSORRT, "10.3", plan, OPEN, "a b.onnx", "e.engine")
    eleven = trtexec_command(TENSORRT, "11.4.1", plan, OPEN, "a b.onnx", "e.engine")
    assert [word for word in ten if word not in eleven] == ["--stronglyTyped"]
    assert not any(word in ten for word in ("--fp16", "--int8", "--best")), "precision is in the graph"
    assert "--minShapes=image:1x3x224x224" in ten and "--maxShapes=image:8x3x224x224" in ten
    assert {"--memPoolSize=workspace:2048M", "--versionCompatible"} <= set(ten)
    assert command_text(ten).startswith("trtexec '--onnx=a b.onnx' --saveEngine=e.engine --noTF32")


def test_a_dla_is_weakly_typed_before_11() -> None:
    """The one place where a flag chooses float16: NVIDIA's examples for the DLA of TensorRT 10 do."""
    ten, eleven = (
        trtexec_command(TENSORRT, version, BuildPlan(dla_core=1), STATIC, "m.onnx", "m.engine")
        for version in ("10.3", "11.4.1")
    )
    assert {"--useDLACore=1", "--allowGPUFallback"} <= set(ten) & set(eleven)
    assert set(ten) ^ set(eleven) == {"--fp16"}


@pytest.mark.parametrize(
    ("version", "precision", "message"),
    [
        ("10.8", "fp16", r"TensorRT 10\.8 cannot use a DLA"),
        ("11.0", "fp16", r"TensorRT 11\.0 cannot use a DLA"),
        ("10.3", "int8", r"the DLA takes no Q/DQ in TensorRT 10\.3"),
        ("10.3", "fp16", None),
        ("11.4.1", "int8", None),
    ],
)
def test_a_dla_asks_for_a_version_and_a_precision(version: str, precision: str, message: str | None) -> None:
    check_dla(BuildPlan(), TENSORRT, version, precision)
    if message is None:
        check_dla(BuildPlan(dla_core=0), TENSORRT, version, precision)
        return
    with pytest.raises(UsageError, match=message) as caught:
        check_dla(BuildPlan(dla_core=0), TENSORRT, version, precision)
    assert caught.value.hint


def test_a_jetson_builds_no_portable_engine() -> None:
    check_gpu(BuildPlan(portable=True), RTX_4090)
    check_gpu(BuildPlan(portable=True), None)
    with pytest.raises(UsageError, match="--portable is not for Orin"):
        check_gpu(BuildPlan(portable=True), ORIN)


def test_a_fixed_batch_has_no_profile_and_rtx_its_own_tool() -> None:
    words = trtexec_command(TENSORRT_RTX, "1.7", BuildPlan(), STATIC, "m.onnx", "m.engine")
    assert words[0] == "tensorrt_rtx" and "--stronglyTyped" not in words
    assert not any("Shapes" in word for word in words)


def test_the_dla_cannot_take_what_makes_this_network(graphs: dict[str, Path]) -> None:
    model = onnx.load(str(graphs["int8"]))
    fallen = {refusal.node: refusal.reason for refusal in refusals(model)}
    assert "dilation 3 with padding 9: it must be smaller than the kernel" in fallen["stages.0.0.dma.levels.2"]
    assert "Gelu" in fallen["stages.0.0.ffn.gelu"]
    assert "stages.0.0.dma.levels.1" not in fallen and "stem.conv1" not in fallen
    assert "eligible" in dla_report(model)[0] and not any("nothing open" in line for line in dla_report(model))


def test_the_dla_takes_no_open_batch(graphs: dict[str, Path]) -> None:
    assert any("nothing open" in line for line in dla_report(onnx.load(str(graphs["dynamic"]))))


def test_a_jetson_is_not_built_out_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dmformer.runtimes.tensorrt.memory.available_bytes", lambda: GIB)
    check_memory(BuildPlan(workspace_gib=0.5), 50 << 20, ORIN)
    check_memory(BuildPlan(workspace_gib=4), 50 << 20, RTX_4090)
    with pytest.raises(UsageError, match=r"needs about 2\.2 GiB, 1\.0 GiB are free"):
        check_memory(BuildPlan(workspace_gib=2), 50 << 20, ORIN)
    with pytest.raises(UsageError, match=r"a workspace of 64 GiB is larger than the 32\.0 GiB"):
        check_memory(BuildPlan(workspace_gib=64), 50 << 20, ORIN)


@pytest.mark.parametrize(("device", "index"), [("cpu", 0), ("cuda", 0), ("cuda:1", 1), ("1", 1), ("GPU:0", 0)])
def test_devices_have_names(monkeypatch: pytest.MonkeyPatch, device: str, index: int) -> None:
    monkeypatch.setattr("dmformer.runtimes.tensorrt.session.gpus", lambda: (ORIN, RTX_4090))
    assert choose_gpu(device)[0] == index


@pytest.mark.parametrize(
    "device", [*"3²", "cuda:3", "tpu:0", "cuda:x", "cuda:-1", "cuda:²", "9" * 5000, "cuda:" + "9" * 5000, "cuda:0\n"]
)
def test_devices_that_are_not_there(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    monkeypatch.setattr("dmformer.runtimes.tensorrt.session.gpus", lambda: (ORIN,))
    with pytest.raises(UsageError, match=r"there is no (GPU 3|device)"):
        choose_gpu(device)


def test_timing_caches_are_kept_by_version_and_gpu(tmp_path: Path) -> None:
    cache = TimingCache(tmp_path / "deep" / "one.cache")
    assert cache.read() == b""
    cache.write(b"timings")
    assert cache.read() == b"timings" and [path.name for path in cache.path.parent.iterdir()] == ["one.cache"]
    caches = [default_cache(version, gpu) for version in ("10.3", "10.7") for gpu in (ORIN, RTX_4090)]
    names = {cache.path.name for cache in caches if cache}
    assert len(names) == 4 and "tensorrt-10.3-orin-sm8.7.cache" in names


def test_a_timing_cache_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no timing cache"):
        TimingCache(tmp_path).read()
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        TimingCache(tmp_path / "file" / "below").write(b"x")


def test_progress_never_falls_and_ends_whole() -> None:
    told: list[tuple[str, float]] = []
    phases = Phases(lambda name, done: told.append((name, done)))
    phases.start("build", None, 2)
    phases.start("graph", "build", 4)
    for step in range(4):
        phases.step("graph", step)
    phases.finish("graph")
    phases.step("build", 0)
    phases.start("code", "build", 1)
    phases.step("build", 1)
    phases.step("unknown", 1)
    shares = [done for _, done in told]
    assert shares == sorted(shares) and shares[-1] == 1.0
    assert ("graph", 0.25) in told


@pytest.mark.parametrize("said", [[], ["Thread context has not been set!"], ["a\nreason"]])
def test_the_log_keeps_errors_in_one_line(said: list[str]) -> None:
    log = Log()
    for text in said:
        log.take(1, text)
    log.take(4, "Layers:\nName: x")
    log.take(3, "chatter")
    expected: Any = "a reason" if said == ["a\nreason"] else "it gave no reason"
    assert log.complaint() == expected and log.layers.startswith("Layers:") and len(log.errors) == len(said)
