/* SPDX-License-Identifier: ISC */
/*
 * Where the log goes. An outlet takes records into a buffer of bounded size and hands them over without waiting, but for the
 * disk. It keeps what could not be handed over; its user stops giving it records while OUTLET_HIGH bytes wait.
 *
 * After an error some outlets cannot say what arrived (`forgets`): their user then gives them again what came since the last
 * settled place. So each record arrives at least once, unless natd has overwritten its event meanwhile.
 */
#ifndef NATD_LOG_OUTLET_H
#define NATD_LOG_OUTLET_H

#include <sys/socket.h>

#include "daemon/config/config.h"
#include "record.h"

enum {
	OUTLET_HIGH = 128 << 10,
	OUTLET_BUFFER =
		512 << 10, /* the rest is for what natd had sent already: at most 16 KiB, each byte less than 16 here */
	OUTLET_WHY = 256,
};

struct outlet;

struct outlet_ops {
	void (*put)(struct outlet *o, const struct record *r);
	/* 0: all has been handed over; -EAGAIN: some has to wait; another negative errno: it failed, and may be tried again. */
	int (*flush)(struct outlet *o);
	/* After a flush of 0: 0 when what was handed over is safe as far as can be known (on the disk, acknowledged); else as flush. */
	int (*settle)(struct outlet *o);
	int (*reopen)(struct outlet *o); /* SIGHUP. NULL: nothing to do */
	void (*close)(struct outlet *o);
	bool forgets;	   /* after an error */
	bool settles_late; /* an error may come up to a second after what it is about */
};

struct outlet {
	const struct outlet_ops *ops;
	enum config_tlog_format format;
	char name[CONFIG_PLACE_SIZE + 64]; /* for messages: "file /var/log/natd/translations.log" */
	size_t waiting;			   /* bytes in the buffer */
	uint8_t buffer[OUTLET_BUFFER];
};

/* NULL, and why in `why`. The right one by target. What it opens (files, sockets) is open afterwards; a server need not be there. */
struct outlet *outlet_open(const struct config_tlog *t, char why[OUTLET_WHY]);
void outlet_close(struct outlet *o); /* NULL: nothing */
/* The directory in which it makes files: a descriptor, the outlet's; -1: in none. */
int outlet_dir(const struct outlet *o);

/* ---- for outlets ---- */

struct outlet *outlet_file_open(const struct config_tlog *t, char why[OUTLET_WHY]);
struct outlet *outlet_journal_open(const struct config_tlog *t, char why[OUTLET_WHY]);
struct outlet *outlet_syslog_open(const struct config_tlog *t, char why[OUTLET_WHY]);
struct outlet *outlet_ipfix_open(const struct config_tlog *t, char why[OUTLET_WHY]);
int outlet_file_dir(const struct outlet *o);

struct outlet_server {
	struct sockaddr_storage address;
	socklen_t len;
};

/* Looks the server up. False: why. */
bool outlet_find_server(const struct config_tlog *t, bool is_stream, struct outlet_server *out, char why[OUTLET_WHY]);
/* A socket that does not block, connected (of a stream: perhaps only soon). A descriptor or a negative errno. */
int outlet_connect(const struct outlet_server *s, bool is_stream);

/* Datagrams in the buffer, each behind its length: adds one, and sends what is there as outlet_ops.flush() does. */
void outlet_put_datagram(struct outlet *o, const void *data, size_t len);
int outlet_send_datagrams(struct outlet *o, int fd);

/* The same to a port of UDP, which may be dead: an error of a later call then says so, the buffer is emptied, and each call from
 * then on fails until a probe (any datagram) has gone out and no error has come by the next call. */
enum outlet_port { PORT_UP, PORT_DOWN, PORT_PROBED };
int outlet_send_to_port(struct outlet *o, int fd, enum outlet_port *port, void (*probe)(struct outlet *o, int fd));
/* 0: no error has come meanwhile. */
int outlet_check_port(struct outlet *o, int fd, enum outlet_port *port);

/* Bytes in the buffer: adds some, and drops those that are gone. */
void outlet_put_bytes(struct outlet *o, const void *data, size_t len);
void outlet_drop_bytes(struct outlet *o, size_t n);

/* The record as the configured text, and an end of line; its length. */
size_t outlet_line(const struct outlet *o, char out[RECORD_SIZE], const struct record *r);

#endif
