"""The precision plan, sensitivities and the search, with stand-ins for the measurements."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest

from dmformer.calibration.int8 import quantizer
from dmformer.calibration.plan import PrecisionPlan, default_plan, load_plan, plan_from_groups, save_plan
from dmformer.calibration.sensitivity import (
    Sensitivity,
    Verdict,
    measure_sensitivity,
    pareto,
    search_plan,
    units_of,
)
from dmformer.errors import DataError, OutputError, UsageError
from dmformer.graph.qdq.sites import groups_of
from tests.calibration.graphs import ISA, canonical_graph, images, logits, ranges
from tests.support import relative_noise


class TestPlan:
    def test_patterns_apply_in_order(self) -> None:
        plan = PrecisionPlan(groups={"*": "float", "*.ffn": "int8", "stages.3.*": "float"})
        found = plan.int8_groups(canonical_graph())
        assert found == {"stages.0.0.ffn", "stages.1.0.ffn", "stages.2.0.ffn"}

    def test_what_is_not_named_is_int8(self) -> None:
        found = PrecisionPlan(groups={"stem": "float"}).int8_groups(canonical_graph())
        assert found == set(groups_of(canonical_graph())) - {"stem.conv1", "stem.conv2", "stem.conv3"}

    @pytest.mark.parametrize("name", ["stages.0", "stages.0.0.dma", "stem", "stem.conv1"])
    def test_the_beginning_of_a_name_means_all_that_begins_so(self, name: str) -> None:
        groups = set(groups_of(canonical_graph()))
        found = groups - PrecisionPlan(groups={name: "float"}).int8_groups(canonical_graph())
        assert found == {group for group in groups if group == name or group.startswith(f"{name}.")}

    def test_unknown_layer(self) -> None:
        with pytest.raises(UsageError, match=r"names 'stages\.0\.0\.fnn', which is no layer group") as caught:
            PrecisionPlan(groups={"stages.0.0.fnn": "float"}).int8_groups(canonical_graph())
        assert "did you mean 'stages.0.0.ffn'?" in str(caught.value.hint)

    def test_round_trip_and_order(self, tmp_path: Path) -> None:
        plan = PrecisionPlan(groups={"stem": "float", "*": "int8", "head": "float"})
        save_plan(plan, tmp_path / "plan.json")
        assert list(load_plan(tmp_path / "plan.json").groups.items()) == list(plan.groups.items())

    def test_complete_plan(self) -> None:
        chosen = default_plan(canonical_graph(), "openvino").int8_groups(canonical_graph())
        assert plan_from_groups(canonical_graph(), chosen).int8_groups(canonical_graph()) == chosen

    @pytest.mark.parametrize("target", ["onnxruntime", "openvino", "tensorrt", "coreml"])
    def test_the_gate_stays_float_by_default(self, target: str) -> None:
        assert not any(
            "gate" in group for group in default_plan(canonical_graph(), target).int8_groups(canonical_graph())
        )

    @pytest.mark.parametrize("text", ["", "[]", '{"groups": {"stem": "int4"}}', '{"schema": "x/1", "groups": {}}'])
    def test_damage(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "plan.json").write_text(text)
        with pytest.raises(DataError, match="no valid plan"):
            load_plan(tmp_path / "plan.json")

    def test_unreadable_and_unwritable(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="cannot be read"):
            load_plan(tmp_path)
        with pytest.raises(OutputError, match="cannot be written"):
            save_plan(PrecisionPlan(groups={}), tmp_path / "absent" / "plan.json")

    def test_schema_is_in_the_file(self) -> None:
        assert json.loads(PrecisionPlan(groups={}).to_json())["schema"] == "dmformer.plan/1"


def fake(groups: frozenset[str]) -> onnx.ModelProto:
    """A stand-in graph that only carries the names of its integer groups."""
    return onnx.ModelProto(producer_name=",".join(sorted(groups)))


def integers(model: onnx.ModelProto) -> set[str]:
    return set(filter(None, model.producer_name.split(",")))


NOISE = {"a": 0.5, "b": 0.1, "c": 0.2}
SAVED = {"a": 10.0, "b": 0.1, "c": 1.0}
UNITS = {name: (name,) for name in NOISE}


def measured() -> list[Sensitivity]:
    return measure_sensitivity(
        UNITS,
        fake,
        lambda model: sum(NOISE[name] for name in integers(model)),
        lambda model: 100 - sum(SAVED[name] for name in integers(model)),
    )


class TestSensitivity:
    def test_leave_one_out_gives_back_what_each_unit_costs_and_saves(self) -> None:
        for one in measured():
            assert one.noise == pytest.approx(NOISE[one.unit], rel=1e-5)
            assert one.saved_ms == pytest.approx(SAVED[one.unit])

    def test_order_is_noise_per_millisecond(self) -> None:
        assert [one.unit for one in measured()] == ["b", "c", "a"]

    def test_pareto_front(self) -> None:
        dominated = Sensitivity("d", ("d",), noise=0.6, saved_ms=0.05)
        assert [one.unit for one in pareto([*measured(), dominated])] == ["a", "c", "b"]

    def test_units(self) -> None:
        groups = groups_of(canonical_graph())
        assert list(units_of(canonical_graph(), groups, "block")) == list(groups)
        stages = units_of(canonical_graph(), groups, "stage")
        assert stages["stages.2.*.dma.levels.1"] == ("stages.2.0.dma.levels.1",)
        assert sorted(group for unit in stages.values() for group in unit) == sorted(groups)

    def test_on_a_real_graph(self) -> None:
        model = canonical_graph()
        made = quantizer(model, ranges(), "onnxruntime", ISA)
        units = {"ffn": ("stages.0.0.ffn", "stages.1.0.ffn"), "stem": ("stem.conv1",)}
        right = logits(model, images(8))
        results = measure_sensitivity(
            units, made.build, lambda graph: relative_noise(right, logits(graph, images(8))), lambda graph: 1.0
        )
        assert sum(one.noise for one in results) > 0


class TestSearch:
    @staticmethod
    def judge(limit: float) -> object:
        def judged(model: onnx.ModelProto) -> Verdict:
            noise = sum(NOISE[name] for name in integers(model))
            return Verdict(noise <= limit, f"noise {noise:.1f}")

        return judged

    def test_units_go_back_until_the_floor_holds(self) -> None:
        found = search_plan(NOISE, measured, fake, self.judge(0.55))  # type: ignore[arg-type]
        assert [one.unit for one in found.returned] == ["b", "c"]
        assert found.int8_groups == {"a"}
        assert found.verdict.passed

    def test_nothing_is_measured_when_the_floor_holds_at_once(self) -> None:
        found = search_plan(NOISE, lambda: pytest.fail("measured"), fake, self.judge(1.0))  # type: ignore[arg-type]
        assert found.int8_groups == set(NOISE)
        assert found.returned == ()

    def test_no_plan_holds(self) -> None:
        with pytest.raises(UsageError, match=r"no precision plan holds the floor: .* still noise 0\.0"):
            search_plan(NOISE, measured, fake, self.judge(-1.0))  # type: ignore[arg-type]
