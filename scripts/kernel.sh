# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What a kernel's headers tell about it, and whether Rust modules can be built for it
# here. Sourced, not run; of use without the rest of this tree.

# config_text NAME CONFIG: the value of a symbol that is a string.
config_text() {
	sed -n "s/^CONFIG_$1=\"\(.*\)\"$/\1/p" "$2"
}

# The first word of CC_VERSION_TEXT, x86_64-linux-gnu-gcc-14, is the command.
kernel_compiler() {
	config_text CC_VERSION_TEXT "$1" | cut -d' ' -f1
}

# What `uname -r` says in the kernel of a build tree.
kernel_release() {
	cat "$1/include/config/kernel.release" 2>/dev/null ||
		sed -n 's/^#define UTS_RELEASE "\(.*\)"$/\1/p' "$1/include/generated/utsrelease.h" 2>/dev/null |
		grep .
}

# What `uname -v` says there, or nothing if it was only prepared.
kernel_version() {
	sed -n 's/^#define UTS_VERSION "\(.*\)"$/\1/p' "$1/include/generated/utsversion.h" \
		2>/dev/null || true
}

# What tells the kernels of one release from one another.
kernel_identity() {
	(cd "$1" && cat .config Module.symvers include/generated/utsversion.h rust/libkernel.rmeta \
		2>/dev/null || true) | sha256sum | cut -d' ' -f1
}

# The series that the modules were written for and are tested with. A kernel that
# was not tested is never built for: what shim/type1.c wraps may have changed.
tested_series() {
	case $1 in
	7.[23] | 7.[23][.+-]*) return 0 ;;
	*) return 1 ;;
	esac
}

# config_fits RELEASE CONFIG: fails, with a line of reason and one of what to do, if
# the modules cannot work in such a kernel whatever builds them.
config_fits() {
	local symbol
	if ! grep -q '^CONFIG_RUST=y' "$2"; then
		echo "$1 was built without CONFIG_RUST, so it takes no Rust modules"
		echo "Debian's kernels have it from 7.2 on: KERNEL=7.3"
		return 1
	fi
	for symbol in VFIO_CONTAINER VFIO_GROUP; do
		grep -q "^CONFIG_$symbol=y" "$2" || {
			echo "$1 was built without CONFIG_$symbol, so it has no VFIO containers"
			echo "take a kernel that has it, such as Debian's"
			return 1
		}
	done
	if ! grep -q '^CONFIG_VFIO_IOMMU_TYPE1=m' "$2"; then
		echo "$1 does not have type1 as a module (CONFIG_VFIO_IOMMU_TYPE1=m), so it cannot be replaced"
		echo "take a kernel that has it, such as Debian's"
		return 1
	fi
}

# compilers_fit RELEASE CONFIG: the same if the compilers of this machine are others
# than the kernel's. Names of symbols and the format of metadata hang on rustc, and
# what the kernel's headers ask of it on gcc.
compilers_fit() {
	local wanted found
	wanted=$(config_text RUSTC_VERSION_TEXT "$2")
	found=$(rustc --version 2>/dev/null) || found='no rustc'
	if [ "$wanted" != "$found" ]; then
		echo "$1 was built with $wanted, and here is $found"
		echo "install that rustc, and rust-src and bindgen with it"
		return 1
	fi
	wanted=$(config_text CC_VERSION_TEXT "$2")
	found=$("$(kernel_compiler "$2")" --version 2>/dev/null | head -n 1) || found=
	if [ "$wanted" != "$found" ]; then
		echo "$1 was built with $wanted, and here is ${found:-no $(kernel_compiler "$2")}"
		echo "install that compiler"
		return 1
	fi
}

# Reads to the end, as who lists would else fail.
holds_vfio() {
	grep '/vfio[^/]*\.ko' >/dev/null
}

# renew_initramfs RELEASE: if VFIO is in it, as a boot would take the type1 that is there.
# Who sources this has say and die.
renew_initramfs() {
	local image=/boot/initrd.img-$1
	[ -e "$image" ] || image=/boot/initramfs-$1.img
	[ -e "$image" ] || return 0
	if command -v lsinitramfs >/dev/null && command -v update-initramfs >/dev/null; then
		if lsinitramfs "$image" | holds_vfio; then
			say "VFIO is in $image: making it anew"
			update-initramfs -u -k "$1" >&2 || die "update-initramfs -u -k $1 failed" \
				"until it succeeds, the next boot takes the type1 that is in $image"
		fi
	elif command -v lsinitrd >/dev/null; then
		if lsinitrd "$image" | holds_vfio; then
			say "VFIO is in $image, which dracut made: dracut --force --kver $1 makes it anew"
		fi
	else
		say "if VFIO is in $image, make that anew, or the next boot takes the type1 that is there"
	fi
}
