/* SPDX-License-Identifier: ISC */
/* natd(8): options and commands. Everything else is in libnatd. */
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemon/config/config.h"
#include "daemon/control/doctor.h"
#include "daemon/setup/forward_check.h"
#include "daemon/sandbox/privs.h"
#include "natd.h"

#ifndef SYSCONFDIR
#define SYSCONFDIR "/etc"
#endif
#define CONFIG_DEFAULT SYSCONFDIR "/natd/natd.conf"

static const char usage[] =
	"usage: natd [-c FILE] [-f] [-t] [-v]... [-V] [-h] [--doctor] [--state FILE]\n"
	"  -c, --config FILE   read FILE instead of " CONFIG_DEFAULT "\n"
	"  -f, --foreground    log to stderr\n"
	"  -t, --test          read the configuration, print every problem, touch nothing\n"
	"  -v, --verbose       log one level more; may be repeated\n"
	"      --doctor        check host and configuration, for natctl doctor --offline\n"
	"      --state FILE    keep the connection table in FILE from a clean stop to the next start\n"
	"  -V, --version       print the version\n"
	"  -h, --help          print this\n";

enum command { RUN, TEST, LOOK, VERSION, HELP, WRONG };

static enum command read_options(int argc, char **argv, struct natd_options *o)
{
	enum { STATE = 256, DOCTOR };
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"foreground", no_argument, NULL, 'f'},
		{"test", no_argument, NULL, 't'},
		{"verbose", no_argument, NULL, 'v'},
		{"state", required_argument, NULL, STATE},
		{"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, 'h'},
		{"doctor", no_argument, NULL, DOCTOR},
		{NULL, 0, NULL, 0},
	};
	enum command command = RUN;
	int c;

	while ((c = getopt_long(argc, argv, "c:ftvVh", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			o->config_path = optarg;
			break;
		case 'f':
			o->is_foreground = true;
			break;
		case 't':
			command = TEST;
			break;
		case 'v':
			o->verbosity++;
			break;
		case DOCTOR:
			command = LOOK;
			break;
		case STATE:
			o->state_path = optarg;
			break;
		case 'V':
			return VERSION;
		case 'h':
			return HELP;
		default:
			return WRONG;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "natd: unexpected argument \"%s\"\n", argv[optind]);
		return WRONG;
	}
	return command;
}

/* Reports forwards for ports that this host now uses, as warnings of -t. */
static void warn_of_forward(void *ctx, const struct finding *f)
{
	config_report_add(ctx, CONFIG_WARNING, "natd", 0, "%s: %s", f->text, f->remedy);
}

static void check_forwards(const struct natd_config *c, struct config_report *report)
{
	struct forward_check check = {.forwards = c->forwards, .n_forwards = c->n_forwards};
	struct hostports *ports = calloc(1, sizeof(*ports));
	struct finding_sink sink;
	struct netlink *nl = NULL;

	finding_sink_init(&sink, warn_of_forward, report);
	check.ports = ports;
	if (!hostports_ephemeral(&check.ephemeral))
		check.ephemeral = (struct nat_range){0, 0};
	if (ports && c->outside.share_interface_address && netlink_open(&nl, NETLINK_ROUTES | NETLINK_SOCKETS) == 0) {
		(void)hostports_list(nl, ports);
		forward_check(&check, &sink);
	}
	netlink_close(nl);
	free(ports);
}

/* Loads the configuration and reports every problem; NULL: it has errors. */
static struct natd_config *load(const char *path, enum command command)
{
	struct config_report report = {0};
	char text[160];
	struct natd_config *config = config_load(path, &report);

	if (command == TEST) {
		if (config) {
			config_check_host(config, PRIVS_USER, &report);
			check_forwards(config, &report);
		}
		config_report_print(&report, stderr);
		if (config && config->translation.allocation != ALLOCATION_PORT) {
			config_allocation_text(config, text, sizeof(text));
			printf("%s: %s\n", path, text);
		}
		if (config)
			printf("%s: the configuration is valid, with %u warning%s\n", path, report.n_problems,
			       report.n_problems == 1 ? "" : "s");
	} else {
		config_report_log(&report);
	}
	config_report_fini(&report);
	return config;
}

/* For natctl doctor --offline: a line each, fields separated by tabs. */
static void print_finding(void *ctx, const struct finding *f)
{
	static const char *const severities[] = {
		[FINDING_OK] = "ok", [FINDING_WARNING] = "warn", [FINDING_ERROR] = "fail"};

	(void)ctx;
	printf("%s\t%s\t%s\t%s\n", severities[f->severity], f->id, f->text, f->remedy);
}

static enum natd_exit look(const char *path)
{
	struct finding_sink sink;

	finding_sink_init(&sink, print_finding, NULL);
	return doctor_offline(path, &sink) < 0 ? NATD_EXIT_CONFIG : NATD_EXIT_OK;
}

/* Whatever the state of descriptors 0 to 2: a line for stderr must neither end natd nor reach a socket of its own. */
static void secure_stderr(void)
{
	int fd;

	signal(SIGPIPE, SIG_IGN); /* a reader that goes away becomes an EPIPE */
	signal(SIGTTOU, SIG_IGN); /* a terminal may stop a background process that writes to it (stty tostop) */
	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

/* A signal that the parent ignores stays ignored through exec, but natd needs SIGCHLD. */
static void enable_sigchld(void)
{
	signal(SIGCHLD, SIG_DFL);
}

static enum natd_exit serve(const struct natd_options *o, struct natd_config *config)
{
	struct natd n;
	enum natd_exit code = natd_start(&n, o, config);

	if (code == NATD_EXIT_OK)
		code = natd_run(&n);
	natd_stop(&n);
	return code;
}

int main(int argc, char **argv)
{
	struct natd_options o = {.config_path = CONFIG_DEFAULT};
	enum command command = read_options(argc, argv, &o);
	struct natd_config *config;

	switch (command) {
	case VERSION:
		puts("natd " PACKAGE_VERSION);
		return NATD_EXIT_OK;
	case HELP:
		fputs(usage, stdout);
		return NATD_EXIT_OK;
	case WRONG:
		fputs(usage, stderr);
		return NATD_EXIT_USAGE;
	case LOOK:
		return look(o.config_path);
	case RUN:
	case TEST:
		break;
	}
	if (command == RUN) {
		secure_stderr();
		enable_sigchld();
	}
	config = load(o.config_path, command);
	if (!config)
		return NATD_EXIT_CONFIG;
	if (command == RUN)
		return serve(&o, config);
	config_free(config);
	return NATD_EXIT_OK;
}
