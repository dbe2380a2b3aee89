# SPDX-License-Identifier: GPL-2.0-only
"""What a new user meets: setups that cannot work end with a sentence that says why
and what to do, and those that can work. scripts/check runs each of these functions
as a case, install/NAME; it fails with an AssertionError.
"""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parents[3]
SUITE = os.environ.get("SUITE") or "trixie"
SERIES = [line.split()[1] for line in (TOP / "scripts/kernels.list").read_text().splitlines()
          if line.startswith(f"{SUITE} ")]
KERNEL = os.environ.get("KERNEL") or SERIES[0]
CASES = {}
# Those that take long, for --long.
LONG = {}


def case(function):
    CASES[f"install/{function.__name__}"] = function
    return function


def long_case(function):
    LONG[f"install/{function.__name__}"] = function
    return function


def run(*command, cwd=TOP, **environment):
    """Exit status and all output of a command, with nothing in the environment that
    chooses a kernel but what is named here; None takes a variable away."""
    env = {**os.environ, **environment}
    for name in ("KERNEL", "KDIR", "T", "INSTALL_MOD_PATH"):
        if name not in environment:
            env.pop(name, None)
    done = subprocess.run([str(word) for word in command], cwd=cwd, text=True,
                          env={name: str(value) for name, value in env.items()
                               if value is not None},
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, errors="replace")
    return done.returncode, done.stdout


def succeeds(*command, **more):
    status, output = run(*command, **more)
    assert status == 0, f"{' '.join(map(str, command))}: exit status {status}\n{output}"
    return output


def refuses(*command, why, what, **more):
    """The command fails; its last lines are a sentence that matches why, and one that
    matches what, which says what to do. A compiler or apt said nothing after them."""
    status, output = run(*command, **more)
    assert status, f"{' '.join(map(str, command))} succeeded:\n{output}"
    lines = [line for line in output.splitlines() if not line.startswith("make: ***")]
    errors = [number for number, line in enumerate(lines) if re.match(r"[\w-]+: error: ", line)]
    assert errors, f"there is no sentence:\n{output}"
    text = lines[errors[0]:]
    assert len(errors) == 1 and re.search(why, text[0]), f"not '{why}':\n{output}"
    assert re.search(what, "\n".join(text[1:])), f"not '{what}':\n{output}"
    assert all(re.match(r"[\w-]+:   ", line) for line in text[1:]), f"more than that:\n{output}"
    return output


def scratch():
    """A folder for files that all programs of the build root can see."""
    folder = TOP / "build/install"
    folder.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(dir=folder)


def copy_of_the_tree(folder):
    names = succeeds("git", "ls-files", "-coz", "--exclude-standard").split("\0")
    for name in filter(None, names):
        source, target = TOP / name, folder / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    return folder


def kernel_tree(show, kernel=KERNEL):
    output = succeeds("scripts/kernel-tree", "--show", show, kernel)
    return Path(output.splitlines()[-1])


def own_tree(folder):
    """A build tree that can be changed, like that of scripts/kernel-tree."""
    made = folder / "kdir"
    made.mkdir()
    for file in kernel_tree("build").iterdir():
        (made / file.name).symlink_to(file)
    return made


def change(file, pattern, text):
    """In a copy, if it is a link."""
    old = file.read_text()
    new = re.sub(pattern, text, old, flags=re.MULTILINE)
    assert new != old, f"{file} has no {pattern}"
    file.unlink()
    file.write_text(new)


# Which kernel


@case
def release_that_is_not_there():
    refuses("make", KERNEL="7.2.99+deb13-amd64",
            why="there is no linux-headers-7.2.99[+]deb13-amd64",
            what=r"KERNEL=7.2 takes the newest[\s\S]*there: 7\.2\.")


@case
def series_that_is_not_there():
    refuses("make", KERNEL="7.99", why="no kernel of the series 7.99",
            what=f"there: .*{SERIES[0]}")


@case
def release_mistyped():
    for name in ("seven", "7.3.4 deb13-amd64", "../7.3"):
        refuses("scripts/modules", KERNEL=name, why="neither a release such as",
                what="KERNEL=7.3")


