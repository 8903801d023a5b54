"""What the machine says of itself: files and tools as other machines have them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dmformer import environment, host, jetson, limits
from dmformer.evaluation.latency.candidates import Candidate
from dmformer.evaluation.latency.doubts import thread_doubts
from dmformer.evaluation.latency.settings import BenchSettings
from dmformer.pipeline.doctor import examine
from dmformer.runtimes.onnx_runtime import session_options
from dmformer.runtimes.openvino import latency_config

RELEASE = (
    "# R36 (release), REVISION: 3.0, GCID: 36191598, BOARD: generic, EABI: aarch64, "
    "DATE: Mon May  6 17:34:21 UTC 2024\n"
    "# KERNEL_VARIANT: oot\n"
)
CLOCKS = """SOC family:tegra234  Machine:NVIDIA Jetson Orin Nano Developer Kit
Online CPUs: 0-3
cpu0:  Online=1 Governor=schedutil MinFreq=729600 MaxFreq=1510400 CurrentFreq=1510400 IdleStates: WFI=1 c7=1
cpu1:  Online=1 Governor=schedutil MinFreq=729600 MaxFreq=1510400 CurrentFreq=729600 IdleStates: WFI=1 c7=1
cpu5:  Online=0 Governor=schedutil MinFreq=729600 MaxFreq=9999999 CurrentFreq=729600 IdleStates: WFI=1 c7=1
GPU MinFreq=306000000 MaxFreq=624750000 CurrentFreq=306000000
Active GPU TPCs: 4
EMC MinFreq=2133000000 MaxFreq=2133000000 CurrentFreq=2133000000 FreqOverride=0
FAN Dynamic Speed Control=nvfancontrol hwmon0_pwm1=62
NV Power Mode: 15W
"""
STATS = (
    "11-24-2026 12:00:01 RAM 2543/7620MB (lfb 4x2MB) SWAP 0/3810MB (cached 0MB) CPU [12%@1510,3%@729,off,off] "
    "EMC_FREQ 1%@2133 GR3D_FREQ 37%@[305] NVDEC off NVJPG off VIC off OFA off APE 200 cpu@45.562C soc2@44.093C "
    "soc0@-256C tj@48.218C gpu@45.9C VDD_IN 4848mW/4848mW VDD_CPU_GPU_CV 840mW/840mW VDD_SOC 1440mW/1440mW"
)
OLD_STATS = (
    "RAM 1520/3964MB (lfb 200x4MB) CPU [5%@102,off,off,3%@102] EMC_FREQ 0% GR3D_FREQ 0% PLL@26C CPU@29.5C "
    "GPU@27C AO@34.5C thermal@28.25C POM_5V_IN 1532/1532 POM_5V_GPU 0/0 POM_5V_CPU 123/123"
)


def test_a_jetson(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NVIDIA's files and tools, the latter as programs on the PATH; tegrastats goes on until it is stopped."""
    tools = {
        "nvpmodel": "printf 'NV Power Mode: 15W\\n0\\n'",
        "jetson_clocks": f"cat <<'TEXT'\n{CLOCKS}TEXT",
        "tegrastats": f"while true; do echo '{STATS}'; sleep 0.2; done",
    }
    for name, script in tools.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "release").write_text(RELEASE)
    (tmp_path / "model").write_bytes(b"NVIDIA Jetson Orin Nano Developer Kit\0")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(jetson, "RELEASE", tmp_path / "release")
    monkeypatch.setattr(jetson, "MODEL", tmp_path / "model")
    assert environment.environment().jetson == {
        "module": "NVIDIA Jetson Orin Nano Developer Kit",
        "release": "Jetson Linux 36.3.0",
        "power mode": "15W",
        "clocks": "CPU 730 to 1510 MHz (schedutil), 2 cores on, GPU 306 to 625 MHz, EMC 2133 MHz",
        "state": "memory 2543 of 7620 MB, GPU 37 % busy, 48 degrees Celsius at the warmest sensor, 4.8 W",
    }


def test_an_older_jetsons_tegrastats() -> None:
    assert jetson.state_of(OLD_STATS) == (
        "memory 1520 of 3964 MB, GPU 0 % busy, 34 degrees Celsius at the warmest sensor, 1.5 W"
    )


