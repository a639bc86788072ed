/* SPDX-License-Identifier: ISC */
/* The page and its parts, which are built into the program. */
#ifndef NATD_WEB_ASSETS_H
#define NATD_WEB_ASSETS_H

#include <stdbool.h>
#include <stddef.h>

struct evhttp_request;
struct web;

/* Made by embed.sh from src/web/page. */
struct asset {
	const char *path;
	const char *content_type;
	const unsigned char *data;
	size_t len;
};
extern const struct asset assets[];
extern const size_t n_assets;

/* False: there is none of that path, and nothing was done. */
bool assets_answer(struct web *web, struct evhttp_request *req, const char *path);

#endif
