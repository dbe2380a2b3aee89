# SPDX-License-Identifier: GPL-2.0-only
"""What doctor says of a real initramfs."""

import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from .builds import build_folder
from .command import Failed, output_of
from .sources import kernel_tree


def modules_for_initramfs(folder, kernel, ours):
    """A /lib/modules with VFIO, from the kernel's package; and ours, if wanted."""
    release = kernel.name
    for part in ("kernel/drivers/vfio", "kernel/virt/lib"):
        shutil.copytree(kernel / part, folder / release / part)
    for name in kernel.glob("modules.builtin*"):
        shutil.copy(name, folder / release)
    if ours:
        shutil.copytree(build_folder() / f"install/lib/modules/{release}/updates",
                        folder / release / "updates")
    (folder.parent / "lib").symlink_to(".")
    output_of("depmod", "-b", folder.parent, release)


def make_initramfs(scratch, release, compression, target):
    """Debian's own mkinitramfs, which looks for modules in /lib/modules only: so with a
    /lib that has those and all else of the build root."""
    config = scratch / "config"
    shutil.copytree("/etc/initramfs-tools", config)
    (config / "modules").write_text("vfio\nvfio_iommu_type1\nvfio_pci\n")
    file = config / "initramfs.conf"
    text = re.sub("^(MODULES|COMPRESS)=.*$", "", file.read_text(), flags=re.M)
    file.write_text(f"{text}\nMODULES=list\nCOMPRESS={compression}\n")
    links = [word for path in sorted(Path("/usr/lib").iterdir())
             for word in ("--symlink", path, f"/lib/{path.name}")]
    output_of("bwrap", "--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin",
              "--symlink", "usr/sbin", "/sbin", "--symlink", "usr/lib64", "/lib64",
              "--ro-bind", "/etc", "/etc", "--proc", "/proc", "--dev", "/dev",
              "--ro-bind", "/sys", "/sys", "--tmpfs", "/tmp", "--tmpfs", "/var/tmp",
              "--dir", "/boot", "--bind", scratch, scratch, *links,
              "--ro-bind", scratch / "modules", "/lib/modules",
              "mkinitramfs", "-d", config, "-o", target, release)


def doctor_sees_initramfs(compression, ours):
    def run():
        kernel = next((kernel_tree("root") / "usr/lib/modules").iterdir())
        with tempfile.TemporaryDirectory() as scratch:
            scratch = Path(scratch)
            machine = scratch / "machine"
            (machine / "boot").mkdir(parents=True)
            (machine / "proc/sys/kernel").mkdir(parents=True)
            (machine / "proc/sys/kernel/osrelease").write_text(f"{kernel.name}\n")
            modules_for_initramfs(scratch / "modules", kernel, ours)
            target = machine / f"boot/initrd.img-{kernel.name}"
            make_initramfs(scratch, kernel.name, compression, target)
            listed = output_of("lsinitramfs", target)
            if "/vfio_iommu_type1.ko" not in listed or ("/vfio_pasid.ko" in listed) != ours:
                raise Failed(f"not the initramfs that it is to be:\n{listed}")
            done = subprocess.run(
                [build_folder() / "selftests/vfio-pasid", "--root", machine, "doctor", "--json"],
                stdout=subprocess.PIPE, text=True)
            said = [(check["verdict"], check["reason"])
                    for check in json.loads(done.stdout)["checks"] if check["name"] == "initramfs"]
            expected = [("ok", None) if ours else ("warning", "initramfs-stock")]
            if said != expected:
                raise Failed(f"doctor says {said}, and not {expected}, of an initramfs with\n"
                             + listed)
    return run


CASES = {
    "tools/cli.initramfs.stock": doctor_sees_initramfs("zstd", ours=False),
    "tools/cli.initramfs.ours": doctor_sees_initramfs("zstd", ours=True),
    "tools/cli.initramfs.stock_gzip": doctor_sees_initramfs("gzip", ours=False),
}
