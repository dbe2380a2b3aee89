# SPDX-License-Identifier: GPL-2.0-only
#
# What `make help` lists. The work is done by the scripts in scripts/, each of
# which is useful alone; what kbuild reads is Kbuild.

export KERNEL KDIR SUITE INSTALL_MOD_PATH PREFIX DESTDIR ACCEL T V

.DEFAULT_GOAL := modules

help: ## this list
	@echo 'Targets:'
	@sed -n 's/^\([a-z_-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18
	@echo 'Variables:'
	@echo '  KERNEL=...    Debian kernel, a release or a series (scripts/kernels.list)'
	@echo '  SUITE=sid     Debian release of kernel and compilers (trixie)'
	@echo '  PROGRAM=...   run: a program in C instead, such as examples/first_dma.c'
	@echo '  KDIR=...      a kernel build tree of your own, built with the tools of this machine'
	@echo '  T=pattern     check: only the cases that match this extended regular expression'
	@echo '  ACCEL=...     kvm or tcg for guests (default: KVM if it works)'
	@echo '  V=1           show the commands of the build'
	@echo '  INSTALL_MOD_PATH=...  install, uninstall: below this folder, without depmod'
	@echo '  PREFIX=..., DESTDIR=...  headers_install: instead of /usr/local, and below this folder'

modules: ## build both modules, in build/<release> (default)
	@scripts/modules

all: modules

install: ## put the modules into /lib/modules/<release>/updates, as root
	@scripts/install

headers_install: ## put the uapi header below /usr/local/include/vfio-pasid, as root
	@scripts/install --headers

# Of all kernels, unless one is named.
uninstall: ## remove what install and headers_install have put there, as root
	@scripts/install --uninstall

tool: ## build the program vfio-pasid, in build/vfio-pasid
	@scripts/tool

run: ## boot the modules in QEMU and show what they do, or run PROGRAM there
	@scripts/run $(PROGRAM)

check: ## run lints, builds, and tests in guests
	@scripts/check

check-debug: ## run the tests again, in a kernel that looks for bugs (KASAN, lockdep, ...)
	@scripts/check --debug

check-long: ## tests that take minutes: modules 1,000 times, long fuzzing
	@scripts/check --long

check-mutants: ## plant bugs, and see that the tests find them
	@scripts/check-mutants

dist: ## make tarballs of the source, in build/dist
	@scripts/deb --dist

deb: ## make Debian packages, in build/deb
	@scripts/deb

check-packages: ## test the Debian packages: install, boot, upgrade, purge
	@scripts/check-packages

check-kernels: ## run make check with each kernel, and write the table of README
	@scripts/check-kernels

check-all: ## run all of these, one after another, and print the sum
	@scripts/check-all

bench: ## count what it costs, compared with others
	@scripts/bench

bench-publish: ## the same, and write Documentation/performance.rst
	@scripts/bench --publish

docs: ## make HTML of the pages, kernel-doc and rustdoc, in build/docs/html
	@scripts/docs

readme: ## put what vfio-pasid says in a guest into README.md
	@scripts/readme

update: ## renew the build root and the kernel trees, with today's packages
	@scripts/sandbox --update
	@sed -n 's/^$(or $(SUITE),trixie) //p' scripts/kernels.list | xargs -n 1 scripts/kernel-tree --update

clean: ## remove what was built
	rm -rf build

clean-cache: ## remove build root, kernel trees and everything else that can be made again
	@scripts/clean-cache

fuzz: ## fuzz the test device and the witness, for a minute each
	@scripts/fuzz

.PHONY: all bench bench-publish check check-all check-debug check-kernels check-long check-mutants check-packages clean clean-cache deb dist docs fuzz help headers_install install modules readme run tool uninstall update
