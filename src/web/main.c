/* SPDX-License-Identifier: ISC */
/* natd-web(8): its sockets, and the functions that beside.h calls; the work itself is behind http.h and sampler.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/http.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "beside/beside.h"
#include "client/json.h"
#include "clients.h"
#include "daemon/base/log.h"
#include "daemon/config/config_text.h"
#include "http.h"
#include "sampler.h"
#include "web.h"

static const char usage[] = "usage: natd-web [-c FILE] [-s SOCKET] [-l ADDRESS:PORT]... [-f] [-V] [-h]\n"
			    "  -c, --config FILE          read FILE instead of " BESIDE_CONFIG "\n"
			    "  -s, --socket SOCKET        natd's control socket, instead of the configured one\n"
			    "  -l, --listen ADDRESS:PORT  listen there, instead of at web.listen; may be repeated\n"
			    "  -f, --foreground           log to stderr\n"
			    "  -V, --version              print the version\n"
			    "  -h, --help                 print this\n";

struct program {
	struct web web;
	struct config_web listen; /* -l */
};

static bool add_listener(void *ctx, const char *text)
{
	struct config_web *listen = &((struct program *)ctx)->listen;
	char why[TEXT_WHY_SIZE];

	if (listen->n_listen == CONFIG_LISTEN_MAX) {
		fprintf(stderr, "natd-web: too many -l: at most %d are possible\n", CONFIG_LISTEN_MAX);
		return false;
	}
	if (text_listener(text, &listen->listen[listen->n_listen], why)) {
		listen->n_listen++;
		return true;
	}
	fprintf(stderr, "natd-web: -l \"%s\" %s\n", text, why);
	return false;
}

/* Without -c, a host may run natd-web without natd.conf. */
static struct natd_config *load(void *ctx, const struct beside_options *o)
{
	(void)ctx;
	if (!o->config && access(BESIDE_CONFIG, F_OK) < 0 && errno == ENOENT)
		return config_defaults();
	return beside_load(o->config ? o->config : BESIDE_CONFIG);
}

/* ---- listening ---- */

static int open_listener(const struct config_listener *l)
{
	const struct sockaddr_in6 sin6 = {.sin6_family = AF_INET6, .sin6_port = htons(l->port)};
	const struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(l->port)};
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} a = {.v6 = sin6};
	const int yes = 1;
	int fd = socket(l->is_ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	memcpy(&a.v6.sin6_addr, l->address, 16);
	if (!l->is_ipv6) {
		a.v4 = sin;
		memcpy(&a.v4.sin_addr, l->address, 4);
	}
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (l->is_ipv6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof(yes));
	if (bind(fd, &a.any, l->is_ipv6 ? sizeof(a.v6) : sizeof(a.v4)) < 0 || listen(fd, SOMAXCONN) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	return fd;
}

/* False: it failed, and that has been logged. */
static bool listen_at(struct web *web, const struct config_listener *l)
{
	char text[TEXT_LISTENER_SIZE];
	int fd = open_listener(l);

	text_of_listener(text, l);
	if (fd < 0) {
		log_write(LEVEL_ERROR, SUB_MAIN, -fd,
			  "cannot listen at %s: choose another address with web.listen or -l, or free this one", text);
		return false;
	}
	if (!http_listen(web, fd)) {
		close(fd);
		log_error(SUB_MAIN, "short of memory");
		return false;
	}
	if (!config_listener_is_loopback(l)) {
		web->is_local = false;
		log_notice(SUB_MAIN, "listening at %s: anyone who reaches this address can read the page", text);
	} else {
		log_info(SUB_MAIN, "listening at %s", text);
	}
	return true;
}

/* Sockets from the service manager come first; their unit decides who can reach them. */
static bool listen_all(struct web *web, const struct config_web *wanted)
{
	int passed[CONFIG_LISTEN_MAX];
	size_t n = program_listeners(passed, CONFIG_LISTEN_MAX);

	web->is_local = n == 0;
	for (size_t i = 0; i < n; i++) {
		if (!http_listen(web, passed[i]))
			return false;
	}
	if (n > 0) {
		log_notice(SUB_MAIN,
			   "listening at %zu socket%s of the service manager: anyone who reaches it can read the page",
			   n, n == 1 ? "" : "s");
		return true;
	}
	for (uint32_t i = 0; i < wanted->n_listen; i++) {
		if (!listen_at(web, &wanted->listen[i]))
			return false;
	}
	return true;
}

/* ---- main ---- */

static bool drop_rights(const struct natd_config *c)
{
	/* libevent's connections; if_indextoname() for peers with link-local addresses. */
	static const char *const calls[] = {"accept4",	   "accept",	  "readv",	"writev",
					    "ioctl",	   "shutdown",	  "getsockopt", "setsockopt",
					    "getsockname", "getpeername", "sendfile"};
	struct program_keep keep = {.n_dirs = 0};

	json_destroy(json_create()); /* the first object seeds jansson's hashes, from a file */
	return beside_drop_rights(c, &keep, calls, sizeof(calls) / sizeof(*calls));
}

static enum program_exit open_and_loop(struct program *p, const struct beside_options *o, const struct natd_config *c)
{
	struct web *web = &p->web;

	if (!http_open(web) || !sampler_open(web)) {
		log_error(SUB_MAIN, "short of memory");
		return PROGRAM_SYSTEM;
	}
	if (!listen_all(web, p->listen.n_listen > 0 ? &p->listen : &c->web) || !drop_rights(c))
		return PROGRAM_SYSTEM;
	program_ready("natd-web", o->is_foreground);
	return beside_loop(web->base);
}

static enum program_exit serve(void *ctx, struct event_base *base, const struct beside_options *o,
			       const struct natd_config *c)
{
	struct program *p = ctx;
	struct web *web = &p->web;
	enum program_exit code;

	web->socket = o->socket ? o->socket : c->control.socket;
	web->base = base;
	code = open_and_loop(p, o, c);
	web->is_stopping = true;
	sampler_close(web);
	if (web->http)
		evhttp_free(web->http);
	clients_close(web);
	return code;
}

int main(int argc, char **argv)
{
	static const struct beside natd_web = {
		.name = "natd-web",
		.usage = usage,
		.option = "listen",
		.letter = 'l',
		.on_option = add_listener,
		.load = load,
		.serve = serve,
	};
	struct program p = {.web = {.is_stopping = false}};

	return beside_main(argc, argv, &natd_web, &p);
}
