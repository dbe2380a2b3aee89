# SPDX-License-Identifier: GPL-2.0-only
# The proof that the debug kernel reports bugs.
kernel debug
guest --append "kasan_multi_shot kunit.autorun=1"
allow .
run planted