RAILS = [
    ("VDD_IN 4848mW/4848mW VDD_CPU_GPU_CV 840mW/840mW VDD_SOC 1440mW/1440mW", 4848),  # Orin NX, Nano
    ("VDD_IN 3520/3520 VDD_CPU_GPU_CV 557/557 VDD_SOC 1115/1115", 3520),  # Xavier NX
    ("VDD_SYS_GPU 152/152 VDD_SYS_SOC 687/687 VDD_WIFI 0/0 VDD_IN 3056/3056 VDD_SYS_CPU 152/152", 3056),  # TX2
    ("POM_5V_IN 1532/1532 POM_5V_GPU 0/0 POM_5V_CPU 123/123", 1532),  # Nano
    ("VDD_GPU_SOC 3205mW/3205mW VDD_CPU_CV 801mW/801mW VIN_SYS_5V0 4034mW/4034mW VDDQ_VDD2_1V8AO 704mW/704mW", 8040),
    ("GPU 1845mW/1845mW CPU 615mW/615mW SOC 2460mW/2460mW CV 10mW/9mW VDDRQ 922mW/922mW SYS5V 2620mW/2620mW", 8472),
    ("GPU 0/0 CPU 310/310 SOC 1242/1242 CV 0/0 VDDRQ 155/155 SYS5V 1416/1416", 3123),  # AGX Xavier of JetPack 4
    ("VDD_GPU 2377mW/2377mW VDD_CPU_SOC_MSS 6736mW/6736mW VIN_SYS_5V0 5132mW/5132mW VIN 31011mW/31011mW", 31011),
    ("VDD_GPU_SOC 3205mW/3205mW VDD_CPU_CV 801mW/801mW", None),  # of a module whose input is not told
    ("GPU 1845mW/1845mW", None),
    ("", None),
]


@pytest.mark.parametrize(("rails", "milliwatts"), RAILS)
def test_the_power_of_every_module(rails: str, milliwatts: int | None) -> None:
    """As tegrastats writes them, behind what else its line holds; the order of rails does not matter."""
    before = STATS.partition(" VDD_IN ")[0]
    words = rails.split()
    pairs = [" ".join(words[start : start + 2]) for start in range(0, len(words), 2)]
    for line in (f"{before} {rails}", " ".join([before, *reversed(pairs)])):
        assert jetson.power_of(line) == milliwatts
        assert (f", {(milliwatts or 0) / 1000:.1f} W" in jetson.state_of(line)) == (milliwatts is not None)


def test_tools_that_fail_or_say_something_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("nvpmodel", "jetson_clocks", "tegrastats"):
        (tmp_path / name).write_text("#!/bin/sh\necho you must be root\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "release").write_text("something new")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(jetson, "RELEASE", tmp_path / "release")
    monkeypatch.setattr(jetson, "MODEL", tmp_path / "nothing")
    assert jetson.jetson() == {"release": "something new"}


def group(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text + "\n")


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(limits, "CGROUP", tmp_path / "cgroup")
    monkeypatch.setattr(limits, "MEMBERSHIP", tmp_path / "membership")
    return tmp_path / "cgroup"


def test_control_groups_of_version_2(groups: Path, tmp_path: Path) -> None:
    (tmp_path / "membership").write_text("0::/system.slice/app.service\n")
    group(groups / "system.slice", cpu__max="150000 100000", memory__max="max")
    group(groups / "system.slice" / "app.service", cpu__max="max 100000", memory__max="1073741824")
    group(groups / "system.slice" / "app.service", cpu__stat="usage_usec 5\nnr_periods 9\nnr_throttled 4")
    assert (limits.cpu_limit(), limits.memory_limit_bytes(), limits.times_throttled()) == (1.5, 1 << 30, 4)


def test_control_groups_of_version_1(groups: Path, tmp_path: Path) -> None:
    (tmp_path / "membership").write_text("5:memory:/box\n4:cpu,cpuacct:/box\n1:name=systemd:/\n")
    group(groups / "cpu,cpuacct" / "box", **{"cpu.cfs_quota_us": "50000", "cpu.cfs_period_us": "100000"})
    group(groups / "memory" / "box", **{"memory.limit_in_bytes": "536870912"})
    assert (limits.cpu_limit(), limits.memory_limit_bytes(), limits.times_throttled()) == (0.5, 512 << 20, None)


def test_a_container_that_sees_its_hosts_paths(groups: Path, tmp_path: Path) -> None:
    (tmp_path / "membership").write_text("0::/docker/0123456789\n")
    group(groups, cpu__max="200000 100000")
    assert limits.cpu_limit() == 2


def test_no_limits(groups: Path, tmp_path: Path) -> None:
    assert (limits.cpu_limit(), limits.memory_limit_bytes()) == (None, None)
    (tmp_path / "membership").write_text("0::/\n4:cpu:/\n5:memory:/\ngarbage\n")
    group(groups / "cpu", **{"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000"})
    group(groups / "memory", **{"memory.limit_in_bytes": "9223372036854771712"})
    assert (limits.cpu_limit(), limits.memory_limit_bytes()) == (None, None)


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    for name in host.THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)


