// SPDX-License-Identifier: GPL-2.0-only
/* See conventions.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <kselftest.h>

#include "conventions.h"

bool answers(int container, const struct ioctl *ioctl, void *argument,
	     long expected)
{
	return is_value(ioctl->name,
			call(container, ioctl->request, argument), expected);
}

bool all_answer(int container, struct ioctl *ioctls, int count, long expected)
{
	for (int i = 0; i < count; i++)
		if (!answers(container, &ioctls[i], &ioctls[i].argument,
			     expected))
			return false;
	return true;
}

void *read_only(const struct ioctl *ioctl)
{
	return read_only_copy(&ioctl->argument, ioctl->argument.argsz);
}

bool all_follow(int container, const struct ioctl *ioctls, int count,
		bool (*follows)(int container, const struct ioctl *ioctl))
{
	for (int i = 0; i < count; i++)
		if (!follows(container, &ioctls[i]))
			return false;
	return true;
}

static bool refuses(int container, const struct ioctl *ioctl,
		    const union argument *bad)
{
	union argument argument = *bad;

	if (answers(container, ioctl, &argument, -EINVAL) &&
	    !memcmp(&argument, bad, sizeof(argument)))
		return true;
	printf("# %s: not refused, or changed: argsz %u, flags %#x\n",
	       ioctl->name, bad->argsz, bad->flags);
	return false;
}

bool refuses_short_argsz(int container, const struct ioctl *ioctl)
{
	union argument bad = ioctl->argument;

	for (bad.argsz = 0; bad.argsz < ioctl->argument.argsz; bad.argsz++)
		if (!refuses(container, ioctl, &bad))
			return false;
	return true;
}

/* With what the good one has, and with all that exist. */
bool refuses_unknown_flags(int container, const struct ioctl *ioctl)
{
	const u32 others[] = { ioctl->argument.flags, ioctl->flags };
	union argument bad = ioctl->argument;

	for (int bit = 0; bit < 32; bit++) {
		if (ioctl->flags & 1u << bit)
			continue;
		for (int i = 0; i < 2; i++) {
			bad.flags = others[i] | 1u << bit;
			if (!refuses(container, ioctl, &bad))
				return false;
		}
	}
	return true;
}

bool refuses_reserved_field(int container, const struct ioctl *ioctl)
{
	if (!ioctl->reserved)
		return true;
	for (int bit = 0; bit < 32; bit++) {
		union argument bad = ioctl->argument;
		u32 value = 1u << bit;

		memcpy(bad.bytes + ioctl->reserved, &value, sizeof(value));
		if (!refuses(container, ioctl, &bad))
			return false;
	}
	return true;
}

bool refuses_bad_pointers(int container, const struct ioctl *ioctl)
{
	/* Nothing, the kernel's memory, and what wraps around. */
	void *const bad[] = {
		NULL, unmapped(), (void *)0xffff888000000000, (void *)-1,
	};
	u8 *edge = before_hole(0);

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (!answers(container, ioctl, bad[i], -EFAULT))
			return false;
	for (size_t there = 0; there < ioctl->argument.argsz; there++) {
		memcpy(edge - there, &ioctl->argument, there);
		if (!answers(container, ioctl, edge - there, -EFAULT))
			return false;
	}
	return true;
}

struct foreign {
	int container;
	const struct ioctl *ioctl;
};

static long call_from_there(void *arg)
{
	const struct foreign *foreign = arg;
	union argument argument = foreign->ioctl->argument;
	long ret = call(foreign->container, foreign->ioctl->request, &argument);

	/* Before anything else is looked at. */
	if (ret == -EPERM)
		ret = call(foreign->container, foreign->ioctl->request, NULL);
	return ret;
}

bool refuses_another_process(int container, const struct ioctl *ioctl)
{
	struct foreign foreign = { container, ioctl };

	return is_value(ioctl->name, in_child(call_from_there, &foreign),
			-EPERM);
}

bool takes_larger_argsz(int container, const struct ioctl *ioctl)
{
	const size_t size = ioctl->argument.argsz;
	const size_t same = ioctl->results ?: size;
	u8 larger[sizeof(union argument) + 8], before[sizeof(larger)];
	union argument argument = ioctl->argument;

	argument.argsz += 8;
	memset(before, 0x5a, sizeof(before));
	memcpy(before, &argument, size);
	memcpy(larger, before, sizeof(larger));
	if (!answers(container, ioctl, larger, 0))
		return false;
	if (!memcmp(larger, before, same) &&
	    !memcmp(larger + size, before + size, sizeof(larger) - size))
		return true;
	printf("# %s: it has written more than results\n", ioctl->name);
	return false;
}
