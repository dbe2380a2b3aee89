# SPDX-License-Identifier: GPL-2.0-only
"""What the checks make of programs, guests and boots, without any of these."""
