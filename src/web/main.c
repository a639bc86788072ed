/* SPDX-License-Identifier: ISC */
/* natd-web(8): options, sockets, rights; the rest is behind http.h and sampler.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/http.h>
#include <getopt.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "client/json.h"
#include "client/program.h"
#include "clients.h"
#include "daemon/base/account.h"
#include "daemon/base/log.h"
#include "daemon/config/config.h"
#include "daemon/config/config_text.h"
#include "http.h"
#include "sampler.h"
#include "web.h"

#ifndef SYSCONFDIR
#define SYSCONFDIR "/etc"
#endif
#define CONFIG_DEFAULT SYSCONFDIR "/natd/natd.conf"

static const char usage[] = "usage: natd-web [-c FILE] [-s SOCKET] [-l ADDRESS:PORT]... [-f] [-V] [-h]\n"
			    "  -c, --config FILE          read FILE instead of " CONFIG_DEFAULT "\n"
			    "  -s, --socket SOCKET        natd's control socket, instead of the configured one\n"
			    "  -l, --listen ADDRESS:PORT  listen there, instead of at web.listen; may be repeated\n"
			    "  -f, --foreground           log to stderr\n"
			    "  -V, --version              print the version\n"
			    "  -h, --help                 print this\n";

struct options {
	const char *config, *socket;
	struct config_web listen; /* -l */
	bool is_foreground;
};

enum command { RUN, VERSION, HELP, WRONG };

static bool add_listener(struct options *o, const char *text)
{
	char why[TEXT_WHY_SIZE];

	if (o->listen.n_listen == CONFIG_LISTEN_MAX) {
		fprintf(stderr, "natd-web: -l: there may be %d of them\n", CONFIG_LISTEN_MAX);
		return false;
	}
	if (text_listener(text, &o->listen.listen[o->listen.n_listen], why)) {
		o->listen.n_listen++;
		return true;
	}
	fprintf(stderr, "natd-web: -l \"%s\" %s\n", text, why);
	return false;
}

static enum command read_options(int argc, char **argv, struct options *o)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"socket", required_argument, NULL, 's'},
		{"listen", required_argument, NULL, 'l'},
		{"foreground", no_argument, NULL, 'f'},
		{"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "c:s:l:fVh", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			o->config = optarg;
			break;
		case 's':
			o->socket = optarg;
			break;
		case 'l':
			if (!add_listener(o, optarg))
				return WRONG;
			break;
		case 'f':
			o->is_foreground = true;
			break;
		case 'V':
			return VERSION;
		case 'h':
			return HELP;
		default:
			return WRONG;
		}
	}
	if (optind == argc)
		return RUN;
	fprintf(stderr, "natd-web: unexpected argument \"%s\"\n", argv[optind]);
	return WRONG;
}

/* NULL: it has errors, which have been logged. A host may have natd-web without natd.conf, as long as none was named. */
static struct natd_config *load(const struct options *o)
{
	struct config_report report = {0};
	struct natd_config *c;