@case
def source_of_another_version():
    """As for a while after an upload: headers and source do not come at once."""
    with scratch() as folder:
        folder = Path(folder)
        cache = Path(os.environ["XDG_CACHE_HOME"]) / "vfio-pasid/linux" / SUITE
        kernels = folder / "vfio-pasid/linux" / SUITE
        shutil.copytree(cache / "apt/lists", kernels / "apt/lists")
        (folder / "apt-cache").write_text(
            "#!/bin/sh\ncase $* in\n"
            "*' madison linux-source-'*) echo 'linux-source | 1.2-3 | here' ;;\n"
            f"*) exec {shutil.which('apt-cache')} \"$@\" ;;\nesac\n")
        (folder / "apt-cache").chmod(0o755)
        series = re.escape(SERIES[0])
        output = refuses("scripts/kernel-tree", SERIES[0], XDG_CACHE_HOME=folder,
                         PATH=f"{folder}:{os.environ['PATH']}",
                         why=rf"linux-source-{series} has no version {series}\.",
                         what=rf"KERNEL={series} takes the newest[\s\S]*there: 1\.2-3")
        assert "kernel and source" not in output, output


# Only trixie has it.
def series_without_rust():
    """And before more than the headers is downloaded."""
    output = refuses("make", KERNEL="6.12", why="built without CONFIG_RUST", what="7.2 on")
    assert "kernel and source" not in output, output
    folder = kernel_tree("root").parents[1]
    left = [file.name for file in folder.glob("6.12*")]
    assert not left, f"{folder} still has {left}"


if SUITE == "trixie":
    case(series_without_rust)


# A build tree of one's own


@case
def own_tree_of_debians_headers():
    headers = next((kernel_tree("root") / "usr/src").glob("linux-headers-*-amd64"))
    refuses("make", KDIR=headers, why="has no Rust metadata",
            what=r"KERNEL=\d\.\d+\.\S+ makes it[\s\S]*rust-metadata")


@case
def own_tree_that_is_none():
    refuses("make", KDIR=TOP / "Documentation", why="not a prepared kernel build tree",
            what="modules_prepare")


@case
def own_tree_of_another_rustc():
    with scratch() as folder:
        made = own_tree(Path(folder))
        change(made / ".config", "^CONFIG_RUSTC_VERSION_TEXT=.*",
               'CONFIG_RUSTC_VERSION_TEXT="rustc 1.2.3"')
        refuses("make", KDIR=made, why="built with rustc 1.2.3, and here is rustc 1",
                what="install that rustc")


@case
def own_tree_of_another_gcc():
    with scratch() as folder:
        made = own_tree(Path(folder))
        gcc = re.search(r'^CONFIG_CC_VERSION_TEXT="(\S+)', (made / ".config").read_text(), re.M)[1]
        change(made / ".config", "^CONFIG_CC_VERSION_TEXT=.*",
               f'CONFIG_CC_VERSION_TEXT="{gcc} (Other) 14.0"')
        refuses("make", KDIR=made, why=f"built with .*Other.* and here is {gcc}",
                what="install that compiler")


@case
def own_tree_without_what_vfio_needs():
    for symbol, why in (("RUST", "without CONFIG_RUST"), ("VFIO_CONTAINER", "no VFIO containers"),
                        ("VFIO_IOMMU_TYPE1", "type1 as a module")):
        with scratch() as folder:
            made = own_tree(Path(folder))
            change(made / ".config", f"^CONFIG_{symbol}=.*", f"# CONFIG_{symbol} is not set")
            refuses("make", KDIR=made, why=why, what="Debian's")


@long_case
def kernel_built_again():
    """Under the same release, with files that are older than what was built here."""
    with scratch() as folder:
        tree = copy_of_the_tree(Path(folder) / "tree")
        made = own_tree(Path(folder))
        succeeds("make", KDIR=made, cwd=tree)
        module = next(tree.glob("build/*-amd64/vfio_pasid.ko"))
        first = module.stat().st_mtime
        assert "RUSTC" not in succeeds("make", KDIR=made, cwd=tree)
        change(made / "Module.symvers", r"\Z", "0x00000000\tnone\tvmlinux\tEXPORT_SYMBOL\t\n")
        os.utime(made / "Module.symvers", (0, 0))
        output = succeeds("make", KDIR=made, cwd=tree)
        assert "another build than before" in output and module.stat().st_mtime > first, output


# Where the tree is


@case
def path_with_a_space():
    with scratch() as folder:
        tree = Path(folder) / "my tree"
        shutil.copytree(TOP / "scripts", tree / "scripts")
        shutil.copy(TOP / "Makefile", tree)
        refuses("make", cwd=tree, why="space or a colon", what="move the tree")
        refuses("make", why="space or a colon", what="XDG_CACHE_HOME",
                XDG_CACHE_HOME=Path(folder) / "my cache")
        made = Path(folder) / "my kernel"
        made.mkdir()
        refuses("make", KDIR=made, why="space or a colon", what="move")


