"""C++17 with CMake: OpenVINO, ONNX Runtime or TensorRT by their C++ APIs, libjpeg and libpng for the images."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import prod

from dmformer.bundle import Bundle
from dmformer.embedding import escape
from dmformer.embedding.answers import Reading, reading
from dmformer.embedding.languages import (
    Content,
    Step,
    cpu_flags,
    engine_file,
    passed_on,
    sources,
    task_files,
    variant_of,
)
from dmformer.fields import Palette
from dmformer.manifest import Manifest
from dmformer.preprocessing import Preprocessing

NUMBERS = {"float32": "float", "uint8": "std::uint8_t", "int32": "std::int32_t"}
"""C++'s names for what engines take and give."""
PARAMETERS_FILE = "include/{}/preprocessing_parameters.h"
"""Of a package; see `package_name`."""
NAMED = re.compile(rb'(?<=namespace )dmformer\b|(?<=#include ")dmformer(?=/)|\bdmformer(?=::)|(?<=project\()dmformer\b')
"""Where the templates have their own name instead of a package's."""

IMAGES = "JPEG and PNG are decoded by libjpeg-turbo and libpng: `apt-get install cmake g++ libjpeg-dev libpng-dev`."
NOTES = {
    "openvino": "OpenVINO is taken from wherever CMake finds it, or from the Python wheel (`pip install openvino`), "
    "which ships its headers and libraries. A program moved to another machine needs those libraries there too.",
    "onnxruntime": "ONNX Runtime's headers and library are in its release archive: give its folder as "
    "`ONNXRUNTIME_ROOT`. This variant was not compiled where dmformer is tested, because those headers were not to be "
    "had there: only the preprocessing, the image decoding and the self-test, which it shares with OpenVINO's, were.",
    "tensorrt": "TensorRT 10 and CUDA must be installed, as on a Jetson with JetPack 6 or 7. This variant was neither "
    "compiled nor run where dmformer is tested, because there is no TensorRT there: only the preprocessing, the image "
    "decoding and the self-test, which it shares with OpenVINO's, were. An engine runs on the kind of GPU and the "
    "version of TensorRT that it was built with.",
}
CONFIGURE = {
    "openvino": "cmake -S . -B build",
    "onnxruntime": "cmake -S . -B build -DONNXRUNTIME_ROOT=/path/to/onnxruntime",
    "tensorrt": "cmake -S . -B build",
}


class Cpp:
    """The sources of a variant and one header with the bundle's parameters."""

    name = "cpp"
    title = "C++17"
    targets = ("openvino", "onnxruntime", "tensorrt")
    inputs = ("float32", "uint8")
    decides = False
    resources = "."

    def files(self, bundle: Bundle, name: str) -> Mapping[str, Content]:
        package = package_name(name)
        files = sources("cpp", bundle, variant_of(bundle.manifest.target))
        return {
            **{path.replace("/dmformer/", f"/{package}/"): _renamed(file, package) for path, file in files.items()},
            PARAMETERS_FILE.format(package): parameters(bundle, package).encode(),
        }

    def steps(self, bundle: Bundle) -> tuple[Step, ...]:
        return (
            Step(CONFIGURE[variant_of(bundle.manifest.target)], "finds the libraries"),
            Step("cmake --build build --parallel", "compiles"),
            Step("build/self-test", "compares with PyTorch; add --bench 2 to measure"),
            Step(f"build/{program_of(bundle)} IMAGE", "the classes of a JPEG or PNG"),
        )

    def notes(self, bundle: Bundle, name: str) -> str:
        package = package_name(name)
        return f"""{IMAGES}

In an application: `add_subdirectory`, or `cmake --install build --prefix DIR` and `find_package({package})`; then
`target_link_libraries(application {package}::{package})`. The headers are in `include/{package}`, their
namespace is `{package}`: projects with different names go into one program. What is installed may be moved; its engine
is in `lib/{package}/engine`.

{NOTES[variant_of(bundle.manifest.target)]}"""


def program_of(bundle: Bundle) -> str:
    """The program that the task's own CMake file names."""
    content = task_files("cpp", bundle)["cmake/task.cmake"]
    text = content if isinstance(content, bytes) else content.read_bytes()
    (name,) = re.findall(r"set\(PROGRAM (\S+)\)", text.decode())
    return str(name)


def package_name(name: str) -> str:
    """What C++ and CMake call a project: namespace, folder of headers, package and target, as ``dmformer_my_shoes``.

    The prefix keeps it clear of keywords, macros and CMake's own targets. Letters beyond ASCII become their numbers.
    """
    letters = (f"u{ord(c):x}" if c.isalnum() and not c.isascii() else c for c in name.lower())
    return re.sub("[^a-z0-9]+", "_", f"dmformer {''.join(letters)}").strip("_")


