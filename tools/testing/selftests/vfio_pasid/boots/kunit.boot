# SPDX-License-Identifier: GPL-2.0-only
# The unit tests inside vfio_pasid, which the stock kernel leaves out.
kernel debug
guest --append kunit.autorun=1
run kunit