# make install


class Machine:
    """A machine to install on: what it has below /lib/modules, /boot and /sys/module,
    and a /usr that forgets what is written. Its kernel is the one that modules were
    built for, but for what uname says, which is asked as any program."""

    def __init__(self, folder):
        folder = Path(folder)
        self.tree = copy_of_the_tree(folder / "tree")
        built = Path(succeeds("scripts/modules", "--show", KERNEL=KERNEL).splitlines()[-1])
        self.release = built.name
        self.build = self.tree / "build" / self.release
        shutil.copytree(built / "install", self.build / "install")
        shutil.copy(built / ".kernel", self.build)
        (self.tree / "build" / KERNEL).symlink_to(self.release)
        self.modules = folder / "modules"
        self.own = self.modules / self.release
        shutil.copytree(kernel_tree("root", KERNEL) / "usr/lib/modules" / self.release,
                        self.own, symlinks=True, ignore=self.all_but_vfio)
        self.boot = folder / "boot"
        self.sys = folder / "sys"
        self.bin = folder / "bin"
        for new in (self.boot, self.sys, self.bin):
            new.mkdir()
        self.program("uname", "#!/bin/sh\n"
                     "case $1 in -v) echo other ;; *) echo other-amd64 ;; esac\n")
        self.run("depmod", self.release)

    @staticmethod
    def all_but_vfio(folder, names):
        if folder.endswith("/kernel"):
            return {*names} - {"drivers", "virt"}
        if folder.endswith("/kernel/drivers"):
            return {*names} - {"vfio"}
        return {"build", "source", "vmlinuz.unsigned"} & {*names}

    def program(self, name, text):
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def runs(self, version=None):
        """It runs the kernel that modules were built for, or another build of it."""
        version = version or (self.build / ".kernel").read_text().splitlines()[1]
        self.program("uname", "#!/bin/sh\n"
                     f"case $1 in -v) echo '{version}' ;; *) echo '{self.release}' ;; esac\n")

    def initramfs(self, lister, holds):
        (self.boot / f"initrd.img-{self.release}").write_text("")
        # Long, so that who does not read to the end breaks the pipe.
        self.program(lister, f"#!/bin/sh\necho usr/lib/modules/{self.release}/kernel/{holds}\n"
                     "seq 100000\n")

    def command(self, *command, user=0):
        return ["bwrap", "--unshare-user", "--uid", str(user), "--gid", str(user),
                "--dev-bind", "/", "/", "--overlay-src", "/usr", "--tmp-overlay", "/usr",
                "--bind", self.modules, "/usr/lib/modules", "--bind", self.boot, "/boot",
                "--bind", self.sys, "/sys/module", "--chdir", self.tree,
                "--setenv", "PATH", f"{self.bin}:{os.environ['PATH']}", *command]

    def run(self, *command, **environment):
        return succeeds(*self.command(*command), **environment)

    def refuses(self, *command, user=0, **more):
        return refuses(*self.command(*command, user=user), **more)

    def files(self):
        """All but what depmod writes, with what is in them."""
        return {str(file.relative_to(self.modules)): file.read_bytes()
                for file in self.modules.rglob("*")
                if file.is_file() and not file.name.startswith("modules.")}

    def taken(self):
        """The files that modprobe would insert for type1."""
        output = self.run("modprobe", "-S", self.release, "--show-depends", "vfio_iommu_type1")
        return [line.split()[1].partition(f"/{self.release}/")[2]
                for line in output.splitlines() if "type1" in line or "pasid" in line]


OURS = ["updates/vfio_pasid.ko.xz", "updates/vfio_iommu_type1.ko.xz"]
STOCK = ["kernel/drivers/vfio/vfio_iommu_type1.ko.xz"]


@case
def installed_and_removed():
    with scratch() as folder:
        machine = Machine(folder)
        before = machine.files()
        assert machine.taken() == STOCK, machine.taken()
        machine.run("make", "install", KERNEL=KERNEL)
        machine.run("make", "install", KERNEL=KERNEL)
        assert machine.taken() == OURS, machine.taken()
        for name in OURS:
            file = machine.own / name
            assert file.stat().st_size < 300_000, f"{name} has {file.stat().st_size} bytes"
            said = machine.run("modinfo", "-F", "version", file).strip()
            assert said == (TOP / "VERSION").read_text().strip(), f"{name} is version {said}"
        # What an older vfio-pasid had installed.
        (machine.own / "updates/vfio_pasid.ko").write_text("")
        machine.run("make", "install", KERNEL=KERNEL)
        assert machine.taken() == OURS, machine.taken()
        machine.run("make", "uninstall")
        assert machine.files() == before and machine.taken() == STOCK
        assert "nothing of vfio-pasid" in machine.run("make", "uninstall")


