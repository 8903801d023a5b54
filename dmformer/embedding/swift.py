"""A Swift package around a Core ML bundle: ImageIO decodes, the package's own sources preprocess, Core ML runs.

No Mac was at hand: the sources are written, parsed and held against the manifest in tests, and were never compiled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import prod

from dmformer.bundle import Bundle
from dmformer.embedding.answers import reading
from dmformer.embedding.escape import shell, swift
from dmformer.embedding.languages import Content, Step, engine_file, sources, task_files
from dmformer.errors import UsageError
from dmformer.fields import Palette
from dmformer.manifest import Manifest
from dmformer.preprocessing import Preprocessing

RESOURCES = "Sources/DMFormer/Resources"
PARAMETERS_FILE = "Sources/DMFormer/Parameters.swift"
MACS = {"iOS15": "12.0", "iOS16": "13.0", "iOS17": "14.0", "iOS18": "15.0"}
"""Core ML's deployment targets, and the release of macOS with the same operators."""
UNITS = {"all": "all", "cpu": "cpuOnly", "cpu-and-gpu": "cpuAndGPU", "cpu-and-ne": "cpuAndNeuralEngine"}
"""The manifest's compute units as ``MLComputeUnits``."""
PACKAGE_SUFFIX = ".mlpackage"


class Swift:
    """A `dmformer.embedding.languages.Language`."""

    name = "swift"
    title = "Swift"
    targets = ("coreml",)
    inputs = ("float32",)
    decides = False
    resources = RESOURCES

    def files(self, bundle: Bundle, name: str) -> Mapping[str, Content]:
        return {
            **sources("swift", bundle),
            "Package.swift": package(bundle).encode(),
            PARAMETERS_FILE: parameters(bundle).encode(),
        }

    def steps(self, bundle: Bundle) -> tuple[Step, ...]:
        return (
            Step("swift run -c release self-test", "on a Mac: compares with PyTorch, stage by stage"),
            Step(f"swift run -c release {program_of(bundle)} photo.jpg", "an image of yours"),
            Step("swift test", "the self-test as a test; in Xcode on a device"),
        )

    def notes(self, bundle: Bundle, name: str) -> str:
        path = shell(f"{RESOURCES}/engine/{package_name(bundle)}")
        return f"""**Not run here**: there was no Mac where dmformer is tested, so these sources were never compiled.

Add the folder to an application in Xcode as a local package and take its product `DMFormer`. The engine is compiled at
the first use, which takes seconds at each start; to do it ahead of time:

```console
$ xcrun coremlcompiler compile {path} {RESOURCES}/engine
```

`Parameters.swift` and `Package.swift` are generated and all that differs from bundle to bundle. Without Core ML, as on
Linux, `swift run self-test --preprocessing-only` still compares the preprocessing."""


def program_of(bundle: Bundle) -> str:
    """The program that the task's own sources are."""
    files = task_files("swift", bundle)
    return next(path.split("/")[1] for path in files if path.endswith("/main.swift"))


def package_name(bundle: Bundle) -> str:
    """The directory of the package below the engine's folder.

    Raises:
        UsageError: The engine lies in no package.
    """
    name = engine_file(bundle).partition("/")[0]
    if not name.endswith(PACKAGE_SUFFIX):
        raise UsageError(f"{bundle.path}: its engine lies in no {PACKAGE_SUFFIX}", "export it again")
    return name


def package(bundle: Bundle) -> str:
    """``Package.swift``: the systems that the Core ML package was made for.

    Raises:
        UsageError: The manifest names a system that is not known.
    """
    target = bundle.manifest.runtime.options.get("deployment_target", "iOS15")
    if target not in MACS:
        raise UsageError(f"{bundle.path}: the deployment target {target} is not known", "export it again")
    return f"""\
// swift-tools-version:5.7
// Made by `dmformer embed` from the bundle's manifest.
import PackageDescription

let package = Package(
    name: "DMFormer",
    platforms: [.iOS("{target.removeprefix("iOS")}.0"), .macOS("{MACS[target]}")],
    products: [.library(name: "DMFormer", targets: ["DMFormer"])],
    targets: [
        .target(name: "DMFormer", resources: [.copy("Resources/engine"), .copy("Resources/golden")]),
        .executableTarget(name: "self-test", dependencies: ["DMFormer"]),
        .executableTarget(name: "{program_of(bundle)}", dependencies: ["DMFormer"]),
        .testTarget(name: "DMFormerTests", dependencies: ["DMFormer"]),
    ]
)
"""


def parameters(bundle: Bundle) -> str:
    """The source that is made from the manifest: constants alone, so that nothing in a manifest becomes code.

    Raises:
        UsageError: The manifest names compute units that are not known, or its engine lies in no package.
    """
    manifest = bundle.manifest
    read = reading(manifest)
    values = "\n".join(f"            {swift(label)}," for label in read.legend.names)
    return f"""\
// Made by `dmformer embed` from the bundle's manifest: what belongs to one bundle is here and nowhere else.
#if canImport(CoreML)
import CoreML
#endif

public enum Parameters {{
{initializer(manifest.preprocessing)}

    static let package = {swift(package_name(bundle))}
    static let input = {swift(manifest.input.name)}
    static let output = {swift(read.spec.name)}
    /// Values for each image.
    static let outputElements = {prod(side or 1 for side in read.spec.shape[1:])}
    /// Whether the package takes an image and normalizes it itself, or a preprocessed tensor.
    static let takesImage = {"true" if manifest.runtime.options.get("input") == "image" else "false"}
    /// Of a fixed batch; 0 is one of several sizes, of which 1 is one.
    static let batch = {manifest.input.shape[0] or 0}
    static let classes = {len(read.legend.names)}

    #if canImport(CoreML)
    public static let computeUnits = MLComputeUnits.{compute_units(manifest)}
    #endif

    public static let labels: [String] = [
{values}
    ]
{colours(read.legend.palette)}}}
"""


def colours(palette: Palette | None) -> str:
    """The classes' colours as a Swift constant, where they have some."""
    if palette is None:
        return ""
    rows = "".join(f"        [{', '.join(map(str, colour))}],\n" for colour in palette)
    return f"""
    /// Red, green, blue.
    public static let palette: [[UInt8]] = [
{rows}    ]
"""


def compute_units(manifest: Manifest) -> str:
    """What the bundle was exported to run on, as a case of ``MLComputeUnits``."""
    units = manifest.runtime.options.get("compute_units", "all")
    if units not in UNITS:
        raise UsageError(f"{manifest.name}: the compute units {units} are not known", "export it again")
    return UNITS[units]


def initializer(spec: Preprocessing) -> str:
    """The preprocessing as a Swift value."""
    return f"""\
    public static let preprocessing = Preprocessing(
        height: {spec.size[0]},
        width: {spec.size[1]},
        resize: .{spec.resize},
        shorterSide: {spec.shorter_side},
        filter: .{spec.interpolation},
        order: .{spec.channel_order},
        mean: {floats(spec.mean)},
        deviation: {floats(spec.std)},
        fill: {spec.fill}
    )"""


def floats(values: Sequence[float]) -> str:
    """Rounded to float from double, as NumPy does it, by Swift itself."""
    return "[" + ", ".join(f"Float(Double({json.dumps(float(value))}))" for value in values) + "]"
