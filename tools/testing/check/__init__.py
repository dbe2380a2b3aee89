# SPDX-License-Identifier: GPL-2.0-only
"""What scripts/check does; see its --help."""
