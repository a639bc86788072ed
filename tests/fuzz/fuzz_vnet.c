/* SPDX-License-Identifier: ISC */
/* Any virtio header before any packet: the accepted values must be consistent, and nothing is read beyond the end. */
#include <stdlib.h>
#include <string.h>

#include "daemon/path/vnet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t again[VNET_HEADER_SIZE];
	struct nat_packet p = {0};
	uint8_t *copy;

	if (size < VNET_HEADER_SIZE || size > VNET_HEADER_SIZE + 65535)
		return 0;
	p.len = (uint32_t)(size - VNET_HEADER_SIZE);
	copy = malloc(p.len ? p.len : 1); /* exact: the packet may be changed */
	if (!copy)
		return 0;
	memcpy(copy, data + VNET_HEADER_SIZE, p.len);
	p.data = copy;
	if (vnet_decode(data, &p)) {
		if (p.gso_size && !p.csum_partial)
			abort();
		if (!vnet_encode(&p, again))
			abort();
		if (!p.gso_size && p.csum_partial && !vnet_finish_checksum(p.data, p.len))
			abort();
	}
	free(copy);
	return 0;
}
