"""Power by the sensors on board: of recorded texts and of the kernel's files, laid out as it lays them out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dmformer.cli.bench_tables import power_table, strain_lines
from dmformer.evaluation.latency import conditions
from dmformer.evaluation.latency.kept import read_document
from dmformer.evaluation.latency.schedule import Launch
from dmformer.evaluation.latency.strain import power_of
from dmformer.evaluation.power import find, pmic, rapl
from dmformer.evaluation.power.find import find_sensor
from dmformer.evaluation.power.meter import Meter
from dmformer.evaluation.power.rails import Tegrastats, rails_below, total_of
from dmformer.evaluation.power.rapl import Rapl
from dmformer.evaluation.power.sensor import INTERVAL_S, Draw, Sampled, Sensor
from dmformer.jetson import power_of as milliwatts_of
from tests.conftest import Exported
from tests.documents import make_document, make_result
from tests.support import Command

RAM = "RAM 5222/15388MB (lfb 1x2MB) SWAP 0/7694MB (cached 0MB) CPU [5%@729,4%@729] GR3D_FREQ 0% cpu@45.5C gpu@44C "
RECORDED = {
    "Orin NX": (RAM + "VDD_IN 5335mW/5335mW VDD_CPU_GPU_CV 842mW/842mW VDD_SOC 1487mW/1487mW", 5335),
    "AGX Orin": (
        RAM + "VDD_GPU_SOC 3205mW/3205mW VDD_CPU_CV 801mW/801mW VIN_SYS_5V0 4033mW/4033mW VDDQ_VDD2_1V8AO 604mW/604mW",
        3205 + 801 + 4033,
    ),
    "AGX Xavier": (
        "RAM 1222/31927MB (lfb 7000x4MB) CPU [1%@1190,off] GPU 0/0 CPU 620/620 SOC 931/931 CV 0/0 VDDRQ 155/155 "
        "SYS5V 1445/1445",
        620 + 931 + 155 + 1445,
    ),
    "Nano": ("RAM 935/3956MB (lfb 458x4MB) CPU [10%@518] POM_5V_IN 2134/2134 POM_5V_GPU 0/0 POM_5V_CPU 330/330", 2134),
    "Thor": (
        RAM + "VDD_GPU 2369mW/2369mW VDD_CPU_SOC_MSS 5528mW/5528mW VIN_SYS_5V0 3550mW/3550mW VIN 18172mW/18172mW",
        18172,
    ),
}  # fmt: skip
"""A line of tegrastats by module, as NVIDIA's developer guide lays it out, and the milliwatts that it tells."""
PMIC = """ 3V7_WL_SW_A current(0)=0.08957920A
   3V3_SYS_A current(1)=0.05270172A
     VDD_CORE_A current(7)=1.20000000A
 3V7_WL_SW_V volt(8)=3.70000000V
   3V3_SYS_V volt(9)=3.31500000V
     VDD_CORE_V volt(15)=0.75000000V
      EXT5V_V volt(24)=5.16000000V
"""
Tool = Callable[[str, str], None]


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tool:
    """Puts a tool of another vendor in the PATH: it prints what was recorded of the real one."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=":")

    def put(name: str, script: str) -> None:
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

    return put


def read_for(sensor: Sensor, readings: int) -> Draw:
    """What is drawn for as long as a sensor takes for so many readings, however busy the machine is."""
    for seconds in (0.1, 0.5, 2.0, 10.0):
        sensor.start()
        time.sleep(seconds)
        drawn = sensor.stop()
        if len(drawn.watts) >= readings:
            return drawn
    raise AssertionError(f"fewer than {readings} readings")


def write(root: Path, **files: object) -> None:
    for name, content in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")


def chip(root: Path, index: int, name: str, **rails: tuple[int, int]) -> None:
    """An INA3221 as the kernel shows it: labels, millivolts, milliamperes."""
    place = root / f"sys/class/hwmon/hwmon{index}"
    write(place, name=name)
    for channel, (label, (millivolts, milliamperes)) in enumerate(rails.items(), 1):
        write(
            place,
            **{f"in{channel}_label": label, f"in{channel}_input": millivolts, f"curr{channel}_input": milliamperes},
        )


@pytest.mark.parametrize("module", RECORDED)
def test_the_rails_of_every_module_are_known(module: str) -> None:
    line, milliwatts = RECORDED[module]
    assert milliwatts_of(line) == milliwatts


@pytest.mark.parametrize(("said", "why"), [("", "prints nothing"), (RAM + "RAIL 1mW/1mW", "of no known module")])
def test_tegrastats_that_tells_of_no_power_is_a_reason(said: str, why: str, tool: Tool, tmp_path: Path) -> None:
    tool("tegrastats", f"[ -z '{said}' ] || echo '{said}'")
    assert why in str(find_sensor(tmp_path))


def test_a_sensor_that_fails_meanwhile_costs_its_own_figures(tmp_path: Path) -> None:
    place = package(tmp_path, "intel-rapl:0", 0)
    with Meter(find_sensor(tmp_path)) as meter:
        assert meter.during((place / "energy_uj").unlink) == (None, None)
        taken = [{"wall_ns": 1, "calls_ns": [1]}]
        gpu, cpu = Launch({"provider": "NVIDIA Orin"}, {}, taken), Launch({"provider": "CPU"}, {}, taken)
        gpu.draws = cpu.draws = [Draw((40.0,), 1.0)]
        assert power_of([gpu], meter) is None, "RAPL sees nothing of a GPU"
        assert power_of([cpu], meter) is not None


@pytest.mark.parametrize("module", RECORDED)
def test_tegrastats_is_read_during_slices_only(module: str, tool: Tool, tmp_path: Path) -> None:
    line, milliwatts = RECORDED[module]
    tool("tegrastats", f"[ $1 = --interval ] || exit 1; while :; do echo '{line}'; sleep 0.02; done")
    sensor = find_sensor(tmp_path)
    assert isinstance(sensor, Tegrastats) and sensor.name == "tegrastats" and sensor.rate_hz == 10
    try:
        time.sleep(0.1)
        drawn = read_for(sensor, 2)
        assert drawn.watts[0] == pytest.approx(milliwatts / 1000)
        time.sleep(0.1)
        # Had it listened in between there would be more of them.
        sensor.start()
        drawn = sensor.stop()
        assert len(drawn.watts) <= 1 + drawn.seconds / 0.02
    finally:
        sensor.close()


def test_ina_chips_are_preferred_to_the_tool(tmp_path: Path, tool: Tool) -> None:
    tool("tegrastats", "echo never")
    chip(tmp_path, 1, "ina3221", VDD_GPU_SOC=(20000, 160), VDD_CPU_CV=(20000, 40), VIN_SYS_5V0=(5000, 800))
    chip(tmp_path, 2, "other", VDD_IN=(1, 1))
    sensor = find_sensor(tmp_path)
    assert isinstance(sensor, Sampled) and sensor.name == "INA, VDD_GPU_SOC + VDD_CPU_CV + VIN_SYS_5V0"
    drawn = read_for(sensor, 2)
    assert drawn.watts[0] == pytest.approx(3.2 + 0.8 + 4.0) and len(drawn.watts) <= 1 + drawn.seconds / INTERVAL_S
    # Thor's chip multiplies itself.
    write(tmp_path / "sys/class/hwmon/hwmon3", name="ina238", in1_label="VIN", power1_input=18_000_000)
    sensor = find_sensor(tmp_path)
    assert isinstance(sensor, Sampled) and sensor.name == "INA, VIN"


def test_rails_of_no_known_module_are_not_summed(tmp_path: Path) -> None:
    chip(tmp_path, 0, "ina3221", SOME_RAIL=(5000, 100))
    assert total_of(rails_below(tmp_path)) is None
    assert find_sensor(tmp_path) == "INA chips measure rails of no known module"


def package(root: Path, name: str, energy: int, kind: str = "package-0") -> Path:
    place = root / "sys/class/powercap" / name
    write(place, name=kind, energy_uj=energy, max_energy_range_uj=1_000_000)
    return place


def test_rapl_counts_packages_and_begins_anew(tmp_path: Path) -> None:
    first, second = package(tmp_path, "intel-rapl:0", 100_000), package(tmp_path, "intel-rapl:1", 900_000, "package-1")
    package(tmp_path, "intel-rapl:0:0", 0, "core")
    package(tmp_path, "intel-rapl:2", 0, "psys")
    sensor = find_sensor(tmp_path)
    assert isinstance(sensor, Rapl) and sensor.rate_hz is None and rapl.packages_below(tmp_path) == [first, second]
    sensor.start()
    write(first, energy_uj=300_000)
    write(second, energy_uj=100_000)  # over the end of its range
    drawn = sensor.stop()
    assert drawn.watts[0] * drawn.seconds == pytest.approx(0.4)


def test_what_cannot_be_read_is_told_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert str(find_sensor(tmp_path)).startswith("this machine shows no sensor")
    place = package(tmp_path, "intel-rapl:0", 0)
    (place / "energy_uj").write_text("no number")
    assert str(find_sensor(tmp_path)).startswith("RAPL cannot be read")

    def refuse(self: Rapl) -> list[int]:
        raise PermissionError(13, "Permission denied")

    # Permissions do not bind root, who runs the tests of some machines.
    monkeypatch.setattr(Rapl, "_counted", refuse)
    assert "only root may read RAPL here" in str(find_sensor(tmp_path))


def test_the_pmic_of_a_raspberry_pi(tool: Tool, tmp_path: Path) -> None:
    expected = 0.08957920 * 3.7 + 0.05270172 * 3.315 + 1.2 * 0.75
    assert pmic.watts_of(PMIC) == pytest.approx(expected)
    assert pmic.watts_of("error=1") is None
    (tmp_path / "said").write_text(PMIC)
    tool("vcgencmd", f"[ $1 = pmic_read_adc ] && cat {tmp_path / 'said'}")
    sensor = find_sensor(tmp_path)
    assert isinstance(sensor, Sampled) and sensor.name.startswith("PMIC")
    assert read_for(sensor, 1).watts[0] == pytest.approx(expected)
    tool("vcgencmd", "exit 1")
    assert isinstance(find_sensor(tmp_path), str)


def test_bench_reports_power_beside_latency(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    chip(tmp_path, 0, "ina3221", VDD_IN=(5000, 1200))
    write(tmp_path / "sys/class/thermal/thermal_zone0", temp=47500)
    monkeypatch.setattr(find, "ROOT", tmp_path)
    monkeypatch.setattr(conditions, "THERMAL", tmp_path / "sys/class/thermal")
    brief = ("--duration", "0.3", "--launches", "1", "--warmup", "0", "--no-layers", "--against", "none")
    _, err = command("bench", exported("onnxruntime"), *brief, "--threads", "1", "-o", tmp_path / "bench.json")
    document = read_document(tmp_path / "bench.json")
    power = document.results[0].power
    assert power is not None and power.watts == pytest.approx((6.0, 6.0, 6.0)) and power.idle_w == pytest.approx(6.0)
    assert power.readings > 3 and power.energy_mj[0] <= power.energy_mj[1] <= power.energy_mj[2]
    assert power.energy_mj[0] >= 6.0 * document.results[0].min_ms * 0.99, "watts times the milliseconds of a call"
    assert document.temperature is not None and document.temperature.before == 47.5
    assert "INA, VDD_IN, 20 readings a second, during the slices only; 6.0 W before anything ran" in " ".join(
        err.split()
    )
    assert "48 degrees Celsius before" in " ".join(err.split())


def test_without_a_sensor_the_reason_is_told(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Meter(find_sensor(tmp_path)) as meter:
        assert meter.during(lambda: 3) == (3, None)
    assert power_of([Launch({"provider": "CPU"}, {}, [{"wall_ns": 1, "calls_ns": [1]}], {}, [None])], meter) is None
    document = make_document(make_result("a")).model_copy(update={"no_power": meter.why})
    assert power_table(document) is None
    assert strain_lines(document)[0].startswith("power is not readable, because this machine shows no sensor")


def test_being_slowed_down_is_told(tmp_path: Path) -> None:
    assert conditions.slowed_by_heat(tmp_path) is None
    write(tmp_path / "devices/system/cpu/cpu0/thermal_throttle", core_throttle_count=2, package_throttle_count=3)
    write(tmp_path / "class/hwmon/hwmon4", oc1_event_cnt=1)
    write(tmp_path / "devices/platform/soc/soc:firmware", get_throttled="50000")
    assert conditions.slowed_by_heat(tmp_path) == 2 + 3 + 1 + 0x50000
    before = conditions.read()
    first, last = replace(before, hot=1), replace(before, hot=2, at_s=before.at_s + 1)
    assert any("slowed the machine down" in line for line in conditions.warnings([first, last], 0, 1))
