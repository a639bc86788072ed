/* SPDX-License-Identifier: ISC */
/* The query of a request to natd-web: the first byte says what the path takes, the second splits query and Accept
 * header. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "web/http.h"
#include "web/metrics.h"
#include "web/params.h"
#include "web/web.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct params p;
	char *text;

	if (size < 1)
		return 0;
	text = malloc(size);
	if (!text)
		return 0;
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	if (params_parse(&p, text, data[0] & 31) && (p.limit > WEB_LIMIT_MAX || p.hosts > WEB_HOSTS_MAX))
		abort();
	(void)metrics_wants_openmetrics(text);
	(void)http_host_is_ours(text);
	free(text);
	return 0;
}
