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
    fewest_in_float,
    measure_sensitivity,
    pareto,
    units_of,
)
from dmformer.errors import DataError, OutputError, UsageError
from dmformer.graph.qdq.sites import groups_of
from tests.calibration.graphs import ISA, canonical_graph, images, logits, ranges
from tests.support import relative_noise


def with_levels(count: int) -> onnx.ModelProto:
    """A stand-in for a graph with some levels in its only block."""
    names = ["stages.0.0.dma.expand", *(f"stages.0.0.dma.levels.{index}" for index in range(count))]
    nodes = [onnx.NodeProto(name=name, op_type="Conv") for name in names]
    return onnx.ModelProto(graph=onnx.GraphProto(node=nodes))


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

    @pytest.mark.parametrize("levels", [1, 3, 4])
    def test_depthwise_levels_stay_float_for_tensorrt_however_many_there_are(self, levels: int) -> None:
        groups = default_plan(with_levels(levels), "tensorrt").int8_groups(with_levels(levels))
        assert groups == {"stages.0.0.dma.expand"}

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


def measured(planned: str = "abc") -> list[Sensitivity]:
    return measure_sensitivity(
        frozenset(planned),
        list(UNITS.items()),
        fake,
        lambda groups: sum(NOISE[name] for name in groups),
        lambda model: 100 - sum(SAVED[name] for name in integers(model)),
    )


class TestSensitivity:
    @pytest.mark.parametrize("planned", ["abc", "b", ""])
    def test_what_each_unit_costs_and_saves_is_given_back_whatever_the_plan_makes_of_it(self, planned: str) -> None:
        for one in measured(planned):
            assert one.noise == pytest.approx(NOISE[one.unit], rel=1e-5)
            assert one.saved_ms == pytest.approx(SAVED[one.unit])
            assert one.planned == ("int8" if one.unit in planned else "float")

    def test_what_a_target_has_no_integers_for_is_not_measured(self) -> None:
        (one,) = measure_sensitivity(
            frozenset(), [("a", ("a",))], lambda groups: fake(frozenset()), lambda _: 0.5, lambda _: 1.0
        )
        assert (one.noise, one.saved_ms) == (0, 0)

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
        planned = frozenset(group for groups in units.values() for group in groups)

        def noise(groups: frozenset[str]) -> float:
            return relative_noise(right, logits(made.build(groups), images(8)))

        results = measure_sensitivity(planned, list(units.items()), made.build, noise, lambda graph: 1.0)
        assert all(one.noise > 0 for one in results)


@pytest.mark.parametrize("most", [1, 2, 3, 7, 20, 45])
def test_the_fewest_units_go_back_to_float_after_few_trials(most: int) -> None:
    for wanted in range(1, most + 2):
        tried: list[int] = []

        def holds(count: int, tried: list[int] = tried, wanted: int = wanted) -> bool:
            tried.append(count)
            return count >= wanted

        found = fewest_in_float(most, holds)
        assert found == (wanted if wanted <= most else None)
        assert len(tried) == len(set(tried)) <= 2 * most.bit_length()
        assert tried[0] == 1, "one unit may be enough"
        assert found is not None or tried[-1] == most, "nothing is left"
