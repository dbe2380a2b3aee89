# SPDX-License-Identifier: GPL-2.0-only
# The recipes of Documentation/observability.rst. The tools are larger than all else
# that guests have: LLVM alone, which bpftrace loads, is 130 MB.
kernel long
guest --memory 3G
guest --pasid-device 'id=wide,addr=10.0'
vfio 0000:00:10.0
bring vfio-pasid
bring /usr/bin/bpftrace /usr/bin/trace-cmd
# drgn, and Python with what it imports.
bring /usr/bin/drgn /usr/bin/python3 /usr/lib/python3.*
bring /usr/lib/python3/dist-packages/*drgn*
run observability