@case
def removed_from_the_kernels_that_are_named():
    with scratch() as folder:
        machine = Machine(folder)
        shutil.copytree(machine.own, machine.modules / "7.2.99-amd64", symlinks=True)
        (machine.modules / "7.2.99-amd64/updates").mkdir()
        other = machine.modules / "7.2.99-amd64/updates/vfio_pasid.ko.xz"
        other.write_text("")
        machine.run("make", "install", KERNEL=KERNEL)
        for name, left in (("9.9", OURS), (machine.release[:3] + ".", OURS),
                           (machine.release, STOCK)):
            machine.run("make", "uninstall", f"KERNEL={name}")
            assert machine.taken() == left and other.exists(), name
        machine.run("make", "uninstall", "KERNEL=7.2")
        assert not other.exists()


@case
def initramfs_that_holds_vfio_is_made_anew():
    with scratch() as folder:
        machine = Machine(folder)
        log = Path(folder) / "log"
        machine.program("update-initramfs", f'#!/bin/sh\necho "$@" >>{log}\n')
        machine.initramfs("lsinitramfs", "drivers/net/e1000.ko.xz")
        machine.run("make", "install", KERNEL=KERNEL)
        assert not log.exists()
        for target in ("install", "uninstall"):
            machine.initramfs("lsinitramfs", "drivers/vfio/vfio_iommu_type1.ko.xz")
            output = machine.run("make", target, KERNEL=KERNEL)
            assert "VFIO is in /boot/initrd.img" in output, output
            assert log.read_text() == f"-u -k {machine.release}\n", log.read_text()
            log.unlink()
        machine.program("update-initramfs", "#!/bin/sh\nexit 1\n")
        machine.refuses("make", "install", KERNEL=KERNEL, why="update-initramfs .* failed",
                        what="the next boot takes the type1 that is in")


@case
def initramfs_of_others_is_told_about():
    with scratch() as folder:
        machine = Machine(folder)
        machine.initramfs("lsinitrd", "drivers/vfio/vfio.ko.xz")
        output = machine.run("make", "install", KERNEL=KERNEL)
        assert f"dracut --force --kver {machine.release}" in output, output
        (machine.bin / "lsinitrd").unlink()
        output = machine.run("make", "install", KERNEL=KERNEL)
        assert "make that anew, or the next boot takes" in output, output


@case
def what_is_loaded_is_told_about():
    with scratch() as folder:
        machine = Machine(folder)
        machine.runs()

        def says(text, target="install"):
            output = machine.run("make", target, KERNEL=KERNEL)
            assert text in output, output
            return output

        says("to load it: modprobe")
        (machine.sys / "vfio_iommu_type1").mkdir()
        says("the kernel's own type1 is loaded, and stays")
        (machine.sys / "vfio_pasid/holders/vfio_iommu_type1").mkdir(parents=True)
        (machine.sys / "vfio_pasid/srcversion").write_text("123\n")
        says("an older vfio_pasid is loaded, and stays")
        now = machine.run("modinfo", "-F", "srcversion", machine.own / OURS[0])
        (machine.sys / "vfio_pasid/srcversion").write_text(now)
        assert "stays" not in says("installed in")
        says("vfio_pasid is loaded, and stays", "uninstall")


@case
def not_what_was_built_for_another_build():
    with scratch() as folder:
        machine = Machine(folder)
        machine.runs("#2 SMP another")
        machine.refuses("make", "install", KERNEL=KERNEL, why="is another build than",
                        what=f"kernel-tree --update {re.escape(machine.release)}")
        assert machine.taken() == STOCK
        machine.run("make", "install", KERNEL=KERNEL, INSTALL_MOD_PATH=Path(folder) / "other")
        made = own_tree(Path(folder))
        machine.program("uname", "#!/bin/sh\necho other\n")
        machine.run("make", "install", KDIR=made)
        change(made / "Module.symvers", r"\Z", "0x00000000\tnone\tvmlinux\tEXPORT_SYMBOL\t\n")
        machine.refuses("make", "install", KDIR=made, why="built again after the modules",
                        what="make KDIR=")


