/* SPDX-License-Identifier: ISC */
/* Fuzz target: answers of STUN servers. Input: twelve bytes, the id of the request, and the datagram. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/stun.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct stun_answer a;
	uint8_t *datagram;

	if (size < STUN_ID || size > 2000)
		return 0;
	datagram = malloc(size - STUN_ID + 1);
	if (!datagram)
		return 0;
	memcpy(datagram, data + STUN_ID, size - STUN_ID);
	stun_read(&a, datagram, size - STUN_ID, data);
	if (a.kind != STUN_NOT && memcmp(datagram + 8, data, STUN_ID) != 0)
		abort();
	if (a.kind == STUN_ERROR && (a.code < 300 || a.code > 699))
		abort();
	stun_is_request(datagram, size - STUN_ID);
	free(datagram);
	return 0;
}
