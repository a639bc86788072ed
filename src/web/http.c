/* SPDX-License-Identifier: ISC */
/*
 * Dispatch of requests.
 *
 * Nothing served here changes anything, so there are no sessions, cookies or tokens. The remaining risk is a foreign
 * page in an operator's browser that reads our answers. No answer allows other origins. Against DNS rebinding, a server
 * that listens on loopback addresses alone answers only to host names that no foreign page can have: an address, or
 * localhost.
 */
#include "http.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "api.h"
#include "assets.h"
#include "clients.h"
#include "sampler.h"
#include "scrape.h"
#include "task.h"
#include "web.h"

static const struct http_route routes[] = {
	{"/metrics", PARAM_HOSTS, scrape_start},
	{"/api/status", 0, api_status},
	{"/api/stats", 0, api_stats},
	{"/api/pools", PARAM_LIMIT, api_pools},
	{"/api/list", PARAM_LIMIT | PARAM_FILTER, api_list},
	{"/api/hosts", PARAM_LIMIT | PARAM_SORT, api_hosts},
	{"/api/history", PARAM_LIMIT | PARAM_FILTER, api_history},
	{"/api/who", PARAM_ENDPOINT, api_who},
	{"/api/rates", PARAM_SINCE, sampler_answer},
};

static const char policy[] =
	"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

void http_send(struct web *web, struct evhttp_request *req, int status, const char *content_type, struct evbuffer *body)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(req);
	char length[24];

	evhttp_add_header(headers, "Content-Type", content_type);
	evhttp_add_header(headers, "Cache-Control", "no-store");
	evhttp_add_header(headers, "Content-Security-Policy", policy);
	evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
	evhttp_add_header(headers, "Referrer-Policy", "no-referrer");
	evhttp_add_header(headers, "Cross-Origin-Resource-Policy", "same-origin");
	if (status >= 100 && status < 600)
		web->stats.answered[status / 100]++;
	if (evhttp_request_get_command(req) == EVHTTP_REQ_HEAD) {
		snprintf(length, sizeof(length), "%zu", body ? evbuffer_get_length(body) : 0);
		evhttp_add_header(headers, "Content-Length", length);
		body = NULL; /* evhttp would send it */
	}
	evhttp_send_reply(req, status, status == HTTP_STATUS_MISDIRECTED ? "Misdirected Request" : NULL, body);
}

/* ---- acceptable requests ---- */

bool http_host_is_ours(const char *host)
{
	unsigned char address[16];
	char name[64];
	const char *end;
	size_t len;

	if (!host) /* HTTP/1.0: not a browser */
		return true;
	if (host[0] == '[') {
		end = strchr(host, ']');
		len = end ? (size_t)(end - host - 1) : sizeof(name);
		host++;
	} else {
		len = strcspn(host, ":");
	}
	if (len >= sizeof(name))
		return false;
	memcpy(name, host, len);
	name[len] = '\0';
	return strcasecmp(name, "localhost") == 0 || inet_pton(AF_INET, name, address) == 1 ||
	       inet_pton(AF_INET6, name, address) == 1;
}

static void refuse(struct web *web, struct evhttp_request *req, int status, const char *text)
{
	struct task *t = task_create(web, req);

	if (t)
		task_refuse(t, status, text);
}

/* False: the request has been refused. */
static bool is_acceptable(struct web *web, struct evhttp_request *req)
{
	enum evhttp_cmd_type method = evhttp_request_get_command(req);
	const char *host = evhttp_find_header(evhttp_request_get_input_headers(req), "Host");

	if (strlen(evhttp_request_get_uri(req)) > WEB_URI_MAX) {
		refuse(web, req, HTTP_STATUS_URI_TOO_LONG, "the URI is too long");
		return false;
	}
	if (web->is_local && !http_host_is_ours(host)) {
		refuse(web, req, HTTP_STATUS_MISDIRECTED,
		       "natd-web listens on loopback addresses only: use an address or \"localhost\" as host name");
		return false;
	}
	if (method != EVHTTP_REQ_GET && method != EVHTTP_REQ_HEAD) {
		evhttp_add_header(evhttp_request_get_output_headers(req), "Allow", "GET, HEAD");
		refuse(web, req, HTTP_BADMETHOD, "natd-web is read-only: use GET or HEAD");
		return false;
	}
	return true;
}

/* ---- routing ---- */

static void start(struct web *web, struct evhttp_request *req, const struct http_route *route, const char *query)
{
	struct task *t = task_create(web, req);

	if (!t)
		return;
	if (params_parse(&t->params, query, route->takes))
		route->start(t);
	else
		task_refuse(t, HTTP_BADREQUEST, t->params.wrong);
}

static void on_request(struct evhttp_request *req, void *ctx)
{
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
	const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
	struct web *web = ctx;

	if (!path || !*path)
		path = "/";
	if (!is_acceptable(web, req))
		return;
	for (size_t i = 0; i < sizeof(routes) / sizeof(*routes); i++) {
		if (strcmp(path, routes[i].path) == 0) {
			start(web, req, &routes[i], evhttp_uri_get_query(uri));
			return;
		}
	}
	if (!assets_answer(web, req, path))
		refuse(web, req, HTTP_NOTFOUND, "there is no such page: see natd-web(8) for the paths");
}

bool http_open(struct web *web)
{
	web->http = evhttp_new(web->base);
	if (!web->http)
		return false;
	evhttp_set_max_headers_size(web->http, WEB_HEADERS_MAX);
	evhttp_set_max_body_size(web->http, WEB_BODY_MAX);
	evhttp_set_timeout(web->http, WEB_ANSWER_S);
	/* All methods: on_request() refuses with the right status. */
	evhttp_set_allowed_methods(web->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD | EVHTTP_REQ_PUT |
						      EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE |
						      EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH);
	evhttp_set_default_content_type(web->http, NULL);
	evhttp_set_gencb(web->http, on_request, web);
	return clients_open(web);
}

bool http_listen(struct web *web, int fd)
{
	struct evconnlistener *l =
		evconnlistener_new(web->base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);

	if (!l)
		return false;
	if (evhttp_bind_listener(web->http, l))
		return true;
	evconnlistener_free(l);
	return false;
}
