/* SPDX-License-Identifier: ISC */
/* Serves the built-in files. */
#include "assets.h"

#include <event2/buffer.h>
#include <event2/http.h>
#include <string.h>

#include "clients.h"
#include "http.h"

bool assets_answer(struct web *web, struct evhttp_request *req, const char *path)
{
	for (size_t i = 0; i < n_assets; i++) {
		struct client *c;
		struct evbuffer *body;

		if (strcmp(assets[i].path, path) != 0)
			continue;
		body = evbuffer_new();
		if (body)
			evbuffer_add_reference(body, assets[i].data, assets[i].len, NULL, NULL);
		c = clients_request(web, req, NULL, NULL);
		if (c)
			clients_answered(c, req);
		http_send(web, req, HTTP_OK, assets[i].content_type, body);
		if (body)
			evbuffer_free(body);
		return true;
	}
	return false;
}
