# SPDX-License-Identifier: GPL-2.0-only
# The unit tests inside vfio_pasid, which the stock kernel leaves out. No device,
# but VFIO, whose symbols vfio_pasid needs.
kernel debug
guest --append kunit.autorun=1
vfio
run kunit
