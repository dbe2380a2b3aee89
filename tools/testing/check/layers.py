# SPDX-License-Identifier: GPL-2.0-only
"""Layers: what may import what in the Rust of the module.

Documentation/internals.rst has the table, in the block that follows its title
"Layers": names of layers from the top down, and below each its files, from
rust/vfio_pasid on. A file imports from layers below its own; and from its own, as
long as that makes no circle.
"""

import re

from .command import Failed
from .project import TOP
from .sources import files

RUST = TOP / "rust/vfio_pasid"
ROOT = "vfio_pasid.rs"
PAGE = TOP / "Documentation/internals.rst"


def table(page):
    """The number of each file's layer, from the top down. `folder/` is all that is in it."""
    found = re.search(r"^Layers\n=+\n.*?::\n\n((?: {3}[^\n]*\n|\n)+)", page, re.M | re.S)
    if not found:
        raise Failed(f"{PAGE.name} has no block below the title Layers")
    layers, number = {}, 0
    for line in found[1].splitlines():
        number += bool(re.match(r" {3}\S", line))
        name = re.match(r" {6}([\w/]+(?:\.rs|/))(?: |$)", line)
        if name:
            layers[name[1]] = number
    return layers


def layer_of(name, layers):
    folder = f"{name.rpartition('/')[0]}/"
    return layers.get(name, layers.get(folder))


# Reading a file


def code_of(text):
    """Without comments, and with nothing in strings and characters."""
    pattern = r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])\''
    return re.sub(pattern, lambda found: "" if found[0][0] == "/" else '""', text, flags=re.S)


def module_of(name):
    """The module that a file is, as a path from the crate on."""
    path = name.removesuffix(".rs").split("/")
    if name == ROOT:
        return []
    return path[:-1] if path[-1] == "mod" else path


def leaves(text, prefix=()):
    """The paths of what stands behind `use`, with braces in any depth."""
    text = text.strip()
    head, brace, rest = text.partition("{")
    if not brace:
        return [[*prefix, *(word.strip() for word in re.split(r"::|\bas\b", text) if word.strip())]]
    prefix = (*prefix, *(word.strip() for word in head.split("::") if word.strip()))
    found, depth, start = [], 0, 0
    inner = rest[:rest.rindex("}")] + ","
    for at, letter in enumerate(inner):
        depth += (letter == "{") - (letter == "}")
        if letter == "," and not depth:
            if inner[start:at].strip():
                found += leaves(inner[start:at], prefix)
            start = at + 1
    return found


def inline_modules(code):
    """Where those begin and end that are within the file."""
    spans = []
    for found in re.finditer(r"\bmod\s+\w+\s*\{", code):
        depth, end = 1, found.end()
        while depth and end < len(code):
            depth += (code[end] == "{") - (code[end] == "}")
            end += 1
        spans.append((found.end(), end))
    return spans


def absolute(path, module, depth):
    """A path from the crate on; None if it stays in the file, where it stands in so many
    inline modules."""
    up = 0
    while path[up] == "super":
        up += 1
    if path[0] == "crate":
        return path[1:]
    if path[0] == "self":
        return None if depth else module + path[1:]
    return None if up <= depth else module[:len(module) - (up - depth)] + path[up:]


def imports(name, text):
    """The paths from the crate on that a file names."""
    code, module = code_of(text), module_of(name)
    spans, found = inline_modules(code), []

    def add(path, at):
        depth = sum(start <= at < end for start, end in spans)
        found.append(absolute(path, module, depth))

    def use(statement):
        for path in leaves(statement[1]):
            if path[0] in ("crate", "super", "self"):
                add(path, statement.start())
        return " " * len(statement[0])

    rest = re.sub(r"\buse\s+([^;]+);", use, code)
    for path in re.finditer(r"(?<![\w:$])(?:crate|super|self)(?:\s*::\s*\w+)+", rest):
        add([word.strip() for word in path[0].split("::")], path.start())
    for child in re.findall(r"\bmod\s+(\w+)\s*;", code):
        if re.search(rf"(?<![\w:.]){child}\s*::\s*\w", rest):
            found.append([*module, child])
    return [path for path in found if path]


# Judging


def file_of(path, names):
    """The file that has what a path names."""
    for end in range(len(path), 0, -1):
        for name in ("/".join(path[:end]) + ".rs", "/".join([*path[:end], "mod.rs"])):
            if name in names:
                return name
    return ROOT


def graph(texts):
    """Which files each one imports."""
    return {name: {file_of(path, texts) for path in imports(name, text)} - {name}
            for name, text in texts.items()}


def circle_from(start, arrows):
    """The shortest way from a file back to it, if there is one."""
    ways, seen = [[start]], set()
    for way in ways:
        for name in sorted(arrows[way[-1]] - seen):
            if name == start:
                return [*way, start]
            seen.add(name)
            ways.append([*way, name])
    return None


def circles(arrows):
    """The shortest of each, beginning with the name that comes first."""
    found = set()
    for name in arrows:
        way = circle_from(name, arrows)
        if way:
            first = way.index(min(way))
            found.add((*way[first:-1], *way[:first], min(way)))
    return sorted(found)


def complaints(texts, page):
    layers, arrows = table(page), graph(texts)
    bad = [f"{name} is in no layer" for name in sorted(texts) if not layer_of(name, layers)]
    bad += [f"there is no {name}, which is in a layer" for name in sorted(layers)
            if name not in texts and not any(text.startswith(name) for text in texts)]
    number = {name: layer_of(name, layers) or 0 for name in texts}
    bad += [f"{name} imports {other}, which is in a layer above"
            for name in sorted(arrows) for other in sorted(arrows[name])
            if 0 < number[other] < number[name]]
    return bad + [f"a circle: {' -> '.join(circle)}" for circle in circles(arrows)]


def layers():
    """No file imports from above, and none imports itself by way of others."""
    texts = {str(file.relative_to(RUST)): file.read_text()
             for file in files("rust/vfio_pasid/*.rs")}
    bad = complaints(texts, PAGE.read_text())
    if bad:
        raise Failed("\n".join([*bad, f"The layers are in {PAGE.relative_to(TOP)}."]))


CASES = {"lint/layers": layers}