	if (!o->config && access(CONFIG_DEFAULT, F_OK) < 0 && errno == ENOENT)
		return config_defaults();
	c = config_load(o->config ? o->config : CONFIG_DEFAULT, &report);
	if (!c)
		config_report_log(&report);
	config_report_fini(&report);
	return c;
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

/* False: it cannot, which has been logged. */
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

/* Sockets of the service manager come first; their unit says who may reach them. */
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

/* ---- rights ---- */

/* The groups that may use natd's socket: the configured one, and natd's own. */
static size_t find_groups(const struct natd_config *c, gid_t groups[2])
{
	struct account a;
	size_t n = 0;

	if (geteuid() != 0)
		return 0;
	if (c->control.group[0] && account_of_group(c->control.group, &a) == 0)
		groups[n++] = a.gid;
	if (account_of_group("natd", &a) == 0)
		groups[n++] = a.gid;
	return n;
}

static bool drop_rights(const struct natd_config *c)
{
	/* libevent: connections. if_indextoname() for the peers of link-local addresses. */
	static const char *const calls[] = {"accept4",	   "accept",	  "readv",	"writev",
					    "ioctl",	   "shutdown",	  "getsockopt", "setsockopt",
					    "getsockname", "getpeername", "sendfile"};
	const char *what, *missing;
	gid_t groups[2];
	const struct program_keep keep = {.groups = groups, .n_groups = find_groups(c, groups)};
	int r;

	/* No file can be read any more: the time zone is for dates, the first object seeds jansson's hashes. */
	tzset();
	json_destroy(json_create());
	r = program_drop_rights(&keep, &what);
	if (r == 0) {
		what = "the system call filter";
		r = program_confine_calls(calls, sizeof(calls) / sizeof(*calls), &missing);
		if (missing)
			log_info(SUB_PRIVS, "no system call filter: %s", missing);
	}
	if (r < 0)
		log_write(LEVEL_ERROR, SUB_PRIVS, -r, "%s failed: not going on with more rights than needed", what);
	return r == 0;
}

/* ---- the whole ---- */

static void on_signal(evutil_socket_t signo, short what, void *ctx)
{
	struct web *web = ctx;

	(void)signo, (void)what;
	web->is_stopping = true;
	program_stopping();
	event_base_loopbreak(web->base);
}

static void on_libevent(int severity, const char *text)
{
	if (severity >= EVENT_LOG_WARN)
		log_warning(SUB_MAIN, "libevent: %s", text);
}

static enum program_exit serve(struct web *web, const struct options *o, const struct natd_config *c)
{
	struct event *term, *interrupt;
	enum program_exit code = PROGRAM_SYSTEM;

	if (!http_open(web) || !sampler_open(web)) {
		log_error(SUB_MAIN, "short of memory");
		return PROGRAM_SYSTEM;
	}
	if (!listen_all(web, o->listen.n_listen > 0 ? &o->listen : &c->web))
		return PROGRAM_SYSTEM;
	term = evsignal_new(web->base, SIGTERM, on_signal, web);
	interrupt = evsignal_new(web->base, SIGINT, on_signal, web);
	if (term && interrupt && event_add(term, NULL) == 0 && event_add(interrupt, NULL) == 0 && drop_rights(c)) {
		program_ready("natd-web", o->is_foreground);
		code = event_base_dispatch(web->base) < 0 ? PROGRAM_SYSTEM : PROGRAM_OK;
	}
	if (term)
		event_free(term);
	if (interrupt)
		event_free(interrupt);
	return code;
}

static enum program_exit run(const struct options *o, const struct natd_config *c)
{
	struct web web = {.is_stopping = false};
	enum program_exit code;

	event_set_log_callback(on_libevent);
	web.socket = o->socket ? o->socket : c->control.socket;
	web.base = event_base_new();
	if (!web.base) {
		log_error(SUB_MAIN, "cannot make an event loop");
		return PROGRAM_SYSTEM;
	}
	code = serve(&web, o, c);
	web.is_stopping = true;
	sampler_close(&web);
	if (web.http)
		evhttp_free(web.http);
	clients_close(&web);
	event_base_free(web.base);
	libevent_global_shutdown();
	return code;
}

int main(int argc, char **argv)
{
	struct options o = {.socket = getenv("NATD_SOCKET")};
	struct natd_config *c;
	enum program_exit code;

	switch (read_options(argc, argv, &o)) {
	case VERSION:
		puts("natd-web " PACKAGE_VERSION);
		return PROGRAM_OK;
	case HELP:
		fputs(usage, stdout);
		return PROGRAM_OK;
	case WRONG:
		fputs(usage, stderr);
		return PROGRAM_USAGE;
	case RUN:
		break;
	}
	program_begin();
	log_set_program("natd-web");
	c = load(&o);
	if (!c)
		return PROGRAM_CONFIG;
	log_set_level(c->log.level);
	log_open(o.is_foreground ? LOG_TO_STDERR : c->log.target);
	code = run(&o, c);
	config_free(c);
	return (int)code;
}
