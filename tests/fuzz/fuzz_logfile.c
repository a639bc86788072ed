/* SPDX-License-Identifier: ISC */
/* The reader of the translation log: any text. Its results are well formed, and found again. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "ctl/logfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const struct ctl_who q = {.outside = {0xcb007101, 28783}};
	const uint64_t at_us = 1796018592ull * 1000000;
	struct logfile *l = logfile_create(&q);
	size_t n, again;
	const struct logfile_holding *h;

	if (!l)
		return 0;
	logfile_scan(l, (const char *)data, len);
	h = logfile_holders(l, at_us, &n);
	for (size_t i = 0; i < n; i++) {
		if (h[i].since_us / 1000000 > at_us / 1000000 || (h[i].until_us != 0 && h[i].until_us < at_us))
			abort();
		if (h[i].protocol == 0 && (h[i].first > q.outside.port || h[i].last < q.outside.port))
			abort();
	}
	logfile_holders(l, at_us, &again);
	if (again != n || logfile_begin(l) > logfile_end(l))
		abort();
	logfile_gap_at(l, at_us);
	logfile_destroy(l);
	return 0;
}
