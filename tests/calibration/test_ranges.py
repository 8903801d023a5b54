"""Measuring: histograms, clipping, streaming, and the ranges file."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dmformer.calibration.clipping import METHODS, choose_range
from dmformer.calibration.collect import CalibrationSet, calibrate, check_count, sites_to_measure
from dmformer.calibration.factors import rescaled
from dmformer.calibration.histogram import BINS, MOST_VALUES, Histogram
from dmformer.calibration.observe import rebatched
from dmformer.calibration.ranges import graph_digest, load_ranges, save_ranges
from dmformer.calibration.statistics import measure_channels
from dmformer.errors import DataError, OutputError, UsageError
from dmformer.graph.qdq.affine import Range
from dmformer.graph.qdq.graph import Graph
from dmformer.graph.qdq.sites import site_values
from tests.calibration.graphs import SIDE, batches, calibration_set, canonical_graph, images, ranges, scaled_channels


def histogram_of(*parts: NDArray[np.float32]) -> Histogram:
    histogram = Histogram()
    for part in parts:
        histogram.update(part, float(np.abs(part).max()))
    return histogram


class TestHistogram:
    def test_growing_reach_keeps_every_count(self) -> None:
        parts = [np.full(100, value, np.float32) for value in (0.0, 0.3, -5.0, 1000.0)]
        histogram = histogram_of(*parts)
        assert (histogram.counts.sum(), histogram.zeros) == (300, 100)
        present = histogram.centers[histogram.counts > 0]
        step = 2 * histogram.reach / BINS
        assert np.abs(present[:, None] - [0.3, -5.0, 1000.0]).min(axis=0).max() <= step

    def test_large_arrays_are_sampled_evenly(self) -> None:
        values = np.linspace(-1, 1, 20 * MOST_VALUES, dtype=np.float32)
        histogram = histogram_of(values)
        assert histogram.counts.sum() == pytest.approx(len(values), rel=0.01)
        assert abs(float((histogram.counts * histogram.centers).sum() / histogram.counts.sum())) < 1e-3

    @settings(max_examples=30, deadline=None)
    @given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=50))
    def test_order_of_the_batches_does_not_matter(self, values: list[float]) -> None:
        parts = [np.array([value], np.float32) for value in values]
        largest = max(abs(part) for part in parts)
        one, other = Histogram(), Histogram()
        for part in parts:
            one.update(part, float(largest[0]))
        for part in reversed(parts):
            other.update(part, float(largest[0]))
        assert one.reach == other.reach
        assert (one.counts == other.counts).all()


class TestClipping:
    span = Range(-1.0, 40.0)

    def outliers(self) -> Histogram:
        random = np.random.default_rng(0)
        bulk = np.clip(random.normal(0, 0.5, 50000), -1, 3).astype(np.float32)
        return histogram_of(np.concatenate([bulk, np.array([40.0], np.float32)]))

    @pytest.mark.parametrize("method", METHODS)
    def test_ranges_stay_inside_what_was_seen(self, method: str) -> None:
        found = choose_range(self.outliers(), self.span, method)
        assert self.span.low <= found.low <= 0 < found.high <= self.span.high

    def test_only_minmax_keeps_an_outlier(self) -> None:
        highs = {method: choose_range(self.outliers(), self.span, method).high for method in METHODS}
        assert highs["minmax"] == 40.0
        assert max(highs["percentile"], highs["mse"]) < 40.0

    def test_mse_beats_minmax_in_mean_squared_error(self) -> None:
        values = np.random.default_rng(1).laplace(0, 1, 60000).astype(np.float32)
        span = Range(float(values.min()), float(values.max()))

        def error(found: Range) -> float:
            step = (found.high - found.low) / 255
            rounded = np.rint((np.clip(values, found.low, found.high) - found.low) / step) * step + found.low
            return float(np.square(rounded - values).mean())

        histogram = histogram_of(values)
        assert error(choose_range(histogram, span, "mse")) < 0.95 * error(span)

    @pytest.mark.parametrize("share", [0.5, 0.99, 0.999])
    def test_zeros_do_not_hide_the_errors_of_what_is_not_zero(self, share: float) -> None:
        random = np.random.default_rng(2)
        values = np.where(random.random(200_000) < share, 0, random.exponential(1, 200_000)).astype(np.float32)
        span = Range(0.0, float(values.max()))
        found = choose_range(histogram_of(values), span, "mse")

        def error(high: float) -> float:
            step = high / 255
            return float(np.square(np.rint(np.minimum(values, high) / step) * step - values).mean())

        assert error(found.high) <= 1.02 * error(span.high)

    def test_activations_that_are_always_zero_have_a_range(self) -> None:
        assert choose_range(histogram_of(np.zeros(10, np.float32)), Range(0, 0), "mse") == Range(0, 0)

    def test_unknown_method(self) -> None:
        with pytest.raises(UsageError, match="'median' is not known"):
            choose_range(self.outliers(), self.span, "median")


class TestCalibrate:
    def test_every_site_that_can_be_quantized_has_a_range(self) -> None:
        measured = rescaled(canonical_graph(), ranges().channel_scales())
        assert set(ranges().sites) == set(sites_to_measure(Graph(measured)))
        assert {"image", "stem.relu", "stages.0.0.dma.relu", "stages.3.0.ffn.gelu"} <= set(ranges().sites)

    def test_it_does_not_depend_on_how_images_are_batched(self) -> None:
        again = CalibrationSet(batches(images(), 7), "1" * 64, 24, ranges().preprocessing)
        found = calibrate(canonical_graph(), again)
        assert found.scales.keys() == ranges().scales.keys()
        for site, span in ranges().sites.items():
            assert found.sites[site].high == pytest.approx(span.high, rel=0.02, abs=1e-6)

    def test_channel_statistics_are_exact(self) -> None:
        values = {"image": "image"}
        found = measure_channels(canonical_graph(), values, batches(images(), 5), 24)["image"]
        assert found.low == pytest.approx(images().min(axis=(0, 2, 3)))
        assert found.square == pytest.approx(np.square(images()).mean(axis=(0, 2, 3)), rel=1e-5)

    def test_memory_does_not_grow_with_the_images(self) -> None:
        def stream(count: int) -> Iterator[NDArray[np.float32]]:
            return (images(4, seed) for seed in range(count // 4))

        def peak(count: int) -> int:
            values = site_values(Graph(canonical_graph()))
            tracemalloc.start()
            measure_channels(canonical_graph(), values, lambda: stream(count), count)
            found = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            return found

        peak(32)
        assert peak(256) < 1.1 * peak(64)

    def test_a_layer_that_gives_nan_is_named(self) -> None:
        graph = Graph(canonical_graph())
        bias = graph.array("stages.1.0.dma.expand.bias").copy()
        bias[0] = np.inf
        graph.set_array("stages.1.0.dma.expand.bias", bias)
        with pytest.raises(DataError, match=r"^stages\.1\.0\.dma\.expand: its output is not a finite number"):
            calibrate(graph.model(), calibration_set())

    def test_constant_images(self) -> None:
        grey = np.full((4, 3, SIDE, SIDE), 0.5, np.float32)
        with pytest.raises(DataError, match="all 4 calibration images are constant"):
            calibrate(canonical_graph(), CalibrationSet(batches(grey), "1" * 64, 4, ranges().preprocessing))

    def test_images_that_do_not_fit(self) -> None:
        wrong = np.random.default_rng(0).standard_normal((2, 3, 32, 32), np.float32)
        with pytest.raises(DataError, match=r"images of shape \[2, 3, 32, 32\] do not fit"):
            calibrate(canonical_graph(), CalibrationSet(batches(wrong), "1" * 64, 2, ranges().preprocessing))

    def test_no_images(self) -> None:
        with pytest.raises(DataError, match="no image"):
            calibrate(canonical_graph(), CalibrationSet(lambda: [], "1" * 64, 1, ranges().preprocessing))

    def test_counts(self) -> None:
        assert check_count(500, 256, "photos") == []
        assert check_count(500, 100, "photos") == ["photos: 100 calibration images; 256 or more give steadier ranges"]
        assert check_count(200, 256, "photos") == ["photos: 200 calibration images; 256 were asked for"]
        (said,) = check_count(20, 256, "photos")
        assert said == "photos: 20 calibration images; 256 were asked for; 256 or more give steadier ranges"
        with pytest.raises(UsageError, match="0 calibration images"):
            check_count(20, 0, "photos")

    @given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.integers(1, 8))
    def test_rebatching_keeps_order_and_number(self, sizes: list[int], size: int) -> None:
        array = np.arange(sum(sizes), dtype=np.float32)
        parts = np.split(array, np.cumsum(sizes)[:-1])
        found = list(rebatched(parts, size))
        assert (np.concatenate(found) == array).all()
        assert all(len(part) == size for part in found[:-1])


class TestFile:
    def test_round_trip(self, tmp_path: Path) -> None:
        save_ranges(ranges(), tmp_path / "ranges.json")
        assert load_ranges(tmp_path / "ranges.json") == ranges()
        assert json.loads((tmp_path / "ranges.json").read_text())["schema"] == "dmformer.ranges/1"

    def test_of_another_model(self) -> None:
        with pytest.raises(DataError, match=r"^mine\.json: belong to another model"):
            ranges().check_model(scaled_channels(canonical_graph(), 0.1), "mine.json")

    def test_digest_ignores_the_batch_but_not_the_weights(self) -> None:
        fixed = onnx.ModelProto()
        fixed.CopyFrom(canonical_graph())
        fixed.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
        assert graph_digest(fixed) == graph_digest(canonical_graph())
        assert graph_digest(scaled_channels(canonical_graph(), 0.1)) != graph_digest(canonical_graph())

    @pytest.mark.parametrize(
        ("change", "where"),
        [
            ({"schema": "dmformer.ranges/2"}, "schema"),
            ({"sites": {"image": {"low": 2, "high": 1}}}, r"sites\.image"),
            ({"sites": {"image": {"low": None, "high": 1}}}, r"sites\.image\.low"),
            ({"scales": {"stages.0": [0.0]}}, r"scales\.stages\.0"),
            ({"unknown": 1}, "unknown"),
        ],
    )
    def test_damage_is_named(self, tmp_path: Path, change: dict[str, object], where: str) -> None:
        path = tmp_path / "ranges.json"
        path.write_text(json.dumps({**json.loads(ranges().to_json()), **change}))
        with pytest.raises(DataError, match=rf"^{path}: no valid ranges file: {where}"):
            load_ranges(path)

    def test_unreadable_and_unwritable(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="cannot be read"):
            load_ranges(tmp_path / "absent.json")
        with pytest.raises(OutputError, match="cannot be written"):
            save_ranges(ranges(), tmp_path / "absent" / "ranges.json")
        assert list(tmp_path.glob("*.json")) == []
