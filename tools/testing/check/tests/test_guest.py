# SPDX-License-Identifier: GPL-2.0-only
"""What a guest is asked to run, and what it has to say when it fails."""

from pathlib import Path
from types import SimpleNamespace

from check.guest import guest_kernel, listen
from check.tap import Tap

from .doubles import Recorder, WithFolder


class GuestTest(WithFolder):

    def hear(self, script):
        """A shell is the guest. Returns its trouble, and the verdicts."""
        results = Recorder()
        boot = SimpleNamespace(full=lambda case: f"{case}@b")
        plan = SimpleNamespace(boot=boot, title="boot/b", expected={"p": ["f.one"]})
        with open(self.folder / "stderr", "w+") as errors:
            trouble = listen(["sh", "-c", script], Tap(plan, results), errors)
        return trouble, results.verdicts()

    def test_guest_that_ends_as_it_should_is_no_trouble(self):
        trouble, verdicts = self.hear(
            "echo hello; printf '@begin p\\r\\nok 1 f.one\\r\\n@end 0\\n@checked p\\n'; "
            "echo slow >&2")
        self.assertEqual((trouble, verdicts), ("", {"p/f.one@b": "ok", "left/p@b": "ok"}))

    def test_guest_that_fails_has_said_why_outside_of_programs_and_on_stderr(self):
        trouble, verdicts = self.hear(
            "echo there is no device; printf '@begin p\\n# of p\\nok 1 f.one\\n@end 0\\n'; "
            "echo panic >&2; exit 125")
        self.assertEqual(trouble, "there is no device\n@begin p\npanic\n")
        self.assertEqual(verdicts, {"p/f.one@b": "ok", "left/p@b": "not ok"})

    def test_bytes_that_are_no_text_are_no_fault(self):
        trouble, _ = self.hear("printf '\\377\\n'; exit 1")
        self.assertEqual(trouble, "\ufffd\n")

    def test_kernel_is_the_one_that_was_built_for(self):
        for kind in ("stock", "long"):
            self.assertIn("7.3.4-amd64", guest_kernel(kind, Path("build/7.3.4-amd64")))
