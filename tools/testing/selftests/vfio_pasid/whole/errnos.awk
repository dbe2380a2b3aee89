# SPDX-License-Identifier: GPL-2.0-only
#
# The errors that a uapi header documents, as elements of an array in C:
# { ioctl, errno, only }. The header has ` * struct NAME - IOCTL[, IOCTL]`, below
# it rows ` *   ERRNO  text`, and ` * and of NAME:` above rows for one IOCTL of
# several. Rows above all structures are for every ioctl: "". `only` is FLAG if
# the text begins with `FLAG: `, and else "". If it does, `; OTHER: ` further on in
# the line makes one more row.

function row(ioctl, error, only, text)
{
	printf "\t{ \"%s\", %s, \"%s\" },\n", ioctl, error, only
	rows++
	while (only != "" && match(text, /; [A-Z]+: /)) {
		only = substr(text, RSTART + 2, RLENGTH - 4)
		text = substr(text, RSTART + RLENGTH)
		printf "\t{ \"%s\", %s, \"%s\" },\n", ioctl, error, only
	}
}

/^ \* struct [^ ]+ - / {
	sub(/^ \* struct [^ ]+ - /, "")
	count = split($0, ioctls, /, */)
	part = ""
}

/^ \* and of [A-Z_]+:$/ {
	part = $4
	sub(/:/, "", part)
}

/^ \*   E[A-Z0-9]+ / {
	only = $3 ~ /^[A-Z]+:$/ ? substr($3, 1, length($3) - 1) : ""
	if (!count)
		row("", $2, only, $0)
	before = rows
	for (i = 1; i <= count; i++)
		if (part == "" || ioctls[i] ~ "_" part "(_|$)")
			row(ioctls[i], $2, only, $0)
	if (count && rows == before) {
		print "no ioctl for: " $0 >"/dev/stderr"
		exit 1
	}
}

END {
	if (!rows) {
		print "no errors are documented" >"/dev/stderr"
		exit 1
	}
}