@case
def what_was_built_last_of_two_flavours():
    with scratch() as folder:
        machine = Machine(folder)
        shutil.copytree(machine.build, machine.build.parent / f"{KERNEL}.99-rt-amd64")
        machine.run("make", "install", KERNEL=KERNEL)
        assert machine.taken() == OURS
        machine.refuses("make", "install", KERNEL="7.9", why="nothing is built for '7.9'",
                        what=r"make KERNEL=7.9 builds it[\s\S]*99-rt-amd64")


@case
def kernel_that_is_not_on_the_machine():
    with scratch() as folder:
        machine = Machine(folder)
        shutil.rmtree(machine.own)
        machine.refuses("make", "install", KERNEL=KERNEL, why="is not installed on this machine",
                        what="INSTALL_MOD_PATH")


@case
def for_another_machine():
    """No files of depmod: they are made where the kernel is."""
    with scratch() as folder:
        machine = Machine(folder)
        target = Path(folder) / "other"
        machine.run("make", "install", KERNEL=KERNEL, INSTALL_MOD_PATH=target)
        found = sorted(str(file.relative_to(target))
                       for file in target.rglob("*") if file.is_file())
        assert found == sorted(f"lib/modules/{machine.release}/{name}" for name in OURS), found
        assert machine.taken() == STOCK
        machine.run("make", "uninstall", INSTALL_MOD_PATH=target)
        assert not [file for file in target.rglob("*") if file.is_file()]


@case
def without_being_root():
    with scratch() as folder:
        machine = Machine(folder)
        machine.own.chmod(0o555)
        machine.refuses("make", "install", user=1000, KERNEL=KERNEL, why="not yours to write",
                        what="as root: sudo make install")
        machine.own.chmod(0o755)


@case
def beside_the_package():
    with scratch() as folder:
        machine = Machine(folder)
        (machine.own / "updates/dkms").mkdir(parents=True)
        (machine.own / "updates/dkms/vfio_pasid.ko.xz").write_text("")
        machine.refuses("make", "install", KERNEL=KERNEL, why="vfio-pasid-dkms has its modules",
                        what="apt-get remove vfio-pasid-dkms")


@case
def headers_installed_and_removed():
    with scratch() as folder:
        machine = Machine(folder)
        (machine.tree / "program.c").write_text(
            "#include <linux/vfio_pasid.h>\n"
            "int main(void) { return VFIO_IOMMU_PASID_REQUEST == 0; }\n")
        output = machine.run("sh", "-ec", """
            ! pkg-config --exists vfio-pasid
            make headers_install
            cc -Wall -Werror $(pkg-config --cflags vfio-pasid) -o program program.c && ./program
            pkg-config --modversion vfio-pasid
            make uninstall
            ! pkg-config --exists vfio-pasid
            find /usr/local -type f""")
        version = (TOP / "VERSION").read_text().strip()
        assert f"\n{version}\n" in output and output.rstrip().endswith("include/vfio-pasid"), output
        machine.run("make", "headers_install", DESTDIR=Path(folder) / "stage", PREFIX="/usr")
        assert (Path(folder) / "stage/usr/include/vfio-pasid/linux/vfio_pasid.h").exists()
        pc = (Path(folder) / "stage/usr/lib/pkgconfig/vfio-pasid.pc").read_text()
        assert "prefix=/usr\n" in pc, pc


# In a guest


def guest(folder, *options, command):
    """Installs for a guest, and runs the command there."""
    machine = Machine(folder)
    payload = Path(folder) / "payload"
    machine.run("make", "install", KERNEL=KERNEL, INSTALL_MOD_PATH=payload)
    return succeeds("scripts/guest", *options, "--payload", payload, "--", "sh", "-c", command,
                    KERNEL=KERNEL)


@case
def modprobe_takes_what_was_installed():
    with scratch() as folder:
        output = guest(folder, command="modprobe vfio_iommu_type1; "
                       "ls /sys/module/vfio_pasid/holders; "
                       "cat /sys/module/vfio_iommu_type1/version")
        version = (TOP / "VERSION").read_text().strip()
        assert output.split()[-2:] == ["vfio_iommu_type1", version], output


@case
def locked_down_kernel_says_what_the_guide_says():
    with scratch() as folder:
        output = guest(folder, "--append", "lockdown=integrity",
                       command="modprobe vfio_iommu_type1 2>&1; dmesg | grep Lockdown: | tail -n 1")
        said = re.search(r"Lockdown: \w+: (.*); see", output)
        assert "Operation not permitted" in output and said, output
        guide = (TOP / "Documentation/user-guide.rst").read_text()
        assert said[1] in guide, f"the guide does not say what to do about: {said[1]}"
