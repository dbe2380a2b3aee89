#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Usage: steps.sh ROOT FOLDER
#
# What an administrator does on a clean Debian 13, in ROOT, one step after another,
# with the packages that are in FOLDER/packages. Run by scripts/check-packages as the
# last hook of mmdebstrap. What each step had to say goes to FOLDER/NAME.log, facts for
# that script to judge to FOLDER/facts, and machines to boot to FOLDER/NAME.ext4,
# NAME.vmlinuz and NAME.initrd.
#
# shellcheck disable=SC2317,SC2329 # step calls them
set -uo pipefail

PATH=$PATH:/usr/sbin:/sbin
root=$1
folder=$2
top=$(cd "$(dirname "$0")/../../.." && pwd)

in_root() {
	chroot "$root" env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 "$@" </dev/null
}

apt() {
	in_root apt-get -y -q -o Dpkg::Use-Pty=0 -o DPkg::Options::=--force-unsafe-io --no-install-recommends "$@"
}

# step NAME COMMAND...: its output goes to a log, its exit status is a fact.
step() {
	local name=$1 status=0 start=$SECONDS
	shift
	"$@" >"$folder/$name.log" 2>&1 || status=$?
	fact "$name" "$status"
	echo "$name: exit status $status after $((SECONDS - start)) s"
}

# fact NAME TEXT: one line.
fact() {
	printf '%s\t%s\n' "$1" "${2//$'\n'/ }" >>"$folder/facts"
}

# The newest release of a series.
newest() {
	in_root apt-cache search --names-only "^linux-image-${1//./\\.}\.[0-9]+[^ ]*-amd64$" |
		sed -n 's/^linux-image-\([^ ]*\) .*/\1/p' | grep -Ev -e '-(cloud|rt)-amd64$' |
		sort -V | tail -n 1
}

type1_of() {
	find "$root/usr/lib/modules/$1" -name 'vfio_iommu_type1.ko*' -printf '%P '
}

stock_sum() {
	sha256sum <"$root/usr/lib/modules/$1/kernel/drivers/vfio/vfio_iommu_type1.ko.xz"
}

# vfio_of_initramfs RELEASE: where the type1 in it is from.
in_initramfs() {
	in_root lsinitramfs "/boot/initrd.img-$1" | grep -o '[a-z/]*/vfio_iommu_type1.*' || echo none
}

# machine NAME RELEASE: what would boot now, without what only builds need. In a mount
# namespace of its own, so that nothing stays mounted.
machine() {
	cp "$root/boot/vmlinuz-$2" "$folder/$1.vmlinuz"
	cp "$root/boot/initrd.img-$2" "$folder/$1.initrd"
	mkdir -p "$folder/mount"
	rm -f "$folder/$1.ext4"
	truncate -s 6G "$folder/$1.ext4"
	# shellcheck disable=SC2016 # the inner shell's
	unshare --mount --propagation private bash -euc '
		mount --bind "$1" "$2"
		for masked in usr/lib/rustlib usr/lib/gcc usr/share/doc usr/share/locale \
			usr/lib/llvm-19 var/cache var/lib/apt; do
			[ ! -d "$2/$masked" ] || mount -t tmpfs none "$2/$masked"
		done
		mkfs.ext4 -q -E root_owner=0:0 -d "$2" "$3"' \
		bash "$root" "$folder/mount" "$folder/$1.ext4"
}

prepare() {
	install -m 755 "$top/tools/testing/packages/in_guest.sh" "$root/root/in_guest"
	install -m 755 "$top/debian/tests/extension" "$root/root/"
	in_root useradd --create-home --uid 1000 user
	cat >"$root/etc/systemd/system/check.service" <<-UNIT
	[Unit]
	After=multi-user.target vfio-pasid-status.service
	[Service]
	Type=oneshot
	ExecStart=/root/in_guest
	[Install]
	WantedBy=default.target
	UNIT
	in_root systemctl enable check.service
	in_root systemctl set-default multi-user.target
	echo '/dev/vda / ext4 defaults 0 0' >"$root/etc/fstab"
	cp -r "$folder/packages" "$root/root/"
}