def _renamed(file: Content, package: str) -> bytes:
    content = file if isinstance(file, bytes) else file.read_bytes()
    return NAMED.sub(package.encode(), content)


def parameters(bundle: Bundle, package: str) -> str:
    """The header that is made from the manifest: the only source that differs from bundle to bundle."""
    manifest = bundle.manifest
    read = reading(manifest)
    return f"""\
// Made by `dmformer embed` from the bundle's manifest: what belongs to one bundle is here and nowhere else.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "{package}/preprocessing.hpp"

namespace {package}::parameters {{

// What the engine takes: preprocessed tensors [C, H, W], or pixels [H, W, C] that it normalizes itself.
using Input = {NUMBERS[manifest.input.dtype]};
constexpr bool kPixels = {"true" if manifest.takes_pixels else "false"};
constexpr std::array<int, 3> kInputShape{{{", ".join(map(str, manifest.usual_input[1:]))}}};

inline const Preprocessing& preprocessing() {{
{initializer(manifest.preprocessing)}
  return value;
}}

constexpr const char* kEngineFile = {escape.cpp(engine_file(bundle))};
constexpr const char* kInputName = {escape.cpp(manifest.input.name)};
{given(read, manifest.answer is not None)}
constexpr int kBatch = {manifest.input.shape[0] or 0};  // Of a fixed batch; 0 is an open one.

// What the runtime must be opened with.
inline std::vector<std::pair<std::string, std::string>> options() {{ return {{{opened_with(manifest)}}}; }}

{machine(manifest)}
{table(read.legend.names)}
{colours(read.legend.palette)}
}}  // namespace {package}::parameters
"""


def given(read: Reading, is_map: bool) -> str:
    """What is read of an engine, as C++ constants."""
    return f"""\
// What is read of what it gives: for each image so many values.
using Output = {NUMBERS[read.spec.dtype]};
constexpr const char* kOutputName = {escape.cpp(read.spec.name)};
constexpr std::size_t kOutputIndex = {read.index};
constexpr std::size_t kOutputElements = {prod(side or 1 for side in read.spec.shape[1:])};
constexpr bool kMap = {"true" if is_map else "false"};  // A class for every pixel of the input.
constexpr int kClasses = {len(read.legend.names)};"""


def opened_with(manifest: Manifest) -> str:
    """What the runtime must be opened with, as the pairs of a C++ initializer."""
    options = passed_on(manifest).items()
    return ", ".join(f"{{{escape.cpp(name)}, {escape.cpp(value)}}}" for name, value in options)


def machine(manifest: Manifest) -> str:
    """What the CPU must have, as a C++ function."""
    return f"""\
// Of these, as /proc/cpuinfo names them, the CPU must have one; where there are none, any will do.
inline std::vector<std::string> cpu_flags() {{ return {{{", ".join(map(escape.cpp, cpu_flags(manifest)))}}}; }}
"""


def table(labels: Sequence[str]) -> str:
    """The labels as a C++ function."""
    return f"""\
inline const char* label(int index) {{
  static const char* const labels[kClasses] = {{
{"".join(f"      {escape.cpp(label)},{chr(10)}" for label in labels)}  }};
  return labels[index];
}}"""


def colours(palette: Palette | None) -> str:
    """The classes' colours as a C++ function, where they have some."""
    if palette is None:
        return ""
    rows = "".join(f"      {{{{{', '.join(map(str, colour))}}}}},\n" for colour in palette)
    return f"""
// Red, green, blue.
inline const std::array<std::uint8_t, 3>& colour(int index) {{
  static const std::array<std::uint8_t, 3> colours[kClasses] = {{
{rows}  }};
  return colours[index];
}}
"""


def initializer(spec: Preprocessing) -> str:
    """The preprocessing as a C++ value."""
    return f"""  static const Preprocessing value{{
      /*height=*/{spec.size[0]},
      /*width=*/{spec.size[1]},
      Resize::k{spec.resize.capitalize()},
      /*shorter_side=*/{spec.shorter_side},
      Filter::k{spec.interpolation.capitalize()},
      Order::k{spec.channel_order.capitalize()},
      /*mean=*/{floats(spec.mean)},
      /*deviation=*/{floats(spec.std)},
      /*fill=*/{spec.fill}}};"""


def floats(values: Sequence[float]) -> str:
    """Rounded to float from double, as NumPy does it, by C++ itself."""
    return "{" + ", ".join(f"static_cast<float>({float(value)!r})" for value in values) + "}"
