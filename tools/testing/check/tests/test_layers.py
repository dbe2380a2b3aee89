# SPDX-License-Identifier: GPL-2.0-only
"""Which imports the lint of the layers sees, and what it says of them."""

import unittest

from check import layers
from check.command import Failed

PAGE = """
Layers
======

A file imports from below::

   Top
      vfio_pasid.rs      the module
      top.rs             what has a layer of its own
   Middle
      one/mod.rs         a folder
      one/deep.rs        and what is in it, told
                         in two lines
      two.rs             its neighbour
   Bottom
      kernel/            all that is in there

Something else::

   No layer
      none.rs            of this
"""


class ImportsTest(unittest.TestCase):

    def imports(self, *lines, name="one/deep.rs"):
        return ["::".join(path) for path in layers.imports(name, "\n".join(lines))]

    def test_use_with_braces_in_any_depth(self):
        self.assertEqual(
            self.imports("use crate::{", "    a::{self, B},", "    c::{d::{E, f::*}, G as H}, //",
                         "};", "use crate::i;", "use kernel::{crate_of_theirs, prelude::*};"),
            ["a::self", "a::B", "c::d::E", "c::d::f::*", "c::G::H", "i"])

    def test_super_and_self_are_told_by_the_folder(self):
        self.assertEqual(self.imports("use super::other::Type;"), ["one::other::Type"])
        self.assertEqual(self.imports("use super::super::{two, three::Four};"),
                         ["two", "three::Four"])
        self.assertEqual(self.imports("use self::deep::Type;", name="one/mod.rs"),
                         ["one::deep::Type"])
        self.assertEqual(self.imports("use super::two::Type;", name="one/mod.rs"), ["two::Type"])

    def test_what_an_inline_module_has_of_its_file_is_no_import(self):
        self.assertEqual(self.imports("mod tests {", "    use super::*;", "    fn f() {",
                                      "        super::own();", "        super::super::other();",
                                      "    }", "    use crate::two;", "}", "fn g() {",
                                      "    super::third::h()", "}"),
                         ["two", "one::other", "one::third::h"])

    def test_paths_within_code(self):
        self.assertEqual(self.imports("fn f(x: &crate::two::Type) {", "    crate::top::g();", "}"),
                         ["two::Type", "top::g"])
        self.assertEqual(self.imports("macro_rules! m { () => { $crate::two::f() } }"), [])

    def test_children_by_their_bare_names(self):
        self.assertEqual(self.imports("pub(crate) mod deep;", "mod idle;", "fn f() {",
                                      "    deep::g();", "    other::deep::h();", "}",
                                      name="one/mod.rs"), ["one::deep"])

    def test_comments_strings_and_characters_are_no_code(self):
        self.assertEqual(self.imports(
            "//! [`X`](crate::two::X)", "/* use crate::two; */",
            'const A: &str = "crate::two::\\"";',
            "const B: char = '\"'; // crate::two::B", "fn f<'a>(x: &'a u8) { crate::top::f(x) }"),
            ["top::f"])


class ComplaintsTest(unittest.TestCase):

    FILES = {"vfio_pasid.rs": "mod top;", "top.rs": "", "one/mod.rs": "", "one/deep.rs": "",
             "two.rs": "", "kernel/mod.rs": "", "kernel/a.rs": ""}

    def complaints(self, **changes):
        texts = self.FILES | {name.replace("__", "/") + ".rs": text
                              for name, text in changes.items()}
        return layers.complaints(texts, PAGE)

    def test_none(self):
        self.assertEqual(self.complaints(
            top="use crate::{one::{Type, deep::f}, kernel::a::g};", one__deep="use crate::two;",
            two="use crate::kernel::a;", kernel__a="use super::mod_item;"), [])

    def test_upwards(self):
        self.assertEqual(self.complaints(kernel__a="use crate::{one::deep::f, two::g};",
                                         two="fn f() { crate::top::g() }"),
                         ["kernel/a.rs imports one/deep.rs, which is in a layer above",
                          "kernel/a.rs imports two.rs, which is in a layer above",
                          "two.rs imports top.rs, which is in a layer above"])

    def test_what_the_crate_root_has_is_above(self):
        self.assertEqual(self.complaints(two="use crate::MODULE;"),
                         ["two.rs imports vfio_pasid.rs, which is in a layer above"])

    def test_circles_once_and_the_shortest(self):
        self.assertEqual(self.complaints(one__deep="use crate::two;", two="use crate::one::Type;",
                                         one__mod="use self::deep::f; use crate::two::g;"),
                         ["a circle: one/deep.rs -> two.rs -> one/mod.rs -> one/deep.rs",
                          "a circle: one/mod.rs -> two.rs -> one/mod.rs"])

    def test_files_without_a_layer_and_layers_without_a_file(self):
        texts = {**self.FILES, "one/new.rs": "use crate::top;"}
        del texts["top.rs"]
        self.assertEqual(layers.complaints(texts, PAGE),
                         ["one/new.rs is in no layer", "there is no top.rs, which is in a layer"])

    def test_page_without_the_table(self):
        with self.assertRaisesRegex(Failed, "internals.rst has no block below the title Layers"):
            layers.complaints(self.FILES, PAGE.replace("Layers\n", "Floors\n"))

    def test_table_ends_with_its_block(self):
        self.assertNotIn("none.rs", layers.table(PAGE))
        self.assertEqual(layers.table(PAGE)["two.rs"], 2)