# What apt runs when headers are installed, once with a source that does not compile:
# a bug, which must not pass for a kernel that was not tested.
does_not_compile() {
	local source=$root/usr/src/vfio-pasid-$version/shim/type1.c status=0
	cp "$source" "$folder/type1.c"
	in_root dkms uninstall -m vfio-pasid -v "$version" -k "$1"
	in_root dkms unbuild -m vfio-pasid -v "$version" -k "$1"
	echo '#error of a series that is said to be tested' >>"$source"
	in_root run-parts --exit-on-error --arg="$1" /etc/kernel/header_postinst.d || status=$?
	cat "$root/var/lib/dkms/vfio-pasid/$version/build/make.log"
	cp "$folder/type1.c" "$source"
	return "$status"
}

# The tests of the source package, with the packages that it has built; as a user of the
# archive runs them, but for the archive.
run_autopkgtest() {
	apt install autopkgtest
	in_root sh -c 'exec autopkgtest --no-built-binaries --apt-default-release=trixie-backports \
		--test-name=dkms /root/packages/*.deb /root/packages/*.dsc -- null'
}

kernel() {
	local release=$1 series=$2 with=$3 packages
	packages=("linux-image-$release" "linux-headers-$release")
	[ "$with" = alone ] || packages+=("linux-source-$series")
	apt install -t trixie-backports "${packages[@]}"
}

version=$(cat "$top/VERSION")
step prepare prepare
first=$(newest 7.2)
second=$(newest 7.3)
fact releases "$first $second"
step kernel kernel "$first" 7.2 source
fact stock "$(type1_of "$first")"
fact stock-before "$(stock_sum "$first")"

step install apt install /root/packages/vfio-pasid-dkms.deb /root/packages/vfio-pasid-dev.deb \
	/root/packages/vfio-pasid-tools.deb
fact installed "$(type1_of "$first")"
fact signer "$(in_root modinfo -k "$first" -F signer vfio_pasid)"
fact modinfo "$(in_root modinfo -k "$first" -F version vfio_iommu_type1)"
fact initramfs-without "$(in_initramfs "$first")"
step example in_root sh -ec "cc -Wall -Werror -static \$(pkg-config --cflags vfio-pasid) \
	-o /usr/local/bin/first_dma /usr/share/doc/vfio-pasid-dev/examples/first_dma.c"
step test-device in_root pasid-device --version
step program in_root setpriv --reuid=1000 --regid=1000 --clear-groups vfio-pasid --version
cp "$root/usr/bin/pasid-device" "$folder/"
step does-not-compile does_not_compile "$first"
fact installed-broken "$(type1_of "$first")"
step compiles-again in_root run-parts --exit-on-error --arg="$first" /etc/kernel/header_postinst.d
fact installed-again "$(type1_of "$first")"
machine ours "$first"

# Who has it in the initramfs, and only then installs.
step vfio-in-initramfs in_root sh -ec 'printf "vfio\nvfio_iommu_type1\n" >>/etc/initramfs-tools/modules
	update-initramfs -u -k all'

step upgrade kernel "$second" 7.3 alone
fact upgraded "$(type1_of "$second")"
step audit in_root sh -ec 'dpkg --audit; apt-get check'
fact initramfs-of-stock "$(in_initramfs "$second")"
machine untold "$second"

step source apt install -t trixie-backports linux-source-7.3
fact triggered "$(type1_of "$second")"
fact initramfs-of-ours "$(in_initramfs "$second")"
machine renewed "$second"
step autopkgtest run_autopkgtest

step purge apt purge vfio-pasid-dkms vfio-pasid-dev vfio-pasid-tools
fact purged "$(type1_of "$first")$(type1_of "$second")"
fact stock-after "$(stock_sum "$first")"
step verify in_root sh -ec "dpkg -V linux-modules-$first linux-modules-$second"
fact verified "$(cat "$folder/verify.log")"
fact initramfs-after "$(in_initramfs "$first") $(in_initramfs "$second")"
fact left "$(cd "$root" && find etc usr/lib/vfio-pasid usr/src var/cache/vfio-pasid var/lib/dkms/vfio-pasid \
	usr/include/vfio-pasid -name '*vfio-pasid*' 2>/dev/null)"
machine purged "$second"
cp -n "$root"/var/cache/apt/archives/*.deb "$folder/../archives/" 2>/dev/null
exit 0
