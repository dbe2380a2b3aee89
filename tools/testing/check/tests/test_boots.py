# SPDX-License-Identifier: GPL-2.0-only
"""The lines of a .boot file."""

from check.boots import Boot

from .doubles import WithFolder


class BootTest(WithFolder):

    def boot(self, *lines):
        return Boot(self.boot_file("b", *lines))

    def test_each_keyword(self):
        boot = self.boot("# Comment", "", "guest --fsts on  # of tables",
                         "guest --device 'edu,a b'", "vfio 00:10.0 00:11.0", "huge 2048 32",
                         "allow 'DMAR: .*'", "allow_kernel_flushes", "export A='b c'",
                         "beside ./p --watch", "bring /usr/lib/*.so", "bring q", "run p",
                         "run q f.one f.two")
        self.assertEqual(boot.name, "b")
        self.assertEqual(boot.guest, ["--fsts", "on", "--device", "edu,a b"])
        self.assertEqual(boot.setup, ["vfio 00:10.0 00:11.0", "huge 2048 32", "allow 'DMAR: .*'",
                                      "allow_kernel_flushes", "export 'A=b c'",
                                      "beside ./p --watch"])
        self.assertEqual(boot.brought, ["/usr/lib/*.so", "q"])
        self.assertEqual(boot.programs, [("p",), ("q", "f.one", "f.two")])
        self.assertEqual(boot.full("p/f.one"), "p/f.one@b")

    def kinds(self, *lines):
        boot = self.boot(*lines)
        return [kind for kind in ("stock", "debug", "long") if boot.is_for(kind)]

    def test_kernels(self):
        self.assertEqual(self.kinds(), ["stock", "debug"])
        for kind in ("stock", "debug", "long"):
            self.assertEqual(self.kinds(f"kernel {kind}"), [kind])
        self.assertEqual(self.kinds("kernel debug long"), ["debug", "long"])

    def test_what_is_not_known_is_told_with_its_line(self):
        for line in ("device edu", "kernel fast", "run"):
            with self.assertRaisesRegex(SystemExit, rf"b\.boot:2: not what .* knows: {line}$"):
                self.boot("guest --fsts on", line)

    def test_all_of_a_folder_by_name(self):
        for name in ("two", "one"):
            self.boot_file(name, "run p")
        (self.folder / "three.txt").write_text("")
        self.assertEqual([boot.name for boot in Boot.all(self.folder)], ["one", "two"])