QUOTAS = [("max", 8, 0), ("50000", 1, 1), ("150000", 1, 1), ("200000", 2, 2), ("399999", 3, 3), ("9000000", 8, 0)]


@pytest.mark.usefixtures("eight_cores", "chosen_threads")
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(("quota", "cores", "threads"), QUOTAS)
def test_a_quota_counts_wherever_threads_are_chosen(
    version: int, quota: str, cores: int, threads: int, groups: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if version == 1:
        (tmp_path / "membership").write_text("4:cpu,cpuacct:/box\n")
        values = {"cpu.cfs_quota_us": quota.replace("max", "-1"), "cpu.cfs_period_us": "100000"}
        group(groups / "cpu,cpuacct" / "box", **values)
    else:
        (tmp_path / "membership").write_text("0::/box\n")
        group(groups / "box", cpu__max=f"{quota} 100000")
    assert (host.available_cores(), examine().cores, environment.environment().cores) == (cores, cores, cores)
    assert [host.threads_per_stream(0), host.threads_per_stream(5)] == [threads, 5]
    assert host.threads_per_stream(0, 2) == max(1, cores // 2)
    assert session_options(0).intra_op_num_threads == threads
    assert latency_config(0).get("INFERENCE_NUM_THREADS", "0") == str(threads)
    with monkeypatch.context() as context:
        context.setenv(host.THREAD_VARIABLES[0], "")
        host.keep_to_quota()
        assert os.environ[host.THREAD_VARIABLES[0]] == (str(threads) if threads else "")


@pytest.mark.usefixtures("eight_cores", "groups")
@pytest.mark.parametrize(
    ("value", "warned"),
    [("1", True), ("7", True), ("8", False), ("0", False), ("4,2", True), ("8,1", False), ("x", False)],
)
def test_a_variable_that_holds_pytorch_alone_is_recorded_and_said(
    value: str, warned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    host.keep_to_quota()
    assert environment.environment().thread_variables == {"OMP_NUM_THREADS": value}
    engine, pytorch = Candidate("a", "bundle", "", 1), Candidate("b", "pytorch", "", 1)
    said = thread_doubts([engine, pytorch], BenchSettings())
    assert [f"OMP_NUM_THREADS={value}" in line for line in said] == [True] * warned
    assert thread_doubts([engine], BenchSettings()) == thread_doubts([engine, pytorch], BenchSettings(threads=2)) == []


@pytest.mark.parametrize(
    ("supplies", "source"),
    [
        ({}, None),
        ({"AC": {"type": "Mains", "online": "1"}, "BAT0": {"type": "Battery", "status": "Charging"}}, "mains"),
        ({"AC": {"type": "Mains", "online": "0"}, "BAT0": {"type": "Battery", "status": "Discharging"}}, "battery"),
        ({"ucsi": {"type": "USB", "online": "1"}, "BAT0": {"type": "Battery", "status": "Full"}}, "mains"),
    ],
)
def test_the_power_of_a_laptop(
    supplies: dict[str, dict[str, str]], source: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, files in supplies.items():
        group(tmp_path / name, **files)
    monkeypatch.setattr(environment, "POWER", tmp_path)
    assert environment.power_source() == source
